//! Jobs on clusters with dynamic resource allocation: the claim that they become, and the reasons of devices.

mod support;

use std::sync::Arc;

use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use obelysk_operator::scheduling::devices::{Devices, claim};
use obelysk_operator::scheduling::placement::{Cluster, Device, Placement};
use serde_json::{Value, json};
use support::{by_name, discovered, gpu, look, look_with, node, pool};

/// A device as NVIDIA's driver publishes it.
fn device(name: &str, product: &str, gibibytes: u64, capability: &str) -> Value {
    json!({
        "name": name,
        "attributes": {
            "type": {"string": "gpu"}, "uuid": {"string": format!("GPU-{name}")}, "productName": {"string": product},
            "brand": {"string": "Nvidia"}, "cudaComputeCapability": {"version": capability},
            "driverVersion": {"version": "580.95.5"}, "cudaDriverVersion": {"version": "13.0.0"},
        },
        "capacity": {"memory": {"value": format!("{gibibytes}Gi")}},
    })
}

fn slice(node: &str, generation: i64, devices: Vec<Value>) -> Arc<ResourceSlice> {
    let slice = json!({
        "metadata": {"name": format!("{node}-gpu.nvidia.com-{generation}")},
        "spec": {
            "driver": "gpu.nvidia.com", "nodeName": node, "devices": devices,
            "pool": {"name": node, "generation": generation, "resourceSliceCount": 1},
        },
    });
    Arc::new(serde_json::from_value(slice).unwrap())
}

fn class(name: &str) -> Arc<DeviceClass> {
    Arc::new(serde_json::from_value(json!({"metadata": {"name": name}, "spec": {}})).unwrap())
}

fn devices(slices: Vec<Arc<ResourceSlice>>) -> Devices {
    Devices { classes: vec![class("gpu.nvidia.com"), class("mig.nvidia.com")], slices, claims: Vec::new() }
}

fn cluster(slices: Vec<Arc<ResourceSlice>>) -> Cluster {
    Cluster { devices: Some(devices(slices)), ..Cluster::default() }
}

fn bare(name: &str) -> k8s_openapi::api::core::v1::Node {
    node(name, json!({"kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64"}), json!({}), Value::Null)
}

fn claimed(placement: &Placement) -> Value {
    let Some(Device::Claim(claim)) = &placement.device else { panic!("no claim: {placement:?}") };
    serde_json::to_value(claim).unwrap()
}

#[test]
fn a_job_becomes_a_claim_with_an_alternative_for_each_class_in_order() {
    let asked = gpu(json!({"classes": ["H200", "A100"], "minMemory": "80Gi"}));
    let made = serde_json::to_value(claim(&asked, &asked.classes, "gpu.nvidia.com")).unwrap();
    let golden = json!({"requests": [{"name": "gpu", "firstAvailable": [
        {
            "name": "h200", "deviceClassName": "gpu.nvidia.com", "count": 1,
            "selectors": [{"cel": {"expression":
                "device.attributes[\"gpu.nvidia.com\"].productName in [\"NVIDIA H200\", \"NVIDIA H200 NVL\"] && \
                 device.attributes[\"gpu.nvidia.com\"].driverVersion.compareTo(semver(\"580.0.0\")) >= 0 && \
                 device.capacity[\"gpu.nvidia.com\"].memory.compareTo(quantity(\"80313Mi\")) >= 0"}}],
        },
        {
            "name": "a100", "deviceClassName": "gpu.nvidia.com", "count": 1,
            "selectors": [{"cel": {"expression":
                "device.attributes[\"gpu.nvidia.com\"].productName in [\"NVIDIA A100-SXM4-80GB\", \"NVIDIA A100 80GB PCIe\", \
                 \"A100-SXM4-80GB\", \"A100-SXM-80GB\"] && \
                 device.attributes[\"gpu.nvidia.com\"].driverVersion.compareTo(semver(\"580.0.0\")) >= 0 && \
                 device.capacity[\"gpu.nvidia.com\"].memory.compareTo(quantity(\"80281Mi\")) >= 0"}}],
        },
    ]}]});
    assert_eq!(made, golden, "{made:#}");
}

