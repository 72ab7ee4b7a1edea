//! ModelCache: brings a model to a volume and prepares it, once for all ProofJobs that name it.

pub mod plan;
pub mod validate;

/// Kinds of Jobs, in order.
pub const FETCH: &str = "fetch";
/// See [`FETCH`].
pub const PREPARE: &str = "prepare";
/// Takes the model's files off a volume when the cache is deleted.
pub const REMOVE: &str = "remove";
/// Label that names the owner of a child.
pub const LABEL: &str = "modelcache";
/// Keeps the cache while it is read, and until what was made for it is gone.
pub const FINALIZER: &str = "proving.obelysk.dev/model-claim";
