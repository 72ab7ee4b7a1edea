//! GPUs of dynamic resource allocation: what drivers publish in ResourceSlices, and the claim that a job becomes.
//! <https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::resource::v1::{
    CELDeviceSelector, Device, DeviceClaim, DeviceClass, DeviceRequest, DeviceSelector, DeviceSubRequest,
    ExactDeviceRequest, ResourceClaim, ResourceSlice,
};
use kube::ResourceExt;
use obelysk_api::crd::proof_job::{Gpu, GpuClass, Sharing};

use super::catalogue::{self, DRIVER_FLOOR, Memory, Product};
use super::dialects::{Kind, Partition, memory_of_slice};
use super::inventory::{Inventory, Offer};
use crate::quantity;

/// Driver, domain of its attributes, and DeviceClass of a whole GPU.
pub const DRIVER: &str = "gpu.nvidia.com";
/// DeviceClass of a MIG slice.
pub const MIG_CLASS: &str = "mig.nvidia.com";
/// Name of the request in a claim, and of the claim in a pod.
pub const REQUEST: &str = "gpu";
/// Most alternatives of a request, by the API.
pub const ALTERNATIVES: usize = 8;

/// What the cluster serves of `resource.k8s.io/v1`.
#[derive(Clone, Debug, Default)]
pub struct Devices {
    /// DeviceClasses.
    pub classes: Vec<Arc<DeviceClass>>,
    /// What drivers publish.
    pub slices: Vec<Arc<ResourceSlice>>,
    /// What is allocated.
    pub claims: Vec<Arc<ResourceClaim>>,
}

impl Devices {
    /// Whether there is a DeviceClass of this name.
    #[must_use]
    pub fn has_class(&self, name: &str) -> bool {
        self.classes.iter().any(|class| class.name_any() == name)
    }

    /// The slices that count: of the newest generation of each pool.
    fn current(&self) -> impl Iterator<Item = &ResourceSlice> {
        let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
        let of_driver = || self.slices.iter().map(Arc::as_ref).filter(|slice| slice.spec.driver == DRIVER);
        for slice in of_driver() {
            let pool = &slice.spec.pool;
            let known = newest.entry(&pool.name).or_default();
            *known = pool.generation.max(*known);
        }
        let is_newest =
            move |slice: &&ResourceSlice| newest.get(&*slice.spec.pool.name) == Some(&slice.spec.pool.generation);
        of_driver().filter(is_newest)
    }

    /// Devices that claims have, as pool and name.
    fn allocated(&self) -> BTreeSet<(&str, &str)> {
        let allocations =
            self.claims.iter().filter_map(|claim| claim.status.as_ref()?.allocation.as_ref()?.devices.as_ref());
        let results = allocations.flat_map(|devices| devices.results.iter().flatten());
        results.filter(|of| of.driver == DRIVER).map(|of| (of.pool.as_str(), of.device.as_str())).collect()
    }

    /// What nodes offer, as [`Inventory`] has it of device plugins.
    #[must_use]
    pub fn inventory<'a>(&self, nodes: impl IntoIterator<Item = &'a Node>, whole_class: &str) -> Inventory<'a> {
        let nodes: BTreeMap<String, &Node> = nodes.into_iter().map(|node| (node.name_any(), node)).collect();
        let taken = self.allocated();
        let mut offers: BTreeMap<(String, String), Offer> = BTreeMap::new();
        for slice in self.current() {
            for device in slice.spec.devices.iter().flatten() {
                let name = device.node_name.as_ref().or(slice.spec.node_name.as_ref());
                let Some((name, node)) = name.and_then(|name| nodes.get_key_value(name)) else { continue };
                let Some(kind) = kind(device) else { continue };
                let resource = if kind.partition == Partition::Whole { whole_class } else { MIG_CLASS };
                let what = super::inventory::describe(&kind);
                let offer = offers.entry((name.clone(), what)).or_insert_with(|| Offer {
                    node,
                    kind,
                    resource: resource.to_owned(),
                    allocatable: 0,
                    in_use: 0,
                });
                offer.allocatable += 1;
                offer.in_use += i64::from(taken.contains(&(slice.spec.pool.name.as_str(), device.name.as_str())));
            }
        }
        Inventory { offers: offers.into_values().collect(), unknown: Vec::new() }
    }
}

