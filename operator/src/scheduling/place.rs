//! Looks for a place: the pool of the job, the GPUs that match, and everything that a pod needs to reach them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement};
use kube::ResourceExt;
use obelysk_api::crd::proof_job::{Gpu, GpuClass, PodOverrides};
use obelysk_api::crd::prover_pool::{Allocation, ClassRule};
use obelysk_api::crd::schema::Toleration;
use obelysk_api::crd::{ProverPool, ProverPoolSpec};

use super::catalogue::{self, Architecture, Memory};
use super::devices;
use super::dialects::{ARCHITECTURE, GKE_PARTITION, GKE_SHARING, Partition, SHARING};
use super::inventory::{self, GPU, Inventory, Nodes};
use super::matching::{self, Ask, Found, Match};
use super::placement::{
    Cluster, Device, NoPlace, Placement, Seeker, gpu_toleration, no_place, of_architectures, requirement,
};
use crate::quantity;

/// What a pool, or the lack of one, means for a job.
struct Terms<'a> {
    name: Option<String>,
    spec: ProverPoolSpec,
    rules: Vec<ClassRule>,
    nodes: Vec<&'a Node>,
}

impl<'a> Terms<'a> {
    fn of(cluster: &Cluster, pool: Option<&ProverPool>, overrides: &PodOverrides, nodes: &'a Nodes) -> Self {
        let spec = pool.map(|pool| pool.spec.clone()).unwrap_or_default();
        let rules = match pool {
            Some(pool) => pool.spec.gpu_class_map.clone(),
            // What a label means does not depend on who asks.
            None => cluster.pools.iter().flat_map(|pool| pool.spec.gpu_class_map.clone()).collect(),
        };
        let asked = ProverPoolSpec { node_selector: overrides.node_selector.clone(), ..ProverPoolSpec::default() };
        let is_in_scope = |node: &&Node| inventory::is_of_pool(node, &spec) && inventory::is_of_pool(node, &asked);
        let nodes = nodes.values().map(Arc::as_ref).filter(is_in_scope).collect();
        Self { name: pool.map(ResourceExt::name_any), spec, rules, nodes }
    }

    /// What a job asks of GPUs that its pods may use: those of classes with images of their own among them.
    fn ask<'s>(&self, seeker: &Seeker<'s>, tolerations: &[Toleration], architectures: &[String]) -> Ask<'s> {
        Ask {
            gpu: seeker.gpu.clone(),
            tolerations: tolerations.iter().chain(&seeker.overrides.tolerations).cloned().collect(),
            architectures: architectures.to_vec(),
            with_image: self.spec.images.iter().map(|image| image.class).collect(),
            only_on: seeker.only_on,
            ..Ask::default()
        }
    }

    fn image(&self, class: Option<GpuClass>) -> Option<String> {
        let of = self.spec.images.iter().find(|image| Some(image.class) == class);
        of.map(|image| image.image.clone())
    }

    /// Taints that the job's pods tolerate: of GPUs, of the resource, of the processors that there are images for, of the pool.
    fn tolerations(&self, architectures: &[String]) -> Vec<Toleration> {
        let mut all = vec![gpu_toleration()];
        let resource = resource(&self.spec);
        if resource != GPU {
            all.push(Toleration { key: Some(resource.into()), ..gpu_toleration() });
        }
        let arm = Architecture::Arm64;
        let is_of_arm = |class: GpuClass| catalogue::of_class(class).iter().any(|product| product.architecture == arm);
        let has_arm = architectures.iter().any(|of| of == arm.name());
        if has_arm || self.spec.images.iter().any(|image| is_of_arm(image.class)) {
            // GKE keeps other pods away from such nodes.
            let value = Some(arm.name().to_owned());
            let key = Some(ARCHITECTURE.to_owned());
            all.push(Toleration { key, operator: Some("Equal".into()), value, effect: None });
        }
        all.extend(self.spec.tolerations.iter().cloned());
        all
    }
}

/// Extended resource of a pool's GPUs.
fn resource(pool: &ProverPoolSpec) -> &str {
    pool.resource_name.as_deref().unwrap_or(GPU)
}

/// DeviceClass of a pool's whole GPUs.
#[must_use]
pub fn device_class(pool: &ProverPoolSpec) -> &str {
    pool.device_class_name.as_deref().unwrap_or(devices::DRIVER)
}

