//! ModelCache: brings a model to a volume and prepares it, once for all ProofJobs that name it.

pub mod plan;
pub mod validate;

/// Kinds of Jobs, in order.
pub const FETCH: &str = "fetch";
/// See [`FETCH`].
pub const PREPARE: &str = "prepare";
/// Label that names the owner of a child.
pub const LABEL: &str = "modelcache";
/// Deletes the claim that was created for the cache.
pub const FINALIZER: &str = "proving.obelysk.dev/model-claim";