#[test]
fn a_job_for_any_gpu_asks_for_its_memory_and_architecture() {
    let asked = gpu(json!({"minMemory": "24Gi"}));
    let made = serde_json::to_value(claim(&asked, &[], "gpus.example.com")).unwrap();
    let exactly = &made["requests"][0]["exactly"];
    assert_eq!(exactly["deviceClassName"], "gpus.example.com");
    assert_eq!(
        exactly["selectors"][0]["cel"]["expression"],
        "device.attributes[\"gpu.nvidia.com\"].cudaComputeCapability.compareTo(semver(\"8.0.0\")) >= 0 && \
         device.attributes[\"gpu.nvidia.com\"].driverVersion.compareTo(semver(\"580.0.0\")) >= 0 && \
         device.capacity[\"gpu.nvidia.com\"].memory.compareTo(quantity(\"24094Mi\")) >= 0"
    );
}

#[test]
fn a_job_that_takes_slices_has_them_after_the_whole_cards_of_each_class() {
    let asked = gpu(json!({"classes": ["H100", "A100"], "sharing": "AllowMig"}));
    let made = serde_json::to_value(claim(&asked, &asked.classes, "gpu.nvidia.com")).unwrap();
    let alternatives = made["requests"][0]["firstAvailable"].as_array().unwrap();
    let names: Vec<_> =
        alternatives.iter().map(|of| (of["name"].as_str().unwrap(), of["deviceClassName"].as_str().unwrap())).collect();
    assert_eq!(
        names,
        [
            ("h100", "gpu.nvidia.com"),
            ("h100-slice", "mig.nvidia.com"),
            ("a100", "gpu.nvidia.com"),
            ("a100-slice", "mig.nvidia.com"),
        ]
    );
}

#[test]
fn classes_that_a_claim_has_no_room_for_are_refused() {
    let slices = vec![slice("n", 1, vec![device("gpu-0", "NVIDIA H100 80GB HBM3", 80, "9.0.0")])];
    let classes = json!(["H100", "H200", "B200", "B300", "A100"]);
    let refused = |sharing: &str| {
        let asked = gpu(json!({"classes": classes, "sharing": sharing}));
        look(&asked, &cluster(slices.clone()), &by_name([bare("n")])).map_err(|none| none.reason)
    };
    assert!(refused("Exclusive").is_ok());
    assert_eq!(refused("AllowMig").unwrap_err(), "TooManyClasses");
}

#[test]
fn devices_are_used_where_no_device_plugin_offers_gpus_unless_the_pool_says_otherwise() {
    let of_devices = || cluster(vec![slice("n", 1, vec![device("gpu-0", "NVIDIA H100 80GB HBM3", 80, "9.0.0")])]);
    let asked = json!({"classes": ["H100"], "minMemory": "80Gi"});
    let placement = look(&gpu(asked.clone()), &of_devices(), &by_name([bare("n")])).unwrap();
    assert_eq!(claimed(&placement)["requests"][0]["exactly"]["deviceClassName"], "gpu.nvidia.com");
    // The claim says which device; the node must have the image's processor.
    assert_eq!(placement.terms.len(), 1);
    assert_eq!(placement.terms[0].iter().map(|of| of.key.as_str()).collect::<Vec<_>>(), ["kubernetes.io/arch"]);

    let with_plugin = by_name([discovered("n", "NVIDIA-H100-80GB-HBM3", 81_559, 8)]);
    let by_plugin = Some(Device::Resource("nvidia.com/gpu".into(), 1));
    assert_eq!(look(&gpu(asked.clone()), &of_devices(), &with_plugin).unwrap().device, by_plugin);
    let in_pool = |allocation: &str| {
        let mut asked = asked.clone();
        asked["poolRef"] = json!({"name": "p"});
        let pools = vec![pool("p", json!({"allocation": allocation}))];
        look(&gpu(asked), &Cluster { pools, ..of_devices() }, &with_plugin)
    };
    assert_eq!(in_pool("DevicePlugin").unwrap().device, by_plugin);
    claimed(&in_pool("Dra").unwrap());
}