/// How pods of a pool get their GPUs, and what its nodes offer.
#[must_use]
pub fn allocation<'a>(
    pool: &ProverPoolSpec,
    rules: &[ClassRule],
    nodes: &[&'a Node],
    cluster: &Cluster,
) -> (Allocation, Inventory<'a>) {
    let device_class = device_class(pool);
    let of_plugin = || Inventory::of(nodes.iter().copied(), &cluster.usage, resource(pool), rules);
    let of_devices = || {
        let devices = cluster.devices.as_ref().filter(|devices| devices.has_class(device_class));
        devices.map(|devices| devices.inventory(nodes.iter().copied(), device_class))
    };
    match pool.allocation {
        Some(Allocation::DevicePlugin) => (Allocation::DevicePlugin, of_plugin()),
        Some(Allocation::Dra) => (Allocation::Dra, of_devices().unwrap_or_default()),
        None => {
            let of_plugin = of_plugin();
            let has_plugin =
                of_plugin.offers.iter().any(|offer| offer.allocatable > 0) || !of_plugin.unknown.is_empty();
            let of_devices = of_devices().filter(|devices| !has_plugin && !devices.offers.is_empty());
            match of_devices {
                Some(devices) => (Allocation::Dra, devices),
                None => (Allocation::DevicePlugin, of_plugin),
            }
        }
    }
}

/// A place for a pod that proves.
///
/// # Errors
/// There is none; why.
pub fn place(
    seeker: &Seeker,
    cluster: &Cluster,
    nodes: &Nodes,
    architectures: &[String],
) -> Result<Placement, NoPlace> {
    let pool = cluster.pool_of(seeker.namespace, seeker.gpu)?;
    let terms = Terms::of(cluster, pool, seeker.overrides, nodes);
    let (allocation, inventory) = self::allocation(&terms.spec, &terms.rules, &terms.nodes, cluster);
    let quarantined = cluster.quarantined(nodes);
    let tolerations = terms.tolerations(architectures);
    let mut ask = terms.ask(seeker, &tolerations, architectures);
    (ask.quarantined, ask.avoid) = (quarantined.clone(), seeker.avoid);
    let mut matched = matching::find(&ask, &inventory);
    // A suspicious node is better than none.
    if matches!(matched, Match::None(_)) {
        ask.avoid = &[];
        matched = matching::find(&ask, &inventory);
    }
    let mut placement = Placement {
        pool: terms.name.clone(),
        node_selector: terms.spec.node_selector.clone(),
        avoid: quarantined.into_keys().chain(ask.avoid.iter().cloned()).collect(),
        only_on: seeker.only_on.to_vec(),
        tolerations,
        runtime_class: terms.spec.runtime_class_name.clone(),
        ..Placement::default()
    };
    placement.avoid.dedup();
    let (class, partition, architecture, resource) = match matched {
        Match::Found(found) => {
            let Found { class, resource, architecture, labels: _, is_free: _, partition } = &found[0];
            if allocation == Allocation::DevicePlugin {
                placement.terms = of_found(&found[..1], &terms.spec, architectures);
            }
            (*class, partition.clone(), architecture.clone(), resource.clone())
        }
        Match::None(why) => {
            let why = nothing_there(seeker, &terms, nodes.len(), allocation, &inventory).unwrap_or(why);
            let class = promised(seeker.gpu, &terms, architectures, &why)?;
            let product = catalogue::of_class(class).into_iter().next();
            let architecture = product.map(|product| product.architecture.name().to_owned());
            (Some(class), Partition::Whole, architecture, resource(&terms.spec).to_owned())
        }
    };
    if placement.terms.is_empty() {
        let of = architecture.map_or_else(|| architectures.to_vec(), |architecture| vec![architecture]);
        placement.terms = of_architectures(&of);
    }
    placement.image = terms.image(class);
    placement.device = Some(match allocation {
        Allocation::DevicePlugin => Device::Resource(resource, seeker.gpu.count),
        Allocation::Dra => {
            // A pod has one image, so the alternatives are the classes that run it.
            let has_image = |of: &&GpuClass| terms.image(Some(**of)) == placement.image;
            let classes: Vec<GpuClass> = seeker.gpu.classes.iter().filter(has_image).copied().collect();
            let claim = devices::claim(seeker.gpu, &classes, device_class(&terms.spec));
            let (most, has) = (devices::ALTERNATIVES, devices::alternatives(&claim));
            if has > most {
                let line = format!(
                    "a ResourceClaim has room for {most} alternatives, and these classes make {has}: name fewer"
                );
                return no_place("TooManyClasses", line);
            }
            Device::Claim(Box::new(claim))
        }
    });
    if partition == Partition::Whole && allocation == Allocation::DevicePlugin {
        for term in &mut placement.terms {
            term.extend(of_whole_cards());
        }
    }
    Ok(placement)
}

