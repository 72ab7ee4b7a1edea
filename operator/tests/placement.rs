//! On which GPUs jobs land, in the words of every cluster, and what they are told where there is none.

mod support;

use k8s_openapi::api::core::v1::Pod;
use obelysk_api::crd::proof_job::PodOverrides;
use obelysk_operator::scheduling::dialects::kind;
use obelysk_operator::scheduling::inventory::{Nodes, usage};
use obelysk_operator::scheduling::matching::wanted;
use obelysk_operator::scheduling::place::{place, place_beside};
use obelysk_operator::scheduling::placement::{Cluster, Device, Placement, Seeker};
use obelysk_operator::scheduling::{catalogue, dialects::Partition};
use serde_json::{Value, json};
use support::{Numbers, admits, both, by_name, discovered, fixtures, gpu, look, look_with, node, pool};

/// A job that tolerates whatever the nodes of the fixtures have.
fn tolerant(gpu_spec: &Value, cluster: &Cluster, nodes: &Nodes) -> Result<Placement, String> {
    let overrides: PodOverrides =
        serde_json::from_value(json!({"tolerations": [{"key": "sku", "operator": "Exists"}]})).unwrap();
    let gpu = gpu(gpu_spec.clone());
    let seeker = Seeker { namespace: "default", gpu: &gpu, overrides: &overrides, only_on: &[], avoid: &[] };
    place(&seeker, cluster, nodes, &both()).map_err(|none| none.message)
}

fn sharing(partition: &str) -> &'static str {
    match partition {
        "Mig" => "AllowMig",
        "Shared" => "AllowShared",
        _ => "Exclusive",
    }
}

#[test]
fn every_dialect_says_what_its_gpus_are() {
    for fixture in fixtures() {
        let labels = fixture.node.metadata.labels.clone().unwrap();
        let kind = kind(&labels, &[]).unwrap_or_else(|| panic!("{}: nothing is known", fixture.about));
        assert_eq!(kind.class.map(catalogue::name), fixture.class.as_deref(), "{}", fixture.about);
        if fixture.partition == "Whole" {
            assert_eq!(
                (kind.memory.to_string(), kind.partition),
                (fixture.memory, Partition::Whole),
                "{}",
                fixture.about
            );
        }
    }
}

#[test]
fn a_job_lands_on_the_gpu_that_it_asks_for_in_every_dialect_and_on_no_other() {
    let all = fixtures();
    let nodes = by_name(all.iter().map(|fixture| fixture.node.clone()));
    let cluster = Cluster::default();
    for fixture in all.iter().filter(|fixture| fixture.class.is_some()) {
        let alone = by_name([fixture.node.clone()]);
        let asked = json!({
            "classes": [fixture.class], "minMemory": fixture.memory, "sharing": sharing(&fixture.partition),
        });
        let placement = tolerant(&asked, &cluster, &alone).unwrap_or_else(|why| panic!("{}: {why}", fixture.about));
        assert!(admits(&placement, &fixture.node), "{}: {placement:?}", fixture.about);
        // With all the others there it takes those of its class, whole or of its kind of part, with the memory.
        let among = tolerant(&asked, &cluster, &nodes).unwrap();
        let Some(Device::Resource(resource, 1)) = &among.device else { panic!("{among:?}") };
        let taken = all.iter().filter(|of| admits(&among, &of.node));
        for of in taken.filter(|of| {
            of.node
                .status
                .as_ref()
                .unwrap()
                .allocatable
                .as_ref()
                .unwrap()
                .get(resource)
                .is_some_and(|count| count.0 != "0")
        }) {
            assert_eq!(of.class, fixture.class, "{} lands on {}", fixture.about, of.about);
            assert!(["Whole", &fixture.partition].contains(&&*of.partition), "{} lands on {}", fixture.about, of.about);
        }
    }
}

#[test]
fn a_job_that_wants_a_gpu_for_itself_gets_no_slice_and_no_share() {
    for fixture in fixtures().iter().filter(|fixture| fixture.partition != "Whole") {
        let nodes = by_name([fixture.node.clone()]);
        for sharing in ["Exclusive", "AllowMig", "AllowShared"] {
            let asked = json!({"classes": [fixture.class], "sharing": sharing});
            let is_allowed = sharing == self::sharing(&fixture.partition);
            assert_eq!(
                tolerant(&asked, &Cluster::default(), &nodes).is_ok(),
                is_allowed,
                "{} {sharing}",
                fixture.about
            );
        }
        let why = tolerant(&json!({"classes": [fixture.class]}), &Cluster::default(), &nodes).unwrap_err();
        assert!(why.contains("in MIG slices") || why.contains("shared by"), "{}: {why}", fixture.about);
    }
}