#[test]
fn reasons_are_read_from_what_drivers_publish() {
    let nodes = by_name([bare("n1"), bare("n2")]);
    let mut old = device("gpu-0", "NVIDIA H100 80GB HBM3", 80, "9.0.0");
    old["attributes"]["driverVersion"]["version"] = "550.54.15".into();
    let slices = vec![
        // Of an earlier generation of the pool: these devices are no more.
        slice("n1", 1, vec![device("gpu-0", "NVIDIA H200", 141, "9.0.0")]),
        slice("n1", 2, vec![device("gpu-0", "Tesla T4", 16, "7.5.0")]),
        slice("n2", 1, vec![old]),
    ];
    let asked = gpu(json!({"classes": ["H200", "H100"]}));
    let none = look(&asked, &cluster(slices.clone()), &nodes).unwrap_err();
    assert_eq!(
        (none.reason, &*none.message),
        (
            "NoMatchingGpu",
            "1 node has H100 80Gi with driver 550, older than 580; 1 node has Tesla T4 16Gi; asked for H200 or H100"
        )
    );
    let any = look(&gpu(json!({})), &cluster(slices), &nodes).unwrap_err().message;
    assert!(any.contains("Tesla T4 16Gi of compute capability 7.5, older than 8.0"), "{any}");
}

#[test]
fn an_alternative_has_the_image_of_the_pod() {
    let mut grace = bare("g");
    grace.metadata.labels.as_mut().unwrap().insert("kubernetes.io/arch".into(), "arm64".into());
    let slices = vec![slice("g", 1, vec![device("gpu-0", "NVIDIA GH200 480GB", 95, "9.0.0")])];
    let spec = json!({"allocation": "Dra", "images": [{"class": "GH200", "image": "obelysk.dev/obelysk:1-arm64"}]});
    let cluster = Cluster { pools: vec![pool("p", spec)], ..cluster(slices) };
    let asked = gpu(json!({"classes": ["H200", "GH200"], "poolRef": {"name": "p"}}));
    let placement = look_with(&asked, &cluster, &by_name([grace]), &["amd64".into()]).unwrap();
    assert_eq!(placement.image.as_deref(), Some("obelysk.dev/obelysk:1-arm64"));
    let claim = claimed(&placement);
    assert!(claim.to_string().contains("GH200") && !claim.to_string().contains("NVIDIA H200"), "{claim}");
}

#[test]
fn devices_of_claims_are_in_use() {
    let claim: ResourceClaim = serde_json::from_value(json!({
        "metadata": {"name": "c", "namespace": "default"}, "spec": {},
        "status": {"allocation": {"devices": {"results": [
            {"driver": "gpu.nvidia.com", "pool": "n", "device": "gpu-0", "request": "gpu"},
        ]}}},
    }))
    .unwrap();
    let two = vec![
        device("gpu-0", "NVIDIA H100 80GB HBM3", 80, "9.0.0"),
        device("gpu-1", "NVIDIA H100 80GB HBM3", 80, "9.0.0"),
    ];
    let devices = Devices { claims: vec![Arc::new(claim)], ..devices(vec![slice("n", 1, two)]) };
    let nodes = by_name([bare("n")]);
    let inventory = devices.inventory(nodes.values().map(AsRef::as_ref), "gpu.nvidia.com");
    let [offer] = inventory.offers.as_slice() else { panic!("{inventory:?}") };
    assert_eq!((offer.allocatable, offer.in_use, offer.free()), (2, 1, 1));
}
