//! ProofJob: waits for its model, proves in one Job per attempt, has the proof finished in a fresh one, records it all.

mod hardware;
mod memory;
pub mod observe;
pub mod plan;
pub mod report;
pub mod validate;

/// Label that names the owner of a child.
pub const LABEL: &str = "proofjob";
