//! `ProverPool`: which nodes prove, with what, and for whom, as the administrator decides.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proof_job::GpuClass;
use super::schema::Toleration;

/// Which nodes prove.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, Default, KubeSchema)]
#[kube(
    group = "proving.obelysk.dev",
    version = "v1alpha1",
    kind = "ProverPool",
    plural = "proverpools",
    status = "ProverPoolStatus",
    shortname = "pp",
    category = "obelysk",
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes"),
    printcolumn(name = "Running", type_ = "integer", json_path = ".status.running"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.waiting"),
    printcolumn(name = "Most", type_ = "integer", json_path = ".spec.maxConcurrent"),
    printcolumn(name = "Summary", type_ = "string", json_path = ".status.summary"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("!has(self.spec.cacheRoot) || (self.spec.cacheRoot.startsWith('/') && !self.spec.cacheRoot.contains('..'))")
        .message("spec.cacheRoot must be an absolute path without '..', such as /var/lib/obelysk")
        .reason(Reason::FieldValueInvalid).field_path(".spec.cacheRoot"),
    validation = Rule::new("!has(self.spec.allocation) || self.spec.allocation != 'Dra' || !has(self.spec.resourceName)")
        .message("spec.resourceName is for allocation: DevicePlugin; with Dra use deviceClassName"),
    validation = Rule::new("!has(self.spec.allocation) || self.spec.allocation != 'DevicePlugin' || !has(self.spec.deviceClassName)")
        .message("spec.deviceClassName is for allocation: Dra; with DevicePlugin use resourceName"),
)]
#[serde(rename_all = "camelCase")]
pub struct ProverPoolSpec {
    /// Labels of the pool's nodes; empty for all nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::string_map")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of the pool's nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
    /// Folder for models on the disks of the pool's nodes (`storage.nodeLocal`). The administrator makes it on each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub cache_root: Option<String>,
    /// Runtime class of pods with GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,
    /// Extended resource of a GPU; absent for `nvidia.com/gpu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub resource_name: Option<String>,
    /// Node labels that stand for a GPU class where the usual ones do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub gpu_class_map: Vec<ClassRule>,
    /// What nodes of this pool have also while there is none: pods are made, so that an autoscaler adds a node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 9))]
    pub promises: Vec<Promise>,
    /// Namespaces whose ProofJobs may name this pool; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
    /// ProofJobs that prove at a time; the others wait, first come, first served across namespaces. Absent for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_concurrent: Option<i32>,
    /// Images of prove pods by class, such as one for arm64; the operator's where a class has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 9))]
    pub images: Vec<ClassImage>,
    /// How pods get their GPU; absent for claims where the cluster has devices and no node of the pool has the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<Allocation>,
    /// DeviceClass of a whole GPU for `allocation: Dra`; absent for `gpu.nvidia.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub device_class_name: Option<String>,
    /// When a node is left out for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
}

/// A node label that stands for a GPU class.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassRule {
    /// Label key.
    #[schemars(length(min = 1, max = 316))]
    pub label: String,
    /// Label value.
    #[schemars(length(max = 63))]
    pub value: String,
    /// Class.
    pub class: GpuClass,
    /// Memory of a GPU; absent for the smallest of the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub memory: Option<String>,
}

/// A kind of GPU that nodes have which are not there yet.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Promise {
    /// Class.
    pub class: GpuClass,
    /// Memory of a GPU; absent for the smallest of the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub memory: Option<String>,
}

/// The image for a class.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassImage {
    /// Class.
    pub class: GpuClass,
    /// Reference of the image, which must be for the processors of the class.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
}

/// How pods get their GPU.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Allocation {
    /// An extended resource of a device plugin.
    DevicePlugin,
    /// A claim of dynamic resource allocation (`resource.k8s.io/v1`).
    Dra,
}

/// When a node is left out for a while: its GPU failed so often within the time of a quarantine.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quarantine {
    /// Failures of class Gpu that put a node in quarantine; 3 if absent, 0 for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub strikes: Option<i32>,
    /// How long a node stays out after the last of them; an hour if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub seconds: Option<i64>,
}

/// What the pool has.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProverPoolStatus {
    /// Generation that this status is about; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub summary: Option<String>,
    /// Nodes that match.
    #[serde(default)]
    pub nodes: i32,
    /// How pods get their GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<Allocation>,
    /// GPUs by class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub classes: Vec<ClassStatus>,
    /// Nodes that are left out for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub quarantined: Vec<QuarantinedNode>,
    /// Nodes with GPUs whose class no label tells: name one with `gpuClassMap`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253)))]
    pub unknown_nodes: Vec<String>,
    /// ProofJobs that prove.
    #[serde(default)]
    pub running: i32,
    /// ProofJobs that wait for their turn.
    #[serde(default)]
    pub waiting: i32,
    /// Uids of the ProofJobs whose turn it is, where `maxConcurrent` limits them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(max = 64)))]
    pub admitted: Vec<String>,
}

/// GPUs of a class.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassStatus {
    /// Class, or the name on the label of a product of none; MIG slices and shared GPUs apart.
    #[schemars(length(max = 96))]
    pub name: String,
    /// Nodes.
    pub nodes: i32,
    /// GPUs that pods may ask for.
    pub allocatable: i64,
    /// GPUs that pods have.
    pub in_use: i64,
    /// GPUs of nodes in quarantine.
    pub quarantined: i64,
}

/// A node that is left out for a while.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuarantinedNode {
    /// Node.
    #[schemars(length(max = 253))]
    pub node: String,
    /// When it returns.
    #[schemars(schema_with = "super::schema::time")]
    pub until: Time,
    /// Failures that put it there.
    pub strikes: i32,
    /// Reason of the last of them.
    #[schemars(length(max = 64))]
    pub reason: String,
}
