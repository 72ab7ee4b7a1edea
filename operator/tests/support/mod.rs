//! Nodes with the labels of real clusters, pools, jobs, and a number generator that says its seed.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use obelysk_api::crd::proof_job::{Gpu, PodOverrides};
use obelysk_api::crd::{ProofJob, ProverPool};
use obelysk_operator::scheduling::inventory::Nodes;
use obelysk_operator::scheduling::place::place;
use obelysk_operator::scheduling::placement::{Cluster, NoPlace, Placement, Seeker};
use serde_json::{Value, json};

/// A node as a cluster has it, and what its GPUs are.
pub struct Fixture {
    pub about: String,
    pub node: Node,
    /// Class and memory by which a job asks for it; none where it is of no class.
    pub class: Option<String>,
    pub memory: String,
    pub partition: String,
    pub architecture: String,
}

/// Every node of `tests/fixtures/nodes.json`.
pub fn fixtures() -> Vec<Fixture> {
    let text = include_str!("../../../tests/fixtures/nodes.json");
    let all: Vec<Value> = serde_json::from_str(text).unwrap();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let fixture = |value: Value| Fixture {
        about: format!("{} ({})", word(&value["name"]), word(&value["about"])),
        node: node(
            &word(&value["name"]),
            value["labels"].clone(),
            value["allocatable"].clone(),
            value["taints"].clone(),
        ),
        class: value["class"].as_str().map(str::to_owned),
        memory: word(&value["memory"]),
        partition: word(&value["partition"]),
        architecture: word(&value["labels"]["kubernetes.io/arch"]),
    };
    all.into_iter().map(fixture).collect()
}

/// A node that is ready.
pub fn node(name: &str, labels: Value, allocatable: Value, taints: Value) -> Node {
    let taints = if taints.is_null() { json!([]) } else { taints };
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints},
        "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]},
    }))
    .unwrap()
}

/// A node that GPU feature discovery labelled.
pub fn discovered(name: &str, product: &str, mebibytes: u64, gpus: u32) -> Node {
    let labels = json!({
        "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name,
        "nvidia.com/gpu.product": product, "nvidia.com/gpu.memory": mebibytes.to_string(),
    });
    node(name, labels, json!({"nvidia.com/gpu": gpus.to_string()}), Value::Null)
}

/// Nodes by name.
pub fn by_name(nodes: impl IntoIterator<Item = impl Into<Arc<Node>>>) -> Nodes {
    nodes.into_iter().map(Into::into).map(|node| (node.metadata.name.clone().unwrap(), node)).collect()
}

/// What a job asks of a GPU.
pub fn gpu(spec: Value) -> Gpu {
    serde_json::from_value(spec).unwrap()
}

/// A pool.
pub fn pool(name: &str, spec: Value) -> ProverPool {
    serde_json::from_value(json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ProverPool",
        "metadata": {"name": name, "uid": format!("uid-of-{name}"), "generation": 1}, "spec": spec,
    }))
    .unwrap()
}

/// A job that asks for a GPU.
pub fn proof_job(namespace: &str, name: &str, second: i64, gpu: Value, status: Value) -> ProofJob {
    serde_json::from_value(json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ProofJob",
        "metadata": {
            "name": name, "namespace": namespace, "uid": format!("{namespace}/{name}"), "generation": 1,
            "creationTimestamp": at(second).to_string(),
        },
        "spec": {
            "model": {"cacheRef": {"name": "m"}}, "inference": {"prompt": "Hello"}, "hardware": {"gpu": gpu},
        },
        "status": status,
    }))
    .unwrap()
}

/// A condition of a status.
pub fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

/// So many seconds after a day in 2027.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// Both processors.
pub fn both() -> Vec<String> {
    vec!["amd64".into(), "arm64".into()]
}

/// A place for a job of namespace `default`, with images for both processors.
pub fn look(gpu: &Gpu, cluster: &Cluster, nodes: &Nodes) -> Result<Placement, NoPlace> {
    look_with(gpu, cluster, nodes, &both())
}

/// A place for a job of namespace `default`.
pub fn look_with(gpu: &Gpu, cluster: &Cluster, nodes: &Nodes, architectures: &[String]) -> Result<Placement, NoPlace> {
    let overrides = PodOverrides::default();
    let seeker = Seeker { namespace: "default", gpu, overrides: &overrides, only_on: &[], avoid: &[] };
    place(&seeker, cluster, nodes, architectures)
}

/// Whether the scheduler would let a placed pod onto a node, taints apart.
pub fn admits(placement: &Placement, node: &Node) -> bool {
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let holds = |of: &k8s_openapi::api::core::v1::NodeSelectorRequirement| {
        let values = of.values.clone().unwrap_or_default();
        let is_in = labels.get(&of.key).is_some_and(|value| values.contains(value));
        match of.operator.as_str() {
            "In" => is_in,
            "NotIn" => !is_in,
            "DoesNotExist" => !labels.contains_key(&of.key),
            other => panic!("no pod of ours says {other}"),
        }
    };
    let selected = placement.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    let hostname = labels.get("kubernetes.io/hostname").cloned().unwrap_or_default();
    let has_term = placement.terms.is_empty() || placement.terms.iter().any(|term| term.iter().all(holds));
    let is_listed = placement.only_on.is_empty() || placement.only_on.contains(&hostname);
    selected && has_term && is_listed && !placement.avoid.contains(&hostname)
}

/// Numbers from a seed, which it prints: `SEED=7` repeats a run.
pub struct Numbers(u64);

impl Numbers {
    pub fn new() -> Self {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_128);
        println!("SEED={seed}");
        Self(seed)
    }

    /// A number below `bound` (SplitMix64, Steele et al. 2014).
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
