//! What the labels of a node say of its GPUs. Every cloud and every tool has labels of its own; the first dialect of the list that a node speaks
//! counts.

use std::collections::BTreeMap;

use obelysk_api::crd::proof_job::GpuClass;
use obelysk_api::crd::prover_pool::ClassRule;

use super::catalogue::{self, Memory, PRODUCTS, Product};

/// Label of the processor.
pub const ARCHITECTURE: &str = "kubernetes.io/arch";
/// Label of GPU feature discovery with the sharing of its GPUs: `none`, `time-slicing` or `mps`.
pub const SHARING: &str = "nvidia.com/gpu.sharing-strategy";
/// The same of GKE: `time-sharing` or `mps`.
pub const GKE_SHARING: &str = "cloud.google.com/gke-gpu-sharing-strategy";
/// MIG profile of GKE.
pub const GKE_PARTITION: &str = "cloud.google.com/gke-gpu-partition-size";
/// Major version of the driver, now and in earlier releases of feature discovery.
const DRIVER: [&str; 2] = ["nvidia.com/cuda.driver-version.major", "nvidia.com/cuda.driver.major"];
/// Compute capability.
const CAPABILITY: [&str; 2] = ["nvidia.com/gpu.compute.major", "nvidia.com/gpu.compute.minor"];
/// Machine, which tells the GPU where nothing else does.
const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
/// End of a product label whose GPUs are shared.
const SHARED_SUFFIX: &str = "-SHARED";
/// Before the MIG profile in a product label.
const MIG_INFIX: &str = "-MIG-";

/// How a dialect names products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Driver,
    Gke,
    Short,
    InstanceType,
}

/// A dialect: the label with the name, and the one with the memory in MiB, if it has one.
struct Dialect {
    label: &'static str,
    memory: Option<&'static str>,
    names: Names,
}

/// In the order of what they tell: feature discovery reads the card, an instance type is a guess from the outside.
const DIALECTS: [Dialect; 11] = [
    // GPU feature discovery; the GPU operator on any cluster.
    Dialect { label: "nvidia.com/gpu.product", memory: Some("nvidia.com/gpu.memory"), names: Names::Driver },
    // GKE.
    Dialect { label: "cloud.google.com/gke-accelerator", memory: None, names: Names::Gke },
    // Karpenter on AWS.
    Dialect {
        label: "karpenter.k8s.aws/instance-gpu-name",
        memory: Some("karpenter.k8s.aws/instance-gpu-memory"),
        names: Names::Short,
    },
    // EKS Auto Mode.
    Dialect {
        label: "eks.amazonaws.com/instance-gpu-name",
        memory: Some("eks.amazonaws.com/instance-gpu-memory"),
        names: Names::Short,
    },
    // Karpenter on Azure, node auto-provisioning of AKS.
    Dialect { label: "karpenter.azure.com/sku-gpu-name", memory: None, names: Names::Short },
    // CoreWeave, before and after it had classes.
    Dialect { label: "gpu.nvidia.com/class", memory: None, names: Names::Short },
    Dialect { label: "gpu.nvidia.com/model", memory: None, names: Names::Short },
    // DigitalOcean.
    Dialect { label: "doks.digitalocean.com/gpu-model", memory: None, names: Names::Short },
    // Nebius.
    Dialect { label: "nebius.com/gpu-name", memory: None, names: Names::Short },
    // SkyPilot, which labels clusters that nobody else labels.
    Dialect { label: "skypilot.co/accelerator", memory: None, names: Names::Short },
    // AKS and EKS node groups, Oracle.
    Dialect { label: INSTANCE_TYPE, memory: None, names: Names::InstanceType },
];

/// What a pod gets of a GPU.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Partition {
    /// All of it, alone.
    Whole,
    /// A MIG slice of this profile.
    Mig(String),
    /// A share, by this means.
    Shared(String),
    /// A share of a MIG slice, which no job asks for.
    SharedMig(String),
}

impl Partition {
    /// With others on it.
    #[must_use]
    pub fn shared(self, by: &str) -> Self {
        match self {
            Self::Whole | Self::Shared(_) => Self::Shared(by.to_owned()),
            Self::Mig(_) | Self::SharedMig(_) => Self::SharedMig(by.to_owned()),
        }
    }
}

