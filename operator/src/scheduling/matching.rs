//! Which GPUs a job gets: the first class of its list that has a free one, else the first that is there at all; or why none will do, counted.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Node;
use obelysk_api::crd::proof_job::{Gpu, GpuClass, Sharing};
use obelysk_api::crd::schema::Toleration;

use super::catalogue::{self, CAPABILITY_FLOOR, DRIVER_FLOOR};
use super::dialects::Partition;
use super::inventory::{Inventory, Offer, describe, obstacle};
use crate::quantity;

/// What a job asks for, and what its pod can do.
#[derive(Clone, Debug, Default)]
pub struct Ask<'a> {
    /// Classes, memory, number, sharing.
    pub gpu: Gpu,
    /// Taints that its pod tolerates.
    pub tolerations: Vec<Toleration>,
    /// Processors of the image; those of the classes with images of their own apart.
    pub architectures: Vec<String>,
    /// Classes with images of their own.
    pub with_image: Vec<GpuClass>,
    /// Hostnames of nodes in quarantine, and until when.
    pub quarantined: BTreeMap<String, String>,
    /// Hostnames of the nodes that can read the model; none for all.
    pub only_on: &'a [String],
    /// Hostnames of nodes that the job stays away from.
    pub avoid: &'a [String],
}

/// GPUs that will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Class, where it is known.
    pub class: Option<GpuClass>,
    /// Extended resource.
    pub resource: String,
    /// Processor, where all nodes have the same.
    pub architecture: Option<String>,
    /// What tells the nodes: labels that one of them has together.
    pub labels: BTreeSet<BTreeMap<String, String>>,
    /// Whether one is free.
    pub is_free: bool,
    /// Whether a share is as good as a whole one.
    pub partition: Partition,
}

/// What a job is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// The best first.
    Found(Vec<Found>),
    /// One line for people.
    None(String),
}

/// Find the GPUs that a job may have.
#[must_use]
pub fn find(ask: &Ask, inventory: &Inventory) -> Match {
    let mut groups: BTreeMap<Rank, Vec<&Offer>> = BTreeMap::new();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for offer in &inventory.offers {
        match refusal(ask, offer) {
            None => groups.entry(Rank::of(ask, offer)).or_default().push(offer),
            Some(why) => {
                seen.entry(why).or_default().insert(offer.hostname());
            }
        }
    }
    if groups.is_empty() {
        return Match::None(explain(&ask.gpu, seen, &inventory.unknown));
    }
    let count = i64::from(ask.gpu.count);
    let mut found: Vec<Found> = groups.into_values().map(|offers| Found::of(&offers, count)).collect();
    // Stable: among the free ones, and among the others, the order of the list.
    found.sort_by_key(|found| !found.is_free);
    Match::Found(found)
}

impl Found {
    fn of(offers: &[&Offer], count: i64) -> Self {
        let first = offers[0];
        let architectures: BTreeSet<Option<&str>> = offers.iter().map(|offer| offer.architecture()).collect();
        let of_all = architectures.first().filter(|_| architectures.len() == 1).copied().flatten();
        Self {
            class: first.kind.class,
            resource: first.resource.clone(),
            architecture: of_all.map(str::to_owned),
            labels: offers.iter().map(|offer| offer.kind.labels.clone()).collect(),
            is_free: offers.iter().any(|offer| offer.free() >= count),
            partition: first.kind.partition.clone(),
        }
    }
}

/// Groups of offers among which the scheduler may choose, in the order in which a job takes them: its list of classes, whole cards before
/// parts, the least memory that will do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    preference: usize,
    class: Option<GpuClass>,
    name: String,
    partition: Partition,
    resource: String,
    memory_of_part: u64,
}

impl Rank {
    fn of(ask: &Ask, offer: &Offer) -> Self {
        let kind = &offer.kind;
        let listed = kind.class.and_then(|class| ask.gpu.classes.iter().position(|asked| *asked == class));
        // Where any will do: those of the catalogue, the smallest first, and then the others.
        let by_size = kind.class.map_or(usize::MAX, |class| class as usize);
        Self {
            preference: listed.unwrap_or(by_size),
            class: kind.class,
            name: kind.name.clone(),
            memory_of_part: if kind.partition == Partition::Whole { 0 } else { kind.memory.mebibytes },
            partition: kind.partition.clone(),
            resource: offer.resource.clone(),
        }
    }
}

