//! What is known when a ProofJob is planned.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use obelysk_api::crd::{ModelCache, ModelPreset};
use obelysk_api::job::Progress;

use crate::controllers::attempt::Surroundings;

/// Everything that a plan depends on.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The ModelCache that the job names or would be given.
    pub cache: Option<ModelCache>,
    /// The ModelPreset that the job names.
    pub preset: Option<ModelPreset>,
    /// Jobs that carry the ProofJob's label.
    pub jobs: Vec<Job>,
    /// The artifacts claim.
    pub claim: Option<PersistentVolumeClaim>,
    /// Pods, nodes and events.
    pub around: Surroundings,
    /// What the running pod says of itself.
    pub progress: Option<Progress>,
}