#[test]
fn the_image_runs_on_the_processors_that_it_is_for() {
    for fixture in fixtures().iter().filter(|fixture| fixture.architecture == "arm64") {
        let nodes = by_name([fixture.node.clone()]);
        let asked = gpu(json!({"classes": [fixture.class]}));
        let why = look_with(&asked, &Cluster::default(), &nodes, &["amd64".into()]).unwrap_err().message;
        assert!(why.contains("(arm64, the image is for amd64)"), "{}: {why}", fixture.about);
        // A pool with an image for the class changes that, and a pod with it goes nowhere else.
        let asked = gpu(json!({"classes": [fixture.class], "poolRef": {"name": "grace"}}));
        let images = json!({"images": [{"class": fixture.class, "image": "obelysk.dev/obelysk:1-arm64"}]});
        let cluster = Cluster { pools: vec![pool("grace", images)], ..Cluster::default() };
        let placement = look_with(&asked, &cluster, &nodes, &["amd64".into()]).unwrap();
        assert_eq!(placement.image.as_deref(), Some("obelysk.dev/obelysk:1-arm64"), "{}", fixture.about);
        assert!(placement.terms.iter().all(|term| {
            term.iter().any(|of| of.key == "kubernetes.io/arch" && of.values.as_deref() == Some(&["arm64".into()]))
        }));
    }
}

#[test]
fn no_job_gets_less_memory_than_it_asks_for() {
    let all = fixtures();
    let mut numbers = Numbers::new();
    let mut placed = 0;
    for _ in 0..2000 {
        let some: Vec<_> = (0..=numbers.below(5)).map(|_| numbers.below(all.len())).collect();
        let nodes = by_name(some.iter().map(|&index| all[index].node.clone()));
        let asked_gi = 1 + numbers.below(300) as u64;
        let sharing = ["Exclusive", "AllowMig", "AllowShared"][numbers.below(3)];
        let asked = json!({"minMemory": format!("{asked_gi}Gi"), "sharing": sharing});
        let Ok(placement) = tolerant(&asked, &Cluster::default(), &nodes) else { continue };
        placed += 1;
        let Some(Device::Resource(resource, _)) = &placement.device else { panic!("{placement:?}") };
        for index in some {
            let fixture = &all[index];
            let offered = fixture.node.status.as_ref().unwrap().allocatable.clone().unwrap();
            let is_offered = offered.get(resource).is_some_and(|count| count.0 != "0");
            if is_offered && admits(&placement, &fixture.node) {
                let has_gi: u64 = fixture.memory.trim_end_matches("Gi").parse().unwrap();
                // Nominal sizes; drivers report up to 2 % above what is asked of them.
                assert!(has_gi * 102 >= asked_gi * 100, "{asked_gi}Gi on {}", fixture.about);
            }
        }
    }
    assert!(placed > 500, "only {placed} of 2000 jobs found a place");
}

#[test]
fn the_first_class_with_a_free_gpu_is_taken_else_the_first_that_is_there() {
    let nodes = by_name([
        discovered("n1", "NVIDIA-H100-80GB-HBM3", 81_559, 8),
        discovered("n2", "NVIDIA-H200", 143_771, 8),
        discovered("n3", "NVIDIA-B200", 183_359, 8),
    ]);
    let taken = |node: &str, gpus: u32| -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": format!("of-{node}")},
            "spec": {"nodeName": node, "containers": [{
                "name": "c", "resources": {"limits": {"nvidia.com/gpu": gpus.to_string(), "cpu": "1"}},
            }]},
            "status": {"phase": "Running"},
        }))
        .unwrap()
    };
    let asked = gpu(json!({"classes": ["H200", "H100"], "minMemory": "80Gi"}));
    let lands_on = |pods: &[Pod]| {
        let cluster = Cluster { usage: usage(pods), ..Cluster::default() };
        let placement = look(&asked, &cluster, &nodes).unwrap();
        let names: Vec<&str> =
            nodes.iter().filter(|(_, node)| admits(&placement, node)).map(|(name, _)| name.as_str()).collect();
        names.join(" ")
    };
    assert_eq!(lands_on(&[]), "n2");
    assert_eq!(lands_on(&[taken("n2", 7)]), "n2");
    assert_eq!(lands_on(&[taken("n2", 8)]), "n1");
    assert_eq!(lands_on(&[taken("n2", 8), taken("n1", 8)]), "n2");
    let mut ended = taken("n2", 8);
    ended.status.as_mut().unwrap().phase = Some("Succeeded".into());
    assert_eq!(lands_on(&[ended]), "n2");
}

