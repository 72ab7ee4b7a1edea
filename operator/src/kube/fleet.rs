//! What all jobs share, kept up to date by watches and read without a call: ProverPools, the GPUs that pods have, devices. Of each pod there is
//! as little as that takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, PodStatus};
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, Store, store::Writer};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use obelysk_api::crd::{ProofJob, ProverPool};
use serde::de::DeserializeOwned;

use crate::scheduling::devices::Devices;
use crate::scheduling::inventory;
use crate::scheduling::placement::Cluster;

/// Time between questions whether the cluster serves devices by now.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// Pods that have not ended.
const ALIVE: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// A store, and what fills it.
struct Kept<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    writer: Mutex<Option<Writer<K>>>,
}

impl<K> Default for Kept<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    fn default() -> Self {
        let (store, writer) = reflector::store();
        Self { store, writer: Mutex::new(Some(writer)) }
    }
}

impl<K> Kept<K>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Keep the store up to date, for ever; once.
    async fn follow(&self, api: Api<K>, config: watcher::Config, strip: fn(&mut K)) {
        let writer = self.writer.lock().ok().and_then(|mut writer| writer.take());
        let Some(writer) = writer else { return std::future::pending().await };
        let changes = watcher(api, config).default_backoff().modify(strip);
        let changes = reflector::reflector(writer, changes);
        changes
            .for_each(|change| async {
                if let Err(error) = change {
                    tracing::debug!(%error, kind = %K::kind(&()), "a watch is begun anew");
                }
            })
            .await;
    }

    async fn ready(&self) {
        // A writer that is gone ends the process elsewhere.
        let _ = self.store.wait_until_ready().await;
    }

    fn all(&self) -> Vec<Arc<K>> {
        self.store.state()
    }
}

/// What all jobs share.
#[derive(Default)]
pub struct Fleet {
    pools: Kept<DeserializeGuard<ProverPool>>,
    pods: Kept<Pod>,
    nodes: Kept<Node>,
    classes: Kept<DeviceClass>,
    slices: Kept<ResourceSlice>,
    claims: Kept<ResourceClaim>,
    has_devices: AtomicBool,
    proof_jobs: OnceLock<Store<DeserializeGuard<ProofJob>>>,
}

impl Fleet {
    /// Keep everything up to date, for ever.
    pub async fn follow(&self, client: Client) {
        let all = watcher::Config::default;
        tokio::join!(
            self.pools.follow(Api::all(client.clone()), all(), |pool| pool.meta_mut().managed_fields = None),
            self.pods.follow(Api::all(client.clone()), all().fields(ALIVE), strip_pod),
            self.nodes.follow(Api::all(client.clone()), all(), strip_node),
            self.follow_devices(client),
        );
    }

    async fn follow_devices(&self, client: Client) {
        while client.list_api_group_resources("resource.k8s.io/v1").await.is_err() {
            tokio::time::sleep(ASK_AGAIN).await;
        }
        let all = watcher::Config::default;
        let ready = async {
            tokio::join!(self.classes.ready(), self.slices.ready(), self.claims.ready());
            self.has_devices.store(true, Ordering::Relaxed);
        };
        tokio::join!(
            self.classes.follow(Api::all(client.clone()), all(), |class| class.metadata.managed_fields = None),
            self.slices.follow(Api::all(client.clone()), all(), |slice| slice.metadata.managed_fields = None),
            self.claims.follow(Api::all(client), all(), |claim| claim.metadata.managed_fields = None),
            ready,
        );
    }

    /// Wait until there is something to read. Devices may come later.
    pub async fn ready(&self) {
        tokio::join!(self.pools.ready(), self.pods.ready(), self.nodes.ready());
    }

    /// ProofJobs, from the controller that watches them.
    pub fn share_proof_jobs(&self, store: Store<DeserializeGuard<ProofJob>>) {
        let _ = self.proof_jobs.set(store);
    }

    /// Pools, usage and devices as they are.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        let pools = self.pools.all();
        let pods = self.pods.all();
        let devices = || Devices { classes: self.classes.all(), slices: self.slices.all(), claims: self.claims.all() };
        Cluster {
            pools: pools.iter().filter_map(|pool| pool.0.as_ref().ok().cloned()).collect(),
            usage: inventory::usage(pods.iter().map(Arc::as_ref)),
            devices: self.has_devices.load(Ordering::Relaxed).then(devices),
        }
    }

    /// Nodes, without their images and addresses.
    #[must_use]
    pub fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.all()
    }

    /// ProofJobs of all namespaces.
    #[must_use]
    pub fn proof_jobs(&self) -> Vec<Arc<DeserializeGuard<ProofJob>>> {
        self.proof_jobs.get().map(Store::state).unwrap_or_default()
    }
}

/// Keep the node and the resources.
fn strip_pod(pod: &mut Pod) {
    let meta = std::mem::take(&mut pod.metadata);
    pod.metadata = ObjectMeta {
        name: meta.name,
        namespace: meta.namespace,
        uid: meta.uid,
        resource_version: meta.resource_version,
        ..ObjectMeta::default()
    };
    pod.spec = pod.spec.take().map(|spec| PodSpec {
        node_name: spec.node_name,
        containers: spec
            .containers
            .into_iter()
            .map(|container| k8s_openapi::api::core::v1::Container {
                resources: container.resources,
                ..Default::default()
            })
            .collect(),
        ..PodSpec::default()
    });
    let phase = pod.status.take().and_then(|status| status.phase);
    pod.status = Some(PodStatus { phase, ..PodStatus::default() });
}

fn strip_node(node: &mut Node) {
    node.metadata.managed_fields = None;
    node.metadata.annotations = None;
    if let Some(status) = &mut node.status {
        status.images = None;
        status.addresses = None;
        status.volumes_attached = None;
        status.volumes_in_use = None;
    }
}
