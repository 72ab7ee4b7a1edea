//! What is known when a ProofJob is planned.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use obelysk_api::crd::{ModelCache, ModelPreset};
use obelysk_api::job::Progress;

use crate::controllers::attempt::Surroundings;
use crate::controllers::children::{Children, Obstacle};
use crate::scheduling::placement::Cluster;

/// Everything that a plan depends on.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The ModelCache that the job names or would be given.
    pub cache: Option<ModelCache>,
    /// The ModelPreset that the job names.
    pub preset: Option<ModelPreset>,
    /// Jobs and pods.
    pub children: Children,
    /// The artifacts claim.
    pub claim: Option<PersistentVolumeClaim>,
    /// Nodes and events.
    pub around: Surroundings,
    /// Pools, and what pods and devices have.
    pub cluster: Cluster,
    /// What the API server has just said of a child that it refuses.
    pub refused: Option<Obstacle>,
    /// What the running pod says of itself.
    pub progress: Option<Progress>,
}
