//! ModelCache: brings a model to a volume and prepares it, once for all ProofJobs that name it.

use kube::{Resource, ResourceExt};

pub mod plan;
pub mod validate;

/// Label that names the owner of a child.
pub const LABEL: &str = "modelcache";
/// Keeps the cache while it is read, and until what was made for it is gone.
pub const FINALIZER: &str = "proving.obelysk.dev/model-claim";

/// Whether our finalizer is on an object.
#[must_use]
pub fn has_finalizer<K: Resource>(object: &K) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}
