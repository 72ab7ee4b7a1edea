//! Data that crosses a wall: the files between operator and pod, exit codes and, with feature `crd`, the custom resources.
//! Types only; what they mean is decided elsewhere.

pub mod exit;
pub mod job;

#[cfg(feature = "crd")]
pub mod crd;
