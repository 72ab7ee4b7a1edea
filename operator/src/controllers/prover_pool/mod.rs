//! ProverPool: says what its nodes have, whose turn it is, and which nodes are left out for a while.

pub mod plan;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::core::DeserializeGuard;
use obelysk_api::crd::{ProofJob, ProverPool, ProverPoolStatus};

use super::children::Obstacle;
use super::kind::Kind;
use super::plan::Plan;
use crate::kube::Error;
use crate::kube::server::Server;
use crate::scheduling::placement::Cluster;
use crate::settings::Settings;

/// Everything that a plan depends on, as it is kept.
pub struct Snapshot {
    nodes: Vec<Arc<Node>>,
    cluster: Cluster,
    jobs: Vec<Arc<DeserializeGuard<ProofJob>>>,
}

impl Kind for ProverPool {
    type State = ProverPoolStatus;
    type Snapshot = Snapshot;
    const CONTROLLER: &'static str = "proverpool";
    const HAS_FINALIZER: bool = false;

    async fn observe<S: Server>(&self, server: &S, _: &Settings) -> Result<Snapshot, Error> {
        Ok(Snapshot { nodes: server.nodes(), cluster: server.cluster(), jobs: server.proof_jobs() })
    }

    /// A pool makes nothing.
    fn tell(_: &mut Snapshot, _: Obstacle) {}

    fn plan(&self, snapshot: &Snapshot, _: &Settings, now: Timestamp) -> Plan<ProverPoolStatus> {
        let observed = plan::Observed {
            nodes: snapshot.nodes.iter().map(Arc::as_ref).collect(),
            cluster: snapshot.cluster.clone(),
            jobs: snapshot.jobs.iter().filter_map(|job| job.0.as_ref().ok()).collect(),
        };
        plan::plan(self, &observed, now)
    }

    fn conditions(status: &ProverPoolStatus) -> &[Condition] {
        &status.conditions
    }
}
