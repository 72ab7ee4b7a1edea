//! The GPUs of the cluster: what each node offers, how much of it pods have, and what keeps pods away.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Node, Pod, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use obelysk_api::crd::ProverPoolSpec;
use obelysk_api::crd::prover_pool::ClassRule;
use obelysk_api::crd::schema::Toleration;

use super::catalogue::Memory;
use super::dialects::{self, ARCHITECTURE, Kind, Partition};

/// Extended resource of a GPU.
pub const GPU: &str = "nvidia.com/gpu";
/// Extended resource of a shared GPU, where the device plugin renames it.
const SHARED_GPU: &str = "nvidia.com/gpu.shared";
/// Before the profile in the extended resource of a MIG slice.
const MIG_PREFIX: &str = "nvidia.com/mig-";
/// Label by which pods are placed on a node.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// Extended resources that pods have, by node and name.
pub type Usage = BTreeMap<String, BTreeMap<String, i64>>;

/// Nodes by name, as they are kept.
pub type Nodes = BTreeMap<String, Arc<Node>>;

/// What pods have on each node. Those that have ended have nothing.
#[must_use]
pub fn usage<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Usage {
    let mut usage = Usage::new();
    for pod in pods {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let Some(spec) = pod.spec.as_ref().filter(|_| !matches!(phase, Some("Succeeded" | "Failed"))) else { continue };
        let Some(node) = &spec.node_name else { continue };
        for (resource, count) in spec.containers.iter().flat_map(extended) {
            let taken = usage.entry(node.clone()).or_default().entry(resource).or_default();
            *taken = taken.saturating_add(count);
        }
    }
    usage
}

/// Extended resources of a container: their requests are their limits.
fn extended(container: &Container) -> Vec<(String, i64)> {
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|of| of.limits.as_ref().or(of.requests.as_ref()));
    let counted = limits.into_iter().flatten().filter(|(name, _)| name.contains('/'));
    counted.filter_map(|(name, count)| Some((name.clone(), whole(count)?))).collect()
}

/// Extended resources are whole numbers.
fn whole(quantity: &Quantity) -> Option<i64> {
    quantity.0.parse().ok()
}

/// GPUs of one kind on a node.
#[derive(Clone, Debug)]
pub struct Offer<'a> {
    /// The node.
    pub node: &'a Node,
    /// What they are.
    pub kind: Kind,
    /// Extended resource by which a pod gets one; none where nothing offers them.
    pub resource: String,
    /// How many pods may have.
    pub allocatable: i64,
    /// How many pods have.
    pub in_use: i64,
}

impl Offer<'_> {
    /// How many a new pod could have at once: none on a node that takes no pods.
    #[must_use]
    pub fn free(&self) -> i64 {
        let is_open = is_open(self.node);
        if is_open { self.allocatable.saturating_sub(self.in_use).max(0) } else { 0 }
    }

    /// The label by which pods are placed on the node; its name where it has none.
    #[must_use]
    pub fn hostname(&self) -> String {
        hostname(self.node)
    }

    /// Processor of the node, where a label or the catalogue says it.
    #[must_use]
    pub fn architecture(&self) -> Option<&str> {
        let of_product = || self.kind.product.map(|product| product.architecture.name());
        self.node.labels().get(ARCHITECTURE).map(String::as_str).or_else(of_product)
    }
}

/// The label by which pods are placed on a node; its name where it has none.
#[must_use]
pub fn hostname(node: &Node) -> String {
    node.labels().get(HOSTNAME).cloned().unwrap_or_else(|| node.name_any())
}

/// Whether a node is ready and takes pods.
fn is_open(node: &Node) -> bool {
    let is_cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
    !is_cordoned && crate::controllers::attempt::is_ready(Some(node))
}

/// What nodes offer.
#[derive(Clone, Debug, Default)]
pub struct Inventory<'a> {
    /// GPUs of which something is known.
    pub offers: Vec<Offer<'a>>,
    /// Nodes with GPUs of which nothing is known, and how many they have.
    pub unknown: Vec<(&'a Node, i64)>,
}

