//! What the kinds of objects have in common: they are observed, planned and told.

use k8s_openapi::jiff::Timestamp;
use kube::core::object::HasStatus;

use super::children::Obstacle;
use super::plan::Plan;
use crate::kube::server::{Object, Server};
use crate::kube::{Error, read};
use crate::metrics::Counted;
use crate::settings::Settings;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use obelysk_api::crd::{ModelCache, ModelCacheStatus, ProofJob, ProofJobStatus};

use super::{model_cache, proof_job};

/// A kind of objects that the operator brings to what they ask for.
pub trait Kind: Object + HasStatus<Status = Self::State> + Counted<Self::State> {
    /// Its status.
    type State: Clone + PartialEq + Send + Sync;
    /// Everything that a plan depends on.
    type Snapshot: Send + Sync;
    /// Name of its controller in metrics.
    const CONTROLLER: &'static str;

    /// Read what a plan depends on.
    fn observe<S: Server>(
        &self,
        server: &S,
        settings: &Settings,
    ) -> impl Future<Output = Result<Self::Snapshot, Error>> + Send;

    /// What the API server has just said of a write that it refuses.
    fn tell(snapshot: &mut Self::Snapshot, refused: Obstacle);

    /// A pure function of what is given.
    fn plan(&self, snapshot: &Self::Snapshot, settings: &Settings, now: Timestamp) -> Plan<Self::State>;

    /// Conditions of a status.
    fn conditions(status: &Self::State) -> &[Condition];

    /// Whether an object that is being deleted is still ours to look after.
    const HAS_FINALIZER: bool;
}

impl Kind for ProofJob {
    type State = ProofJobStatus;
    type Snapshot = proof_job::observe::Snapshot;
    const CONTROLLER: &'static str = "proofjob";
    const HAS_FINALIZER: bool = false;

    async fn observe<S: Server>(&self, server: &S, _: &Settings) -> Result<Self::Snapshot, Error> {
        read::proof_job(server, self).await
    }

    fn tell(snapshot: &mut Self::Snapshot, refused: Obstacle) {
        snapshot.refused = Some(refused);
    }

    fn plan(&self, snapshot: &Self::Snapshot, settings: &Settings, now: Timestamp) -> Plan<ProofJobStatus> {
        proof_job::plan::plan(self, snapshot, settings, now)
    }

    fn conditions(status: &ProofJobStatus) -> &[Condition] {
        &status.conditions
    }
}

impl Kind for ModelCache {
    type State = ModelCacheStatus;
    type Snapshot = model_cache::plan::Snapshot;
    const CONTROLLER: &'static str = "modelcache";
    const HAS_FINALIZER: bool = true;

    async fn observe<S: Server>(&self, server: &S, settings: &Settings) -> Result<Self::Snapshot, Error> {
        read::model_cache(server, settings, self).await
    }

    fn tell(snapshot: &mut Self::Snapshot, refused: Obstacle) {
        snapshot.refused = Some(refused);
    }

    fn plan(&self, snapshot: &Self::Snapshot, settings: &Settings, now: Timestamp) -> Plan<ModelCacheStatus> {
        model_cache::plan::plan(self, snapshot, settings, now)
    }

    fn conditions(status: &ModelCacheStatus) -> &[Condition] {
        &status.conditions
    }
}