/// What the GPUs of a node are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Class, where it is known.
    pub class: Option<GpuClass>,
    /// Name of the class, else of the product as the label has it.
    pub name: String,
    /// Product, where the catalogue has it.
    pub product: Option<&'static Product>,
    /// Memory of what a pod gets.
    pub memory: Memory,
    /// What a pod gets.
    pub partition: Partition,
    /// Major version of the driver, where somebody says it.
    pub driver: Option<u64>,
    /// Compute capability, where somebody or the catalogue says it.
    pub capability: Option<(u64, u64)>,
    /// The labels that say so: nodes with the same have the same GPUs.
    pub labels: BTreeMap<String, String>,
}

type Labels = BTreeMap<String, String>;

/// What the GPUs of a node are by its labels, those that a pool explains first.
#[must_use]
pub fn kind(labels: &Labels, rules: &[ClassRule]) -> Option<Kind> {
    let mut kind =
        of_rules(labels, rules).or_else(|| DIALECTS.iter().find_map(|dialect| of_dialect(labels, dialect)))?;
    if let Some((label, by)) = sharing(labels) {
        kind.partition = kind.partition.shared(&by);
        kind.labels.insert(label.to_owned(), by);
    }
    if let Some(profile) = labels.get(GKE_PARTITION) {
        kind.memory = memory_of_profile(profile);
        kind.partition = Partition::Mig(profile.clone());
        kind.labels.insert(GKE_PARTITION.to_owned(), profile.clone());
    }
    let number = |label: &str| labels.get(label).and_then(|text| text.parse().ok());
    let [major, minor] = CAPABILITY.map(number);
    kind.driver = DRIVER.into_iter().find_map(number);
    kind.capability = major.zip(minor).or(kind.capability);
    Some(kind)
}

fn of_rules(labels: &Labels, rules: &[ClassRule]) -> Option<Kind> {
    let rule = rules.iter().find(|rule| labels.get(&rule.label) == Some(&rule.value))?;
    let ClassRule { label, value, class, memory } = rule;
    let asked = memory.as_deref().and_then(Memory::of_quantity);
    let product = of_memory(catalogue::of_class(*class), asked);
    Some(Kind {
        class: Some(*class),
        name: catalogue::name(*class).to_owned(),
        product,
        memory: asked.or(product.map(Memory::of_product)).unwrap_or_default(),
        partition: Partition::Whole,
        driver: None,
        capability: product.map(|product| product.capability),
        labels: [(label.clone(), value.clone())].into(),
    })
}

fn of_dialect(labels: &Labels, dialect: &Dialect) -> Option<Kind> {
    let value = labels.get(dialect.label)?;
    let (name, partition) = match dialect.names {
        Names::Driver => split(value),
        _ => (value.as_str(), Partition::Whole),
    };
    let named = |product: &&'static Product| match dialect.names {
        Names::Driver => catalogue::of_driver_name(name) == Some(*product),
        Names::Gke => product.gke_names.contains(&name),
        Names::Short => product.short_names.contains(&&*name.to_ascii_uppercase()),
        Names::InstanceType => product.instance_types.contains(&name),
    };
    let candidates: Vec<&'static Product> = PRODUCTS.iter().filter(named).collect();
    // Most machines have no GPU.
    if dialect.names == Names::InstanceType && candidates.is_empty() {
        return None;
    }
    let mut known_by: Labels = [(dialect.label.to_owned(), value.clone())].into();
    let memory_label = dialect.memory.and_then(|key| Some((key, labels.get(key)?)));
    let reported = memory_label.and_then(|(_, mebibytes)| mebibytes.parse().ok()).map(Memory::of_mebibytes);
    let is_ambiguous = candidates.len() > 1;
    if let Some((key, mebibytes)) = memory_label.filter(|_| is_ambiguous) {
        known_by.insert(key.to_owned(), mebibytes.clone());
    }
    let by_machine = labels.get(INSTANCE_TYPE).filter(|_| is_ambiguous && reported.is_none());
    let on_machine = by_machine.and_then(|machine| {
        let product = candidates.iter().find(|product| product.instance_types.contains(&machine.as_str()))?;
        known_by.insert(INSTANCE_TYPE.to_owned(), machine.clone());
        Some(*product)
    });
    let product = on_machine.or_else(|| of_memory(candidates, reported));
    Some(Kind {
        class: product.map(|product| product.class),
        name: product.map_or(name, |product| catalogue::name(product.class)).to_owned(),
        product,
        memory: match (&partition, reported, product) {
            (Partition::Whole | Partition::Shared(_), _, Some(product))
                if reported.is_none_or(|of| is_of(of, product)) =>
            {
                Memory {
                    mebibytes: reported.map_or(product.mebibytes, |of| of.mebibytes),
                    ..Memory::of_product(product)
                }
            }
            (Partition::Mig(profile), reported, _) => memory_of_slice(profile, reported),
            (_, Some(reported), _) => reported,
            _ => Memory::default(),
        },
        partition,
        driver: None,
        capability: product.map(|product| product.capability),
        labels: known_by,
    })
}