/// A place for a pod that reads what a pod on a GPU has written, and takes none itself.
#[must_use]
pub fn place_beside(
    seeker: &Seeker,
    cluster: &Cluster,
    nodes: &Nodes,
    architectures: &[String],
    proved_on: Option<&str>,
) -> Placement {
    let pool = cluster.pool_of(seeker.namespace, seeker.gpu).ok().flatten();
    let terms = Terms::of(cluster, pool, seeker.overrides, nodes);
    let (allocation, inventory) = self::allocation(&terms.spec, &terms.rules, &terms.nodes, cluster);
    let tolerations = terms.tolerations(architectures);
    let class = catalogue::PRODUCTS.iter().map(|of| of.class).find(|of| Some(catalogue::name(*of)) == proved_on);
    let image = terms.image(class);
    let found = match matching::find(&terms.ask(seeker, &tolerations, architectures), &inventory) {
        Match::Found(found) => found.into_iter().filter(|found| terms.image(found.class) == image).collect(),
        Match::None(_) => Vec::new(),
    };
    let of_image = class.filter(|_| image.is_some()).and_then(|class| catalogue::of_class(class).into_iter().next());
    let architectures = of_image.map_or_else(|| architectures.to_vec(), |of| vec![of.architecture.name().to_owned()]);
    let of_gpus = Some(of_found(&found, &terms.spec, &architectures));
    Placement {
        pool: terms.name.clone(),
        // Nodes of the job's GPUs, where a volume of one zone or node lies; if they have gone, any.
        terms: of_gpus
            .filter(|of| !of.is_empty() && allocation == Allocation::DevicePlugin)
            .unwrap_or_else(|| of_architectures(&architectures)),
        node_selector: if terms.nodes.is_empty() { BTreeMap::new() } else { terms.spec.node_selector.clone() },
        only_on: seeker.only_on.to_vec(),
        tolerations,
        image,
        ..Placement::default()
    }
}

/// Nodes that do not say that they share or slice their cards: what names the card is the same on those that do.
fn of_whole_cards() -> [NodeSelectorRequirement; 3] {
    let absent = |key: &str| NodeSelectorRequirement { key: key.into(), operator: "DoesNotExist".into(), values: None };
    let shared = vec!["time-slicing".into(), "mps".into()];
    [requirement(SHARING, "NotIn", shared), absent(GKE_SHARING), absent(GKE_PARTITION)]
}

/// Terms of the nodes that were found. A pool that promises one class has nodes of that class, however they are labelled: an autoscaler does not
/// know what will be on a node that it adds.
fn of_found(found: &[Found], pool: &ProverPoolSpec, architectures: &[String]) -> Vec<Vec<NodeSelectorRequirement>> {
    let of = |found: &Found| {
        let is_promised = !pool.promises.is_empty() && pool.promises.iter().all(|of| Some(of.class) == found.class);
        let labels = if is_promised { Default::default() } else { found.labels.clone() };
        let architectures = found.architecture.clone().map_or_else(|| architectures.to_vec(), |of| vec![of]);
        let labels = if labels.is_empty() { vec![BTreeMap::new()] } else { labels.into_iter().collect() };
        labels.into_iter().map(move |labels| {
            let of_labels = labels.into_iter().map(|(key, value)| requirement(&key, "In", vec![value]));
            of_labels.chain([requirement(ARCHITECTURE, "In", architectures.clone())]).collect()
        })
    };
    found.iter().flat_map(of).collect()
}

/// Why there is nothing at all to choose from, if so.
fn nothing_there(
    seeker: &Seeker,
    terms: &Terms,
    nodes: usize,
    allocation: Allocation,
    inventory: &Inventory,
) -> Option<String> {
    let wanted = matching::wanted(seeker.gpu);
    if terms.nodes.is_empty() && nodes > 0 {
        let labels = terms.spec.node_selector.iter().chain(&seeker.overrides.node_selector);
        let labels: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
        return Some(format!("no node has the labels {}; asked for {wanted}", labels.join(", ")));
    }
    let is_empty = inventory.offers.is_empty() && allocation == Allocation::Dra;
    is_empty.then(|| format!("no ResourceSlice of {} has a GPU of these nodes; asked for {wanted}", devices::DRIVER))
}

/// The first class that the pool promises and that will do.
fn promised(gpu: &Gpu, terms: &Terms, architectures: &[String], why: &str) -> Result<GpuClass, NoPlace> {
    let asked = gpu.min_memory.as_deref().and_then(quantity::bytes).unwrap_or(0);
    let will_do = |class: GpuClass, memory: Option<&str>| {
        let smallest = catalogue::of_class(class).into_iter().next();
        let of_memory = memory.and_then(Memory::of_quantity).or(smallest.map(Memory::of_product)).unwrap_or_default();
        let has_image = terms.image(Some(class)).is_some();
        let runs = smallest.is_some_and(|of| architectures.iter().any(|a| a == of.architecture.name()));
        (gpu.classes.is_empty() || gpu.classes.contains(&class)) && of_memory.fits(asked) && (has_image || runs)
    };
    let promises = &terms.spec.promises;
    let mut fitting: Vec<GpuClass> =
        promises.iter().filter(|of| will_do(of.class, of.memory.as_deref())).map(|of| of.class).collect();
    fitting.sort_by_key(|class| gpu.classes.iter().position(|asked| asked == class));
    let Some(class) = fitting.first() else { return no_place("NoMatchingGpu", why) };
    if fitting.len() < promises.len() {
        let pool = terms.name.as_deref().unwrap_or_default();
        let line = format!(
            "ProverPool {pool} promises several classes, and a new node may have another: make a pool for each"
        );
        return no_place("NoMatchingGpu", format!("{line}; {why}"));
    }
    Ok(*class)
}
