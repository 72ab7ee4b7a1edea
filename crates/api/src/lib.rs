//! Custom resource types and the job and result files that cross the pod wall.