/// The product of a memory; the smallest where it is not told, so that no job gets less than it asks for.
fn of_memory(mut candidates: Vec<&'static Product>, memory: Option<Memory>) -> Option<&'static Product> {
    candidates.sort_by_key(|product| product.mebibytes);
    let fitting = memory.and_then(|memory| candidates.iter().find(|product| is_of(memory, product)));
    fitting.or(candidates.first()).copied()
}

/// Whether what is reported is the memory of a whole product: within a twentieth, since drivers reserve differently.
fn is_of(memory: Memory, product: &Product) -> bool {
    memory.mebibytes.abs_diff(product.mebibytes) * 20 <= product.mebibytes
        || memory.mebibytes.abs_diff(product.gigabytes << 10) * 20 <= product.mebibytes
}

/// A product label without what feature discovery puts behind it.
fn split(value: &str) -> (&str, Partition) {
    let (value, is_shared) = match value.strip_suffix(SHARED_SUFFIX) {
        Some(value) => (value, true),
        None => (value, false),
    };
    let (name, partition) = match value.split_once(MIG_INFIX) {
        Some((name, profile)) => (name, Partition::Mig(profile.to_owned())),
        None => (value, Partition::Whole),
    };
    (name, if is_shared { partition.shared("time-slicing") } else { partition })
}

/// Label and way of sharing, where GPUs are shared.
fn sharing(labels: &Labels) -> Option<(&'static str, String)> {
    [SHARING, GKE_SHARING].into_iter().find_map(|label| {
        let by = labels.get(label).filter(|by| !["none", ""].contains(&by.as_str()))?;
        Some((label, by.clone()))
    })
}

/// Memory of a slice: as sold by the name of its profile, and as reported where somebody does.
#[must_use]
pub fn memory_of_slice(profile: &str, reported: Option<Memory>) -> Memory {
    let by_name = memory_of_profile(profile);
    Memory { mebibytes: reported.map_or(by_name.mebibytes, |reported| reported.mebibytes), ..by_name }
}

/// Memory in the name of a MIG profile: `3g.40gb` has 40 GB, `1g.10gb.me` 10.
#[must_use]
pub fn memory_of_profile(profile: &str) -> Memory {
    let gigabytes = profile.split('.').find_map(|part| part.strip_suffix("gb")?.parse::<u64>().ok());
    // Slices have a little less than their share of the card.
    gigabytes.map_or(Memory::default(), |gigabytes| Memory { gigabytes, mebibytes: (gigabytes << 10) * 95 / 100 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_names_its_memory() {
        assert_eq!(memory_of_profile("3g.40gb").gigabytes, 40);
        assert_eq!(memory_of_profile("1g.10gb.me").gigabytes, 10);
        assert_eq!(memory_of_profile("INVALID"), Memory::default());
    }

    #[test]
    fn a_product_label_is_split_from_what_is_put_behind_it() {
        assert_eq!(split("NVIDIA-H100-80GB-HBM3"), ("NVIDIA-H100-80GB-HBM3", Partition::Whole));
        assert_eq!(split("NVIDIA-B200-MIG-1g.23gb"), ("NVIDIA-B200", Partition::Mig("1g.23gb".into())));
        assert_eq!(split("Tesla-T4-SHARED"), ("Tesla-T4", Partition::Shared("time-slicing".into())));
        assert_eq!(split("X-MIG-1g.5gb-SHARED"), ("X", Partition::SharedMig("time-slicing".into())));
    }
}