#[test]
fn a_job_that_fits_nowhere_is_told_what_there_is_by_kind_and_number() {
    let gh200 = |name: &str| {
        let labels = json!({
            "kubernetes.io/arch": "arm64", "nvidia.com/gpu.product": "NVIDIA-GH200-480GB", "nvidia.com/gpu.memory": "97871",
        });
        node(name, labels, json!({"nvidia.com/gpu": "1"}), Value::Null)
    };
    let mut old = discovered("old", "NVIDIA-H200", 143_771, 8);
    old.metadata.labels.as_mut().unwrap().insert("nvidia.com/cuda.driver-version.major".into(), "550".into());
    let nodes = by_name([
        gh200("g1"),
        gh200("g2"),
        discovered("m", "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", 9856, 56),
        old,
        node("dark", json!({"pool": "x"}), json!({"nvidia.com/gpu": "4"}), Value::Null),
    ]);
    let asked = gpu(json!({"classes": ["H200", "H100"], "minMemory": "80Gi"}));
    let none = look(&asked, &Cluster::default(), &nodes).unwrap_err();
    assert_eq!(none.reason, "NoMatchingGpu");
    assert_eq!(
        none.message,
        "2 nodes have GH200 96Gi (arm64); 1 node has H100 in MIG slices 1g.10gb; 1 node has H200 141Gi with driver 550, \
         older than 580; 1 node has GPUs of which no label tells the class (name one in gpuClassMap of a ProverPool); \
         asked for H200 or H100 with 80Gi"
    );
    let empty = look(&asked, &Cluster::default(), &Nodes::new()).unwrap_err().message;
    assert_eq!(empty, "no node has a GPU that its labels tell; asked for H200 or H100 with 80Gi");
}

#[test]
fn a_taint_that_nothing_tolerates_is_named_and_one_that_passes_is_not() {
    let tainted = |key: &str, value: &str| {
        let mut node = discovered("n", "NVIDIA-H100-80GB-HBM3", 81_559, 8);
        let taints = json!([{"key": key, "value": value, "effect": "NoSchedule"}]);
        node.spec.as_mut().unwrap().taints = serde_json::from_value(taints).unwrap();
        by_name([node])
    };
    let asked = gpu(json!({"classes": ["H100"]}));
    let look_at = |nodes| look(&asked, &Cluster::default(), &nodes).map_err(|none| none.message);
    let why = look_at(tainted("dedicated", "ml")).unwrap_err();
    assert!(
        why.starts_with("1 node has H100 80Gi with taint dedicated=ml:NoSchedule, which nothing tolerates"),
        "{why}"
    );
    assert!(look_at(tainted("nvidia.com/gpu", "present")).is_ok());
    assert!(look_at(tainted("node.kubernetes.io/disk-pressure", "")).is_ok());
    let tolerant = pool("p", json!({"tolerations": [{"key": "dedicated", "value": "ml"}]}));
    let asked = gpu(json!({"classes": ["H100"], "poolRef": {"name": "p"}}));
    let cluster = Cluster { pools: vec![tolerant], ..Cluster::default() };
    let placement = look(&asked, &cluster, &tainted("dedicated", "ml")).unwrap();
    assert!(placement.tolerations.iter().any(|of| of.key.as_deref() == Some("dedicated")));
}

