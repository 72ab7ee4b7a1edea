//! ProofJob: waits for its model, proves in one Job per attempt, has the proof finished in a fresh one, records it all.

mod memory;
pub mod observe;
pub mod plan;
pub mod report;
pub mod validate;

/// Kinds of Jobs, in order.
pub const PROVE: &str = "prove";
/// See [`PROVE`].
pub const FINISH: &str = "finish";
/// Label that names the owner of a child.
pub const LABEL: &str = "proofjob";
