//! Which nodes have the GPUs that a job asks for, by the labels of NVIDIA's feature discovery.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use obelysk_api::crd::proof_job::{Gpu, GpuClass};

use crate::quantity;

/// Extended resource of a GPU.
pub const RESOURCE: &str = "nvidia.com/gpu";
/// Label with the product's name.
pub const PRODUCT: &str = "nvidia.com/gpu.product";
/// Label with the memory of a GPU in MiB.
const MEMORY: &str = "nvidia.com/gpu.memory";

/// Known classes: how a product label names them, and the memory of one GPU in GiB where no label says it.
const CATALOGUE: [(GpuClass, &str, u64); 6] = [
    (GpuClass::RTX4090, "RTX-4090", 24),
    (GpuClass::A100, "A100", 40),
    (GpuClass::H100, "H100", 80),
    (GpuClass::H200, "H200", 141),
    (GpuClass::B200, "B200", 180),
    (GpuClass::B300, "B300", 288),
];

/// Name of a class in status and messages.
#[must_use]
pub fn name(class: GpuClass) -> &'static str {
    match class {
        GpuClass::RTX4090 => "RTX4090",
        GpuClass::A100 => "A100",
        GpuClass::H100 => "H100",
        GpuClass::H200 => "H200",
        GpuClass::B200 => "B200",
        GpuClass::B300 => "B300",
    }
}

/// The class of a product label such as `NVIDIA-H100-80GB-HBM3`.
#[must_use]
pub fn class_of_product(product: &str) -> Option<GpuClass> {
    let product = product.to_ascii_uppercase().replace([' ', '_'], "-");
    CATALOGUE.iter().find(|(_, pattern, _)| product.contains(pattern)).map(|(class, _, _)| *class)
}

/// Products that fit, or why none does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Product labels of nodes that fit, those of the preferred class first.
    Products(Vec<String>),
    /// One line for people.
    None(String),
}

/// Find the products that a job may run on. Whether their GPUs are free is the scheduler's concern.
#[must_use]
pub fn fit(gpu: &Gpu, nodes: &[Node]) -> Fit {
    let asked = gpu.min_memory.as_deref().and_then(quantity::bytes).unwrap_or(0);
    let mut products: BTreeMap<(usize, String), ()> = BTreeMap::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for node in nodes {
        let labels = node.metadata.labels.clone().unwrap_or_default();
        let Some(product) = labels.get(PRODUCT) else { continue };
        let class = class_of_product(product);
        let memory = labels
            .get(MEMORY)
            .and_then(|mebibytes| mebibytes.parse::<u64>().ok())
            .map(|mebibytes| mebibytes.saturating_mul(1 << 20))
            .or_else(|| CATALOGUE.iter().find(|(known, _, _)| Some(*known) == class).map(|(_, _, gib)| gib << 30))
            .unwrap_or(0);
        let allocatable = node
            .status
            .as_ref()
            .and_then(|status| status.allocatable.as_ref())
            .and_then(|resources| resources.get(RESOURCE))
            .and_then(|count| count.0.parse::<i32>().ok())
            .unwrap_or(0);
        let description = format!("{} {}Gi", class.map_or(product.as_str(), |class| name(class)), memory >> 30);
        *seen
            .entry(if allocatable >= gpu.count { description } else { format!("{description} x{allocatable}") })
            .or_default() += 1;
        let preference = match class {
            _ if gpu.classes.is_empty() => Some(0),
            Some(class) => gpu.classes.iter().position(|asked| *asked == class),
            None => None,
        };
        if let Some(preference) = preference
            && memory >= asked
            && allocatable >= gpu.count
        {
            products.insert((preference, product.clone()), ());
        }
    }
    if !products.is_empty() {
        return Fit::Products(products.into_keys().map(|(_, product)| product).collect());
    }
    let classes: Vec<&str> = gpu.classes.iter().map(|&class| name(class)).collect();
    let mut wanted = if classes.is_empty() { "a GPU".to_owned() } else { classes.join(" or ") };
    if let Some(memory) = &gpu.min_memory {
        wanted.push_str(&format!(" with {memory}"));
    }
    if gpu.count > 1 {
        wanted.push_str(&format!(" x{}", gpu.count));
    }
    let there: Vec<String> = seen
        .iter()
        .map(|(what, count)| format!("{count} node{} {what}", if *count == 1 { " has" } else { "s have" }))
        .collect();
    let there = if there.is_empty() { format!("no node has label {PRODUCT}") } else { there.join(", ") };
    Fit::None(format!("{there}; asked for {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    fn node(product: &str, gpus: i32) -> Node {
        let mut node = Node::default();
        node.metadata.labels = Some([(PRODUCT.to_owned(), product.to_owned())].into());
        node.status.get_or_insert_default().allocatable =
            Some([(RESOURCE.to_owned(), Quantity(gpus.to_string()))].into());
        node
    }

    #[test]
    fn product_labels_name_their_class() {
        for (product, class) in [
            ("NVIDIA-GeForce-RTX-4090", GpuClass::RTX4090),
            ("NVIDIA-A100-SXM4-80GB", GpuClass::A100),
            ("NVIDIA-H100-80GB-HBM3", GpuClass::H100),
            ("NVIDIA H200", GpuClass::H200),
            ("NVIDIA-B200", GpuClass::B200),
            ("NVIDIA-B300-SXM6-AC", GpuClass::B300),
        ] {
            assert_eq!(class_of_product(product), Some(class), "{product}");
        }
        assert_eq!(class_of_product("Tesla-T4"), None);
    }

    #[test]
    fn preferred_classes_come_first() {
        let gpu = Gpu { classes: vec![GpuClass::H200, GpuClass::H100], count: 1, ..Gpu::default() };
        let nodes = [node("NVIDIA-H100-80GB-HBM3", 8), node("NVIDIA-H200", 8), node("NVIDIA-B200", 8)];
        assert_eq!(fit(&gpu, &nodes), Fit::Products(vec!["NVIDIA-H200".into(), "NVIDIA-H100-80GB-HBM3".into()]));
    }

    #[test]
    fn a_job_that_fits_nowhere_is_told_what_there_is() {
        let gpu = Gpu { classes: vec![GpuClass::H100], min_memory: Some("96Gi".into()), count: 1, ..Gpu::default() };
        let nodes = [node("NVIDIA-H100-80GB-HBM3", 8), node("NVIDIA-H100-80GB-HBM3", 8)];
        assert_eq!(fit(&gpu, &nodes), Fit::None("2 nodes have H100 80Gi; asked for H100 with 96Gi".into()));
        assert_eq!(
            fit(&gpu, &[]),
            Fit::None("no node has label nvidia.com/gpu.product; asked for H100 with 96Gi".into())
        );
    }
}