#[test]
fn a_pool_decides_nodes_namespaces_resource_and_runtime() {
    let mut mine = discovered("mine", "NVIDIA-H100-80GB-HBM3", 81_559, 8);
    mine.metadata.labels.as_mut().unwrap().insert("fleet".into(), "prover".into());
    let allocatable = json!({"nvidia.com/gpu": "8", "example.com/h100": "8"});
    mine.status.as_mut().unwrap().allocatable = serde_json::from_value(allocatable).unwrap();
    let nodes = by_name([mine, discovered("other", "NVIDIA-H100-80GB-HBM3", 81_559, 8)]);
    let spec = json!({
        "nodeSelector": {"fleet": "prover"}, "namespaces": ["default"], "runtimeClassName": "nvidia",
        "resourceName": "example.com/h100",
    });
    let cluster = Cluster { pools: vec![pool("p", spec)], ..Cluster::default() };
    let asked = gpu(json!({"classes": ["H100"], "poolRef": {"name": "p"}}));
    let placement = look(&asked, &cluster, &nodes).unwrap();
    assert!(admits(&placement, &nodes["mine"]) && !admits(&placement, &nodes["other"]), "{placement:?}");
    assert_eq!(placement.runtime_class.as_deref(), Some("nvidia"));
    assert_eq!(placement.device, Some(Device::Resource("example.com/h100".into(), 1)));
    assert!(placement.tolerations.iter().any(|of| of.key.as_deref() == Some("example.com/h100")));

    let overrides = PodOverrides::default();
    let seeker = Seeker { namespace: "guests", gpu: &asked, overrides: &overrides, only_on: &[], avoid: &[] };
    let refused = place(&seeker, &cluster, &nodes, &both()).unwrap_err();
    assert_eq!(
        (refused.reason, &*refused.message),
        ("NamespaceNotAllowed", "ProverPool p is not for namespace guests")
    );
    let asked = gpu(json!({"poolRef": {"name": "gone"}}));
    assert_eq!(look(&asked, &cluster, &nodes).unwrap_err().reason, "ProverPoolNotFound");
    assert_eq!(wanted(&asked), "a GPU of ProverPool gone");
}

#[test]
fn a_pool_explains_labels_that_nobody_knows() {
    let unknown = node(
        "n",
        json!({"site.example/card": "hopper-big", "kubernetes.io/arch": "amd64"}),
        json!({"nvidia.com/gpu": "4"}),
        Value::Null,
    );
    let nodes = by_name([unknown]);
    let rule = json!({"label": "site.example/card", "value": "hopper-big", "class": "H200"});
    let cluster = Cluster { pools: vec![pool("p", json!({"gpuClassMap": [rule]}))], ..Cluster::default() };
    let asked = json!({"classes": ["H200"], "minMemory": "141Gi"});
    // With or without naming the pool: what a label means does not depend on who asks.
    for with_pool in [false, true] {
        let mut asked = asked.clone();
        if with_pool {
            asked["poolRef"] = json!({"name": "p"});
        }
        let placement = look(&gpu(asked), &cluster, &nodes).unwrap();
        assert!(admits(&placement, &nodes["n"]), "{placement:?}");
    }
    assert!(look(&gpu(asked), &Cluster::default(), &nodes).unwrap_err().message.contains("no label tells the class"));
}

#[test]
fn a_pool_that_promises_a_class_gets_its_pending_pod() {
    let spec = |promises: Value| json!({"nodeSelector": {"fleet": "spot"}, "promises": promises});
    let with = |promises: Value| Cluster { pools: vec![pool("p", spec(promises))], ..Cluster::default() };
    let asked =
        |classes: Value, memory: &str| gpu(json!({"classes": classes, "minMemory": memory, "poolRef": {"name": "p"}}));
    let none = Nodes::new();
    let placement = look(&asked(json!(["H200", "H100"]), "80Gi"), &with(json!([{"class": "H100"}])), &none).unwrap();
    // Nothing that an autoscaler cannot know of a node that it has not made yet.
    assert_eq!(placement.node_selector, [("fleet".to_owned(), "spot".to_owned())].into());
    let keys: Vec<&str> =
        placement.terms.iter().flatten().filter(|of| of.operator == "In").map(|of| of.key.as_str()).collect();
    assert_eq!(keys, ["kubernetes.io/arch"]);
    assert_eq!(placement.device, Some(Device::Resource("nvidia.com/gpu".into(), 1)));
    // The same with a node of the pool: the next one may be labelled after it has started.
    let mut there = discovered("n", "NVIDIA-H100-80GB-HBM3", 81_559, 8);
    there.metadata.labels.as_mut().unwrap().insert("fleet".into(), "spot".into());
    let grown = look(&asked(json!(["H100"]), "80Gi"), &with(json!([{"class": "H100"}])), &by_name([there])).unwrap();
    assert_eq!(grown.terms, placement.terms);

    let refused =
        |classes, memory, promises| look(&asked(classes, memory), &with(promises), &none).unwrap_err().message;
    assert!(refused(json!(["B200"]), "1Gi", json!([{"class": "H100"}])).starts_with("no node has a GPU"));
    // An A100 of a pool that does not say more may have 40 GB.
    assert!(refused(json!(["A100"]), "80Gi", json!([{"class": "A100"}])).starts_with("no node has a GPU"));
    assert!(look(&asked(json!(["A100"]), "80Gi"), &with(json!([{"class": "A100", "memory": "80Gi"}])), &none).is_ok());
    let two = json!([{"class": "A100"}, {"class": "H100"}]);
    assert!(refused(json!(["H100"]), "1Gi", two).contains("promises several classes"));
}

