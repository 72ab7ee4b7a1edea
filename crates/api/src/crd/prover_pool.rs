//! `ProverPool`: which nodes prove, as the administrator decides.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::Toleration;

/// Which nodes prove.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, Default, KubeSchema)]
#[kube(
    group = "proving.obelysk.dev",
    version = "v1alpha1",
    kind = "ProverPool",
    plural = "proverpools",
    shortname = "pp",
    category = "obelysk",
    printcolumn(name = "Resource", type_ = "string", json_path = ".spec.resourceName"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("!has(self.spec.cacheRoot) || (self.spec.cacheRoot.startsWith('/') && !self.spec.cacheRoot.contains('..'))")
        .message("spec.cacheRoot must be an absolute path without '..', such as /var/lib/obelysk")
        .reason(Reason::FieldValueInvalid).field_path(".spec.cacheRoot"),
)]
#[serde(rename_all = "camelCase")]
pub struct ProverPoolSpec {
    /// Labels of the pool's nodes.
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
    #[schemars(length(max = 253))]
    pub runtime_class_name: Option<String>,
    /// Extended resource of a GPU; absent for `nvidia.com/gpu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub resource_name: Option<String>,
    /// Node labels that stand for a GPU class where the usual one does not: value to class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub gpu_class_map: Vec<ClassRule>,
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
    pub class: super::proof_job::GpuClass,
}
