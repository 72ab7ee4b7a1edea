//! The status of a ProverPool: a pure function of its specification, of what was observed, and of the time.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use obelysk_api::crd::prover_pool::{Allocation, ClassStatus, ProverPoolStatus, QuarantinedNode};
use obelysk_api::crd::{ProofJob, ProverPool, ProverPoolSpec};

use crate::controllers::plan::Plan;
use crate::controllers::{Note, clip, conditions, seconds_between};
use crate::scheduling::catalogue::{self, Memory};
use crate::scheduling::dialects::Partition;
use crate::scheduling::inventory::{Inventory, describe, is_of_pool};
use crate::scheduling::place;
use crate::scheduling::placement::Cluster;
use crate::scheduling::quarantine::{self, Strike};
use crate::scheduling::turns::{self, Contender};

/// Nodes and usage change without a watch of the pool's own.
const LOOK_AGAIN_SECONDS: i64 = 60;
/// Nodes that a status names.
const NAMED: usize = 16;
/// Nodes in quarantine that a status lists.
const QUARANTINED: usize = 100;

/// What is known when a pool is planned.
#[derive(Clone, Debug, Default)]
pub struct Observed<'a> {
    /// Nodes of the cluster.
    pub nodes: Vec<&'a Node>,
    /// Pools, usage, devices.
    pub cluster: Cluster,
    /// ProofJobs of all namespaces.
    pub jobs: Vec<&'a ProofJob>,
}