#[test]
fn a_node_in_quarantine_takes_no_job_until_it_returns() {
    let nodes = by_name([
        discovered("bad", "NVIDIA-H100-80GB-HBM3", 81_559, 8),
        discovered("good", "NVIDIA-H100-80GB-HBM3", 81_559, 8),
    ]);
    let mut keeper = pool("p", json!({}));
    keeper.status = serde_json::from_value(json!({
        "quarantined": [{"node": "bad", "until": "2027-01-15T10:00:00Z", "strikes": 3, "reason": "GpuLost"}],
    }))
    .unwrap();
    let cluster = Cluster { pools: vec![keeper], ..Cluster::default() };
    // Also for jobs that name no pool: it is the card that fails.
    let placement = look(&gpu(json!({"classes": ["H100"]})), &cluster, &nodes).unwrap();
    assert!(admits(&placement, &nodes["good"]) && !admits(&placement, &nodes["bad"]), "{placement:?}");
    let alone = by_name([nodes["bad"].clone()]);
    let why = look(&gpu(json!({"classes": ["H100"]})), &cluster, &alone).unwrap_err().message;
    assert!(why.starts_with("1 node has H100 80Gi in quarantine until 2027-01-15 10:00 UTC"), "{why}");
}

#[test]
fn a_node_on_which_the_job_failed_is_better_than_none() {
    let nodes = by_name([discovered("n", "NVIDIA-H100-80GB-HBM3", 81_559, 8)]);
    let (asked, overrides, failed) = (gpu(json!({"classes": ["H100"]})), PodOverrides::default(), ["n".to_owned()]);
    let seeker = Seeker { namespace: "default", gpu: &asked, overrides: &overrides, only_on: &[], avoid: &failed };
    let placement = place(&seeker, &Cluster::default(), &nodes, &both()).unwrap();
    assert!(admits(&placement, &nodes["n"]), "{placement:?}");
}

#[test]
fn what_follows_a_proof_goes_where_the_gpus_are_and_takes_none() {
    let mut tainted = discovered("n", "NVIDIA-H100-80GB-HBM3", 81_559, 1);
    tainted.spec.as_mut().unwrap().taints =
        serde_json::from_value(json!([{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}])).unwrap();
    let nodes = by_name([tainted, discovered("t4", "Tesla-T4", 15_360, 1)]);
    let (asked, overrides) = (gpu(json!({"classes": ["H100"]})), PodOverrides::default());
    let seeker = Seeker { namespace: "default", gpu: &asked, overrides: &overrides, only_on: &[], avoid: &[] };
    let beside = |nodes| place_beside(&seeker, &Cluster::default(), nodes, &both(), Some("H100"));
    let placement = beside(&nodes);
    assert!(admits(&placement, &nodes["n"]) && !admits(&placement, &nodes["t4"]), "{placement:?}");
    assert!(placement.tolerations.iter().any(|of| of.key.as_deref() == Some("nvidia.com/gpu")));
    assert_eq!(placement.device, None);
    // The GPUs may have gone with their nodes: the proof is made.
    let left = by_name([nodes["t4"].clone()]);
    assert!(admits(&beside(&left), &nodes["t4"]));
}
