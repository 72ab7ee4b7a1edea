//! Turns ProofJobs and ModelCaches into running provers.
fn main() {}
