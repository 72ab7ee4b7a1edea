//! ModelCache: brings a model to a volume and prepares it, once for all ProofJobs that name it.

pub mod plan;
pub mod validate;

/// Kinds of Jobs, in order.
pub const FETCH: &str = "fetch";
/// See [`FETCH`].
pub const PREPARE: &str = "prepare";
/// Label that names the owner of a child.
pub const LABEL: &str = "modelcache";
/// Keeps the cache while it is read, and deletes the claim that was created for it.
pub const FINALIZER: &str = "proving.obelysk.dev/model-claim";