/// What a device is by its attributes; nothing for what is no GPU.
fn kind(device: &Device) -> Option<Kind> {
    let attribute = |name: &str| {
        let all = device.attributes.as_ref()?;
        all.get(name).or_else(|| all.get(&format!("{DRIVER}/{name}")))
    };
    let text = |name: &str| attribute(name)?.string.clone();
    let version = |name: &str| -> Option<(u64, u64)> {
        let mut parts = attribute(name)?.version.as_deref()?.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next().flatten().unwrap_or(0)))
    };
    let capacity = device.capacity.as_ref();
    let memory = capacity.and_then(|all| all.get("memory").or_else(|| all.get(&format!("{DRIVER}/memory"))));
    let reported =
        memory.and_then(|memory| quantity::bytes(&memory.value.0)).map(|bytes| Memory::of_mebibytes(bytes >> 20));
    let product_name = text("productName")?;
    let product = catalogue::of_driver_name(&product_name);
    let partition = match text("type").as_deref() {
        Some("gpu") | None => Partition::Whole,
        Some("mig") => Partition::Mig(text("profile").unwrap_or_default()),
        Some(_) => return None,
    };
    let memory = match (&partition, product) {
        (Partition::Whole, Some(product)) => Memory {
            mebibytes: reported.map_or(product.mebibytes, |reported| reported.mebibytes),
            ..Memory::of_product(product)
        },
        (Partition::Mig(profile), _) => memory_of_slice(profile, reported),
        _ => reported.unwrap_or_default(),
    };
    Some(Kind {
        class: product.map(|product| product.class),
        name: product.map_or(product_name, |product| catalogue::name(product.class).to_owned()),
        product,
        memory,
        partition,
        driver: version("driverVersion").map(|(major, _)| major),
        capability: version("cudaComputeCapability").or(product.map(|product| product.capability)),
        labels: BTreeMap::new(),
    })
}

/// The claim of a job: one alternative per class, in the order of its list; where it takes slices too, each class's slices come after its
/// whole cards. A list that is empty takes any device that the kernels are for.
#[must_use]
pub fn claim(gpu: &Gpu, classes: &[GpuClass], whole_class: &str) -> DeviceClaim {
    let Gpu { classes: _, min_memory, count, gpu_only: _, sharing, pool_ref: _ } = gpu;
    let asked = min_memory.as_deref().and_then(quantity::bytes).unwrap_or(0);
    let device_classes: &[&str] = match sharing {
        Some(Sharing::AllowMig) => &[whole_class, MIG_CLASS],
        // A card of one's own is as good as a share.
        Some(Sharing::Exclusive | Sharing::AllowShared) | None => &[whole_class],
    };
    let mut alternatives: Vec<(String, String, String)> = Vec::new();
    let mut add = |name: String, what: &Option<GpuClass>| {
        for device_class in device_classes {
            let is_slice = *device_class == MIG_CLASS;
            let name = if is_slice { format!("{name}-slice") } else { name.clone() };
            if let Some(expression) = expression(*what, asked, is_slice) {
                alternatives.push((name, (*device_class).to_owned(), expression));
            }
        }
    };
    if classes.is_empty() {
        add("any".into(), &None);
    }
    for class in classes {
        add(catalogue::name(*class).to_ascii_lowercase(), &Some(*class));
    }
    let count = Some(i64::from(*count));
    let selectors = |expression: String| Some(vec![DeviceSelector { cel: Some(CELDeviceSelector { expression }) }]);
    let request = match alternatives.len() {
        1 => {
            let (_, device_class_name, expression) = alternatives.remove(0);
            let exactly =
                ExactDeviceRequest { count, device_class_name, selectors: selectors(expression), ..Default::default() };
            DeviceRequest { name: REQUEST.into(), exactly: Some(exactly), first_available: None }
        }
        _ => {
            let of = |(name, device_class_name, expression)| DeviceSubRequest {
                count,
                device_class_name,
                name,
                selectors: selectors(expression),
                ..Default::default()
            };
            let first_available = Some(alternatives.into_iter().map(of).collect());
            DeviceRequest { name: REQUEST.into(), exactly: None, first_available }
        }
    };
    DeviceClaim { requests: Some(vec![request]), ..DeviceClaim::default() }
}

/// How many alternatives a claim has.
#[must_use]
pub fn alternatives(claim: &DeviceClaim) -> usize {
    let requests = claim.requests.iter().flatten();
    requests.map(|request| request.first_available.as_ref().map_or(1, Vec::len)).max().unwrap_or_default()
}

/// What a device must be, in CEL; nothing where no product of the class has the memory.
fn expression(class: Option<GpuClass>, asked: u64, is_slice: bool) -> Option<String> {
    let attributes = format!("device.attributes[\"{DRIVER}\"]");
    let mut terms = Vec::new();
    // Within the reserve of drivers; a product that is sold with as much may report less.
    let mut bytes = asked / 102 * 100;
    match class {
        Some(class) => {
            let products: Vec<&Product> = catalogue::of_class(class)
                .into_iter()
                .filter(|product| Memory::of_product(product).fits(asked))
                .collect();
            let smallest = products.first()?;
            if !is_slice {
                bytes = bytes.min((smallest.mebibytes << 20) / 100 * 98);
            }
            let names = products.iter().flat_map(|product| product.driver_names);
            let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
            terms.push(format!("{attributes}.productName in [{}]", names.join(", ")));
        }
        None => {
            let (major, minor) = catalogue::CAPABILITY_FLOOR;
            terms.push(format!("{attributes}.cudaComputeCapability.compareTo(semver(\"{major}.{minor}.0\")) >= 0"));
        }
    }
    // Devices of MIG do not all say which driver they have.
    if !is_slice {
        terms.push(format!("{attributes}.driverVersion.compareTo(semver(\"{DRIVER_FLOOR}.0.0\")) >= 0"));
    }
    if bytes > 0 {
        let mebibytes = bytes >> 20;
        terms.push(format!("device.capacity[\"{DRIVER}\"].memory.compareTo(quantity(\"{mebibytes}Mi\")) >= 0"));
    }
    Some(terms.join(" && "))
}