impl<'a> Inventory<'a> {
    /// What nodes offer under the resource name and the labels that a pool explains.
    #[must_use]
    pub fn of(nodes: impl IntoIterator<Item = &'a Node>, usage: &Usage, resource: &str, rules: &[ClassRule]) -> Self {
        let mut inventory = Self::default();
        for node in nodes {
            let kind = dialects::kind(node.labels(), rules);
            let status = node.status.as_ref();
            let allocatable = status.and_then(|status| status.allocatable.as_ref());
            let of_gpus = allocatable.into_iter().flatten().filter(|(name, _)| is_gpu(name, resource));
            let counts: Vec<(&String, i64)> = of_gpus.filter_map(|(name, count)| Some((name, whole(count)?))).collect();
            let Some(kind) = kind else {
                let gpus = counts.iter().map(|(_, count)| count).sum();
                if gpus > 0 {
                    inventory.unknown.push((node, gpus));
                }
                continue;
            };
            let in_use = |name: &str| usage.get(&node.name_any()).and_then(|of| of.get(name)).copied().unwrap_or(0);
            let offered = counts.iter().filter(|(_, count)| *count > 0);
            let mut offers: Vec<Offer> = offered
                .map(|&(name, allocatable)| Offer {
                    node,
                    kind: kind_of_resource(&kind, name),
                    resource: name.clone(),
                    allocatable,
                    in_use: in_use(name),
                })
                .collect();
            // A node of which the labels speak, and whose device plugin offers nothing.
            if offers.is_empty() {
                offers.push(Offer { node, kind, resource: resource.into(), allocatable: 0, in_use: 0 });
            }
            inventory.offers.append(&mut offers);
        }
        inventory
    }
}

fn is_gpu(name: &str, resource: &str) -> bool {
    name == resource || resource == GPU && (name == SHARED_GPU || name.starts_with(MIG_PREFIX))
}

/// What a pod gets by the name of a resource: with the mixed strategy of MIG and with renamed shares the labels speak of the whole card.
fn kind_of_resource(kind: &Kind, resource: &str) -> Kind {
    let mut kind = kind.clone();
    if let Some(profile) = resource.strip_prefix(MIG_PREFIX) {
        kind.memory = match &kind.partition {
            Partition::Mig(_) => kind.memory,
            _ => dialects::memory_of_profile(profile),
        };
        kind.partition = Partition::Mig(profile.to_owned());
    }
    if resource == SHARED_GPU && matches!(kind.partition, Partition::Whole | Partition::Mig(_)) {
        kind.partition = kind.partition.shared("time-slicing");
    }
    kind
}

/// Whether a node is one of a pool's.
#[must_use]
pub fn is_of_pool(node: &Node, pool: &ProverPoolSpec) -> bool {
    pool.node_selector.iter().all(|(key, value)| node.labels().get(key) == Some(value))
}

/// The first taint that keeps a pod away and is there to stay: those that Kubernetes sets itself come and go.
#[must_use]
pub fn obstacle<'a>(node: &'a Node, tolerations: &[Toleration]) -> Option<&'a Taint> {
    const PASSING: [&str; 2] = ["node.kubernetes.io/", "node.cloudprovider.kubernetes.io/"];
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    taints.iter().find(|taint| {
        let is_passing = PASSING.iter().any(|prefix| taint.key.starts_with(prefix));
        let is_preference = taint.effect == "PreferNoSchedule";
        !is_passing && !is_preference && !tolerations.iter().any(|toleration| tolerates(toleration, taint))
    })
}

/// Whether a toleration is of a taint, as the scheduler decides it.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let Toleration { key, operator, value, effect } = toleration;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let is_of_effect = given(effect).is_none_or(|effect| effect == taint.effect);
    let is_of_key = given(key).is_none_or(|key| key == taint.key);
    let is_of_value = match operator.as_deref() {
        Some("Exists") => true,
        _ => given(key).is_some() && value.clone().unwrap_or_default() == taint.value.clone().unwrap_or_default(),
    };
    is_of_effect && is_of_key && is_of_value
}

/// How a memory and a partition are told together: `H100 80Gi`, `H100 in MIG slices of 10Gi`.
#[must_use]
pub fn describe(kind: &Kind) -> String {
    let Kind { name, memory, partition, .. } = kind;
    match partition {
        Partition::Whole if *memory == Memory::default() => name.clone(),
        Partition::Whole => format!("{name} {memory}"),
        Partition::Mig(profile) => format!("{name} in MIG slices {profile}"),
        Partition::Shared(by) => format!("{name} shared by {by}"),
        Partition::SharedMig(by) => format!("{name} in MIG slices shared by {by}"),
    }
}
