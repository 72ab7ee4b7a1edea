//! Where a pod goes and what it gets there, and what is known of the cluster when a place is looked for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::NodeSelectorRequirement;
use k8s_openapi::api::resource::v1::DeviceClaim;
use kube::ResourceExt;
use obelysk_api::crd::ProverPool;
use obelysk_api::crd::proof_job::{Gpu, PodOverrides};
use obelysk_api::crd::schema::Toleration;

use super::devices::Devices;
use super::dialects::ARCHITECTURE;
use super::inventory::{self, GPU, Nodes, Usage};

/// Where a pod goes, and what it gets there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// The pool of the job.
    pub pool: Option<String>,
    /// Sets of node labels, one of which a node must have; none for any node.
    pub terms: Vec<Vec<NodeSelectorRequirement>>,
    /// Labels that a node must have besides.
    pub node_selector: BTreeMap<String, String>,
    /// Hostnames of nodes to stay away from.
    pub avoid: Vec<String>,
    /// Hostnames of the nodes that will do, if not all.
    pub only_on: Vec<String>,
    /// Taints that do not matter, besides those of the job's own additions.
    pub tolerations: Vec<Toleration>,
    /// GPUs.
    pub device: Option<Device>,
    /// Runtime class.
    pub runtime_class: Option<String>,
    /// Image, if not the operator's.
    pub image: Option<String>,
}

/// How a pod gets its GPUs.
#[derive(Clone, Debug, PartialEq)]
pub enum Device {
    /// An extended resource.
    Resource(String, i32),
    /// A claim of its own.
    Claim(Box<DeviceClaim>),
}

/// What is known of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// ProverPools that can be read.
    pub pools: Vec<ProverPool>,
    /// What pods have.
    pub usage: Usage,
    /// Devices, where the cluster serves them.
    pub devices: Option<Devices>,
}

/// A job that looks for a place.
#[derive(Clone, Debug)]
pub struct Seeker<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// What it asks for.
    pub gpu: &'a Gpu,
    /// Additions to its pods.
    pub overrides: &'a PodOverrides,
    /// Hostnames of the nodes that can read the model; none for all.
    pub only_on: &'a [String],
    /// Hostnames of the nodes on which it failed.
    pub avoid: &'a [String],
}

/// Why there is no place: one word and one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPlace {
    /// One word.
    pub reason: &'static str,
    /// One line.
    pub message: String,
}

pub(super) fn no_place<T>(reason: &'static str, message: impl Into<String>) -> Result<T, NoPlace> {
    Err(NoPlace { reason, message: message.into() })
}

/// A requirement of a node's label.
#[must_use]
pub fn requirement(key: &str, operator: &str, values: Vec<String>) -> NodeSelectorRequirement {
    NodeSelectorRequirement { key: key.into(), operator: operator.into(), values: Some(values) }
}

/// A node with one of these processors.
#[must_use]
pub fn of_architectures(architectures: &[String]) -> Vec<Vec<NodeSelectorRequirement>> {
    vec![vec![requirement(ARCHITECTURE, "In", architectures.to_vec())]]
}

/// Tolerates the taint of nodes that are kept for GPUs.
#[must_use]
pub fn gpu_toleration() -> Toleration {
    Toleration { key: Some(GPU.into()), operator: Some("Exists".into()), ..Toleration::default() }
}

impl Cluster {
    /// The pool of a job, if it may use it.
    ///
    /// # Errors
    /// There is none of that name, or it is for other namespaces.
    pub fn pool_of(&self, namespace: &str, gpu: &Gpu) -> Result<Option<&ProverPool>, NoPlace> {
        let Some(name) = gpu.pool_ref.as_ref().map(|pool| &pool.name) else { return Ok(None) };
        let Some(pool) = self.pools.iter().find(|pool| pool.name_any() == *name) else {
            return no_place("ProverPoolNotFound", format!("no ProverPool {name} in this cluster"));
        };
        let namespaces = &pool.spec.namespaces;
        if !namespaces.is_empty() && !namespaces.iter().any(|of| of == namespace) {
            return no_place("NamespaceNotAllowed", format!("ProverPool {name} is not for namespace {namespace}"));
        }
        Ok(Some(pool))
    }

    /// Hostnames of the nodes that a pool has in quarantine, and until when.
    pub(super) fn quarantined(&self, nodes: &Nodes) -> BTreeMap<String, String> {
        let of_pools = self.pools.iter().filter_map(|pool| pool.status.as_ref()).flat_map(|status| &status.quarantined);
        let named = of_pools.map(|of| {
            let hostname = nodes.get(&of.node).map_or_else(|| of.node.clone(), |node| inventory::hostname(node));
            (hostname, of.until.0.strftime("%F %H:%M UTC").to_string())
        });
        named.collect()
    }
}