/// Plan a pool.
#[must_use]
pub fn plan(pool: &ProverPool, observed: &Observed, now: Timestamp) -> Plan<ProverPoolStatus> {
    let before = pool.status.clone().unwrap_or_default();
    let spec = &pool.spec;
    let nodes: Vec<&Node> = observed.nodes.iter().copied().filter(|node| is_of_pool(node, spec)).collect();
    let (allocation, inventory) = place::allocation(spec, &spec.gpu_class_map, &nodes, &observed.cluster);
    let names: BTreeSet<String> = nodes.iter().map(|node| node.name_any()).collect();
    let all_strikes = observed.jobs.iter().flat_map(|job| quarantine::strikes(job));
    let strikes: Vec<Strike> = all_strikes.filter(|strike| names.contains(&strike.node)).collect();
    let mut quarantined = quarantine::quarantined(spec.quarantine.as_ref(), &strikes, &before.quarantined, now);
    quarantined.truncate(QUARANTINED);
    let contenders: Vec<Contender> =
        observed.jobs.iter().filter_map(|job| Contender::of(job, &pool.name_any())).collect();
    let admitted = match spec.max_concurrent.and_then(|most| usize::try_from(most).ok()) {
        Some(most) => turns::admit(&contenders, &before.admitted, most),
        None => Vec::new(),
    };
    let mut status = ProverPoolStatus {
        observed_generation: pool.metadata.generation,
        conditions: before.conditions.clone(),
        summary: None,
        nodes: count(nodes.len()),
        allocation: Some(allocation),
        classes: classes(&inventory, &quarantined),
        unknown_nodes: inventory.unknown.iter().take(NAMED).map(|(node, _)| node.name_any()).collect(),
        running: count(contenders.iter().filter(|of| of.proves).count()),
        waiting: count(contenders.iter().filter(|of| !of.proves).count()),
        quarantined,
        admitted,
    };
    conclude(&mut status, spec, &observed.cluster, pool.metadata.generation.unwrap_or_default(), now);
    let release = status.quarantined.iter().map(|of| seconds_between(now, of.until.0)).min();
    Plan {
        notes: notes(&before, &status, &inventory),
        look_again_seconds: release.map_or(LOOK_AGAIN_SECONDS, |seconds| seconds.clamp(1, LOOK_AGAIN_SECONDS)),
        status,
        ..Plan::default()
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// GPUs by class; parts of GPUs apart.
fn classes(inventory: &Inventory, quarantined: &[QuarantinedNode]) -> Vec<ClassStatus> {
    let mut classes: BTreeMap<String, (ClassStatus, BTreeSet<String>)> = BTreeMap::new();
    for offer in &inventory.offers {
        let is_whole = offer.kind.partition == Partition::Whole;
        let name = clip(&if is_whole { offer.kind.name.clone() } else { describe(&offer.kind) }, 96);
        let node = offer.node.name_any();
        let (class, nodes) = classes.entry(name.clone()).or_default();
        class.name = name;
        class.allocatable += offer.allocatable;
        class.in_use += offer.in_use;
        if quarantined.iter().any(|of| of.node == node) {
            class.quarantined += offer.allocatable;
        }
        nodes.insert(node);
    }
    let counted = classes.into_values().map(|(class, nodes)| ClassStatus { nodes: count(nodes.len()), ..class });
    counted.take(32).collect()
}

/// Summary and conditions.
fn conclude(status: &mut ProverPoolStatus, spec: &ProverPoolSpec, cluster: &Cluster, generation: i64, now: Timestamp) {
    let error = misfit(spec, cluster);
    let gpus: Vec<String> = status
        .classes
        .iter()
        .map(|class| {
            let ClassStatus { name, nodes: _, allocatable, in_use, quarantined } = class;
            let out = if *quarantined > 0 { format!(", {quarantined} in quarantine") } else { String::new() };
            format!("{in_use} of {allocatable} {name} in use{out}")
        })
        .collect();
    let (is_ready, reason, mut summary) = match (&error, status.nodes, gpus.is_empty()) {
        (Some((reason, message)), ..) => (false, *reason, message.clone()),
        (None, _, false) => (true, "NodesFound", gpus.join("; ")),
        (None, 0, true) if !spec.promises.is_empty() => {
            (true, "Promised", "no node yet: pods are made, for an autoscaler to see".into())
        }
        (None, 0, true) => (false, "NoNodes", "no node has the labels of nodeSelector".into()),
        (None, nodes, true) => (false, "NoGpus", format!("{nodes} nodes, none with a GPU that its labels tell")),
    };
    if let Some(of) = status.quarantined.first() {
        let more = if status.quarantined.len() > 1 { " and others" } else { "" };
        let until = of.until.0.strftime("%H:%M UTC");
        summary.push_str(&format!("; node {}{more} in quarantine until {until} ({})", of.node, of.reason));
    }
    if !status.unknown_nodes.is_empty() {
        summary.push_str(&format!("; GPUs of {} nodes are of unknown class", status.unknown_nodes.len()));
    }
    let summary = clip(&summary, 256);
    for (kind, value, reason) in
        [("Ready", is_ready, reason), ("Reconciling", false, reason), ("Stalled", error.is_some(), reason)]
    {
        conditions::set(&mut status.conditions, kind, Some(value), reason, &summary, generation, now);
    }
    status.summary = Some(summary);
}

/// What makes a specification impossible here, in one word and one line. Fields are taken apart, so that none is forgotten.
fn misfit(spec: &ProverPoolSpec, cluster: &Cluster) -> Option<(&'static str, String)> {
    let ProverPoolSpec {
        node_selector: _,
        tolerations: _,
        cache_root: _,
        runtime_class_name: _,
        resource_name: _,
        gpu_class_map,
        promises,
        namespaces: _,
        max_concurrent: _,
        images: _,
        allocation,
        device_class_name: _,
        quarantine: _,
    } = spec;
    let memories = gpu_class_map.iter().map(|rule| ("gpuClassMap", rule.class, &rule.memory));
    let promised = promises.iter().map(|of| ("promises", of.class, &of.memory));
    for (field, class, memory) in memories.chain(promised) {
        let Some(memory) = memory else { continue };
        if Memory::of_quantity(memory).is_none() {
            let class = catalogue::name(class);
            return Some((
                "Unsupported",
                format!("spec.{field}: {class} has memory {memory}; write it in Gi, as 80Gi"),
            ));
        }
    }
    let class = place::device_class(spec);
    match (&cluster.devices, allocation) {
        (None, Some(Allocation::Dra)) => {
            Some(("NoDynamicAllocation", "allocation: Dra, but the cluster does not serve resource.k8s.io/v1".into()))
        }
        (Some(devices), Some(Allocation::Dra)) if !devices.has_class(class) => {
            Some(("NoDeviceClass", format!("allocation: Dra, but there is no DeviceClass {class}")))
        }
        _ => None,
    }
}

fn notes(before: &ProverPoolStatus, status: &ProverPoolStatus, inventory: &Inventory) -> Vec<Note> {
    let is_in = |all: &[QuarantinedNode], node: &str| all.iter().any(|of| of.node == node);
    let mut notes = Vec::new();
    for QuarantinedNode { node, until, strikes, reason } in &status.quarantined {
        if !is_in(&before.quarantined, node) {
            let line =
                format!("node {node}: {strikes} failures of its GPU, the last {reason}; it returns at {}", until.0);
            notes.push(Note::warning("NodeQuarantined", line));
        }
    }
    for of in before.quarantined.iter().filter(|of| !is_in(&status.quarantined, &of.node)) {
        notes.push(Note::normal("NodeReleased", format!("node {} may prove again", of.node)));
    }
    let is_new = |node: &&String| !before.unknown_nodes.contains(node);
    if let Some(node) = status.unknown_nodes.iter().find(is_new) {
        let gpus = inventory.unknown.iter().find(|(of, _)| of.name_any() == **node).map_or(0, |(_, gpus)| *gpus);
        let line = format!("node {node} has {gpus} GPUs of which no label tells the class; name one in gpuClassMap");
        notes.push(Note::warning("UnknownGpuLabel", line));
    }
    notes
}