/// Why a job does not take what a node offers, told after `1 node has`; nothing if it does.
fn refusal(ask: &Ask, offer: &Offer) -> Option<String> {
    let Gpu { classes, min_memory, count, gpu_only: _, sharing, pool_ref: _ } = &ask.gpu;
    let kind = &offer.kind;
    let what = describe(kind);
    let is_listed = kind.class.is_some_and(|class| classes.contains(&class));
    if !classes.is_empty() && !is_listed {
        let beside = offer.architecture().filter(|of| *of != "amd64");
        return Some(beside.map_or(what.clone(), |architecture| format!("{what} ({architecture})")));
    }
    let is_shared_enough = match (sharing.unwrap_or(Sharing::Exclusive), &kind.partition) {
        (_, Partition::Whole) => true,
        (Sharing::AllowMig, Partition::Mig(_)) | (Sharing::AllowShared, Partition::Shared(_)) => true,
        (_, Partition::Mig(_) | Partition::Shared(_) | Partition::SharedMig(_)) => false,
    };
    if !is_shared_enough {
        return Some(what);
    }
    let asked = min_memory.as_deref().and_then(quantity::bytes).unwrap_or(0);
    if !kind.memory.fits(asked) {
        return Some(what);
    }
    if offer.allocatable == 0 {
        return Some(format!("{what}, of which no device plugin offers any ({} is 0)", offer.resource));
    }
    if offer.allocatable < i64::from(*count) {
        return Some(format!("{what} x{}", offer.allocatable));
    }
    if let Some((major, minor)) = kind.capability.filter(|capability| *capability < CAPABILITY_FLOOR) {
        return Some(format!("{what} of compute capability {major}.{minor}, older than 8.0"));
    }
    if let Some(driver) = kind.driver.filter(|driver| *driver < DRIVER_FLOOR) {
        return Some(format!("{what} with driver {driver}, older than {DRIVER_FLOOR}"));
    }
    let has_image = kind.class.is_some_and(|class| ask.with_image.contains(&class));
    if let Some(architecture) =
        offer.architecture().filter(|of| !has_image && !ask.architectures.iter().any(|a| a == of))
    {
        return Some(format!("{what} ({architecture}, the image is for {})", ask.architectures.join(", ")));
    }
    let hostname = offer.hostname();
    if !ask.only_on.is_empty() && !ask.only_on.contains(&hostname) {
        return Some(format!("{what}, but no copy of the model"));
    }
    if let Some(until) = ask.quarantined.get(&hostname) {
        return Some(format!("{what} in quarantine until {until}"));
    }
    if ask.avoid.contains(&hostname) {
        return Some(format!("{what}, which failed for this job"));
    }
    let taint = obstacle(offer.node, &ask.tolerations)?;
    let value =
        taint.value.as_deref().filter(|value| !value.is_empty()).map_or(String::new(), |value| format!("={value}"));
    Some(format!("{what} with taint {}{value}:{}, which nothing tolerates", taint.key, taint.effect))
}

fn explain(gpu: &Gpu, seen: BTreeMap<String, BTreeSet<String>>, unknown: &[(&Node, i64)]) -> String {
    let mut counted: Vec<(usize, String)> = seen.into_iter().map(|(what, nodes)| (nodes.len(), what)).collect();
    if !unknown.is_empty() {
        let what = "GPUs of which no label tells the class (name one in gpuClassMap of a ProverPool)";
        counted.push((unknown.len(), what.into()));
    }
    // The most frequent first: a status has room for few.
    counted.sort_by_key(|(nodes, _)| std::cmp::Reverse(*nodes));
    let there: Vec<String> = counted
        .iter()
        .map(|(nodes, what)| format!("{nodes} node{} {what}", if *nodes == 1 { " has" } else { "s have" }))
        .collect();
    let there = if there.is_empty() { "no node has a GPU that its labels tell".to_owned() } else { there.join("; ") };
    format!("{there}; asked for {}", wanted(gpu))
}

/// What a job asks for.
#[must_use]
pub fn wanted(gpu: &Gpu) -> String {
    let Gpu { classes, min_memory, count, gpu_only: _, sharing, pool_ref } = gpu;
    let names: Vec<&str> = classes.iter().map(|&class| catalogue::name(class)).collect();
    let mut wanted = if names.is_empty() { "a GPU".to_owned() } else { names.join(" or ") };
    if let Some(memory) = min_memory {
        wanted.push_str(&format!(" with {memory}"));
    }
    if *count > 1 {
        wanted.push_str(&format!(" x{count}"));
    }
    match sharing {
        Some(Sharing::AllowMig) => wanted.push_str(" or a MIG slice"),
        Some(Sharing::AllowShared) => wanted.push_str(" or a share"),
        Some(Sharing::Exclusive) | None => {}
    }
    if let Some(pool) = pool_ref {
        wanted.push_str(&format!(" of ProverPool {}", pool.name));
    }
    wanted
}
