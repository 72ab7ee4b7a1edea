//! What a ProverPool says of its nodes, whose turn it is, and which nodes are left out.

mod support;

use clap::Parser;
use k8s_openapi::api::core::v1::{Node, Pod};
use obelysk_api::crd::proof_job::Gpu;
use obelysk_api::crd::{ModelCache, ProofJob, ProverPool, ProverPoolStatus};
use obelysk_operator::controllers::plan::{Child, Plan};
use obelysk_operator::controllers::proof_job::observe::Snapshot;
use obelysk_operator::controllers::proof_job::plan::plan as plan_job;
use obelysk_operator::controllers::prover_pool::plan::{Observed, plan};
use obelysk_operator::scheduling::inventory::{Nodes, usage};
use obelysk_operator::scheduling::placement::Cluster;
use obelysk_operator::scheduling::turns::{Contender, admit};
use obelysk_operator::settings::Settings;
use serde_json::{Value, json};
use support::{Numbers, at, by_name, condition, discovered, node, pool, proof_job};

fn look(pool: &ProverPool, nodes: &[Node], pods: &[Pod], jobs: &[ProofJob], second: i64) -> Plan<ProverPoolStatus> {
    let cluster = Cluster { usage: usage(pods), ..Cluster::default() };
    let observed = Observed { nodes: nodes.iter().collect(), cluster, jobs: jobs.iter().collect() };
    plan(pool, &observed, at(second))
}

/// The pool with the status that a plan gave it.
fn written(mut pool: ProverPool, plan: &Plan<ProverPoolStatus>) -> ProverPool {
    pool.status = Some(plan.status.clone());
    pool
}

fn waiting(namespace: &str, name: &str, second: i64) -> ProofJob {
    let status = json!({"conditions": [condition("Ready", "False", "WaitingForTurn")]});
    proof_job(namespace, name, second, json!({"poolRef": {"name": "p"}}), status)
}

fn proving(namespace: &str, name: &str, second: i64) -> ProofJob {
    let status = json!({"startTime": at(second).to_string(), "conditions": [condition("Ready", "False", "Proving")]});
    proof_job(namespace, name, second, json!({"poolRef": {"name": "p"}}), status)
}

/// A job whose GPU failed on a node at these seconds.
fn struck(name: &str, node: &str, seconds: &[i64]) -> ProofJob {
    let attempt = |(index, second): (usize, &i64)| {
        json!({
            "step": "prove", "number": index + 1, "class": "Gpu", "reason": "GpuLost", "nodeName": node,
            "finishedAt": at(*second).to_string(),
        })
    };
    let attempts: Vec<Value> = seconds.iter().enumerate().map(attempt).collect();
    proof_job("default", name, 0, json!({}), json!({"attempts": attempts}))
}

#[test]
fn a_pool_says_what_its_nodes_have_and_what_is_in_use() {
    let of_fleet = |mut node: Node| {
        node.metadata.labels.as_mut().unwrap().insert("fleet".into(), "a".into());
        node
    };
    let dark = node("dark", json!({"fleet": "a"}), json!({"nvidia.com/gpu": "4"}), Value::Null);
    let nodes = [
        of_fleet(discovered("n1", "NVIDIA-H100-80GB-HBM3", 81_559, 8)),
        of_fleet(discovered("n2", "NVIDIA-H100-80GB-HBM3", 81_559, 8)),
        of_fleet(discovered("n3", "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", 9728, 56)),
        discovered("elsewhere", "NVIDIA-B200", 183_359, 8),
        dark,
    ];
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "x"},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": "3"}}}]},
    }))
    .unwrap();
    let plan = look(&pool("p", json!({"nodeSelector": {"fleet": "a"}})), &nodes, &[pod], &[], 0);
    let status = serde_json::to_value(&plan.status).unwrap();
    assert_eq!(status["nodes"], 4);
    assert_eq!(status["allocation"], "DevicePlugin");
    assert_eq!(
        status["classes"],
        json!([
            {"name": "A100 in MIG slices 1g.10gb", "nodes": 1, "allocatable": 56, "inUse": 0, "quarantined": 0},
            {"name": "H100", "nodes": 2, "allocatable": 16, "inUse": 3, "quarantined": 0},
        ])
    );
    assert_eq!(status["unknownNodes"], json!(["dark"]));
    let notes: Vec<&str> = plan.notes.iter().map(|note| note.reason.as_str()).collect();
    assert_eq!(notes, ["UnknownGpuLabel"]);
    let again = look(&written(pool("p", json!({"nodeSelector": {"fleet": "a"}})), &plan), &nodes, &[], &[], 1);
    assert!(again.notes.is_empty(), "{:?}", again.notes);
}

#[test]
fn a_pool_with_nothing_new_writes_nothing_new() {
    let nodes = [discovered("n", "NVIDIA-H100-80GB-HBM3", 81_559, 8)];
    let before = pool("p", json!({}));
    let first = look(&before, &nodes, &[], &[], 0);
    assert_eq!(look(&written(before, &first), &nodes, &[], &[], 500).status, first.status);
}

#[test]
fn a_pool_without_nodes_is_ready_only_if_it_promises_some() {
    let ready = |spec: Value| {
        let plan = look(&pool("p", spec), &[], &[], &[], 0);
        let ready = plan.status.conditions.iter().find(|of| of.type_ == "Ready").unwrap().clone();
        (ready.status, ready.reason)
    };
    assert_eq!(ready(json!({"nodeSelector": {"fleet": "a"}})), ("False".into(), "NoNodes".into()));
    assert_eq!(ready(json!({"promises": [{"class": "H100"}]})), ("True".into(), "Promised".into()));
}

#[test]
fn a_pool_that_cannot_work_here_is_stalled_with_the_field() {
    let stalled = |spec: Value| {
        let plan = look(&pool("p", spec), &[], &[], &[], 0);
        let stalled = plan.status.conditions.iter().find(|of| of.type_ == "Stalled").unwrap().clone();
        assert_eq!(stalled.status, "True");
        (stalled.reason, stalled.message)
    };
    assert_eq!(stalled(json!({"allocation": "Dra"})).0, "NoDynamicAllocation");
    let (reason, message) = stalled(json!({"promises": [{"class": "A100", "memory": "much"}]}));
    assert_eq!(reason, "Unsupported");
    assert_eq!(message, "spec.promises: A100 has memory much; write it in Gi, as 80Gi");
}

#[test]
fn turns_go_round_the_namespaces_and_then_by_age() {
    let spec = json!({"maxConcurrent": 3});
    // One namespace asked first, and for everything.
    let jobs: Vec<ProofJob> = (0..6)
        .map(|index| waiting("many", &format!("m{index}"), index))
        .chain([waiting("few", "f0", 100), waiting("few", "f1", 101)])
        .collect();
    let first = look(&pool("p", spec.clone()), &[], &[], &jobs, 200);
    assert_eq!(first.status.admitted, ["few/f0", "many/m0", "many/m1"]);
    assert_eq!((first.status.running, first.status.waiting), (0, 8));
    // Whose turn has come keeps it, noticed or not; where namespaces have as many, the oldest job is next.
    let pool = written(pool("p", spec), &first);
    let mut jobs: Vec<ProofJob> = jobs.into_iter().filter(|job| job.metadata.name.as_deref() != Some("m1")).collect();
    jobs[0] = proving("many", "m0", 0);
    assert_eq!(look(&pool, &[], &[], &jobs, 201).status.admitted, ["few/f0", "many/m0", "many/m2"]);
    // The namespace that has fewer is next, however old the others' jobs are.
    let jobs =
        [proving("many", "m0", 0), proving("many", "m2", 2), waiting("many", "m3", 3), waiting("few", "f1", 101)];
    assert_eq!(look(&pool, &[], &[], &jobs, 202).status.admitted, ["few/f1", "many/m0", "many/m2"]);
}

#[test]
fn a_job_that_has_ended_or_is_held_or_has_its_proof_leaves_its_place() {
    let admitted = |change: fn(&mut ProofJob)| {
        let mut job = proving("a", "x", 0);
        change(&mut job);
        look(&pool("p", json!({"maxConcurrent": 1})), &[], &[], &[job, waiting("b", "y", 1)], 2).status.admitted
    };
    assert_eq!(admitted(|_| {}), ["a/x"]);
    assert_eq!(admitted(|job| job.spec.suspend = Some(true)), ["b/y"]);
    assert_eq!(admitted(|job| job.spec.cancel = Some(true)), ["b/y"]);
    assert_eq!(admitted(|job| job.status.as_mut().unwrap().proof = Some(Default::default())), ["b/y"]);
    assert_eq!(admitted(|job| job.spec.hardware.gpu = Some(Gpu::default())), ["b/y"]);
    assert_eq!(
        admitted(|job| {
            let reason = serde_json::from_value(json!([condition("Ready", "False", "NoMatchingGpu")])).unwrap();
            job.status.as_mut().unwrap().conditions = reason;
        }),
        ["b/y"]
    );
}

#[test]
fn a_cap_is_kept_and_nobody_waits_for_ever_whatever_comes_and_goes() {
    let mut numbers = Numbers::new();
    for _ in 0..50 {
        let most = 1 + numbers.below(4);
        let (mut jobs, mut admitted, mut done, mut made) = (Vec::<Contender>::new(), Vec::<String>::new(), 0, 0);
        for second in 0..400 {
            if second < 200 && numbers.below(2) == 0 {
                made += 1;
                let namespace = format!("n{}", numbers.below(3));
                jobs.push(Contender { uid: format!("u{made:03}"), namespace, created: at(second), proves: false });
            }
            for job in &mut jobs {
                job.proves |= admitted.contains(&job.uid) && numbers.below(2) == 0;
            }
            if numbers.below(2) == 0
                && let Some(index) = jobs.iter().position(|job| job.proves)
            {
                jobs.remove(index);
                done += 1;
            }
            let before = admitted.clone();
            admitted = admit(&jobs, &before, most);
            assert!(admitted.len() <= most, "{admitted:?}");
            let had = before.iter().filter(|uid| jobs.iter().any(|job| job.uid == **uid));
            assert!(had.clone().all(|uid| admitted.contains(uid)), "a turn is taken away");
            // A place is free only if nobody waits for it.
            assert!(admitted.len() == most || admitted.len() == jobs.len(), "{admitted:?} of {}", jobs.len());
        }
        assert_eq!(done, made, "everybody has had a turn");
    }
}

#[test]
fn a_lower_cap_ends_no_proof() {
    let jobs = [proving("a", "x", 0), proving("a", "y", 1), waiting("b", "z", 2)];
    let plan = look(&pool("p", json!({"maxConcurrent": 1})), &[], &[], &jobs, 3);
    assert_eq!(plan.status.admitted, ["a/x", "a/y"]);
    assert_eq!((plan.status.running, plan.status.waiting), (2, 1));
}

#[test]
fn a_node_goes_into_quarantine_after_strikes_and_returns_by_itself() {
    let nodes =
        [discovered("bad", "NVIDIA-H100-80GB-HBM3", 81_559, 8), discovered("good", "NVIDIA-H100-80GB-HBM3", 81_559, 8)];
    let spec = json!({"quarantine": {"strikes": 3, "seconds": 600}});
    let two = [struck("x", "bad", &[0, 100]), struck("y", "good", &[50])];
    assert!(look(&pool("p", spec.clone()), &nodes, &[], &two, 101).status.quarantined.is_empty());

    let three = [struck("x", "bad", &[0, 100]), struck("y", "bad", &[200])];
    let plan = look(&pool("p", spec.clone()), &nodes, &[], &three, 201);
    let [of] = plan.status.quarantined.as_slice() else { panic!("{:?}", plan.status.quarantined) };
    assert_eq!((of.node.as_str(), of.until.0, of.strikes, of.reason.as_str()), ("bad", at(800), 3, "GpuLost"));
    assert_eq!(plan.notes[0].reason, "NodeQuarantined");
    assert_eq!(plan.status.classes[0].quarantined, 8);
    let summary = plan.status.summary.clone().unwrap();
    assert!(summary.contains("0 of 16 H100 in use, 8 in quarantine; node bad in quarantine until"), "{summary}");

    // It stays there when the jobs are deleted, until its time is over, and then three more put it back.
    let pool = written(pool("p", spec), &plan);
    assert_eq!(look(&pool, &nodes, &[], &[], 799).status.quarantined.len(), 1);
    let released = look(&pool, &nodes, &[], &three, 800);
    assert!(released.status.quarantined.is_empty());
    assert_eq!(released.notes[0].reason, "NodeReleased");
    let pool = written(pool, &released);
    assert!(look(&pool, &nodes, &[], &[struck("x", "bad", &[0, 100, 200, 900])], 901).status.quarantined.is_empty());
    assert_eq!(look(&pool, &nodes, &[], &[struck("x", "bad", &[900, 901, 902])], 903).status.quarantined.len(), 1);
}

#[test]
fn strikes_that_lie_far_apart_put_no_node_into_quarantine() {
    let nodes = [discovered("n", "NVIDIA-H100-80GB-HBM3", 81_559, 8)];
    let spec = json!({"quarantine": {"strikes": 3, "seconds": 600}});
    let plan = look(&pool("p", spec), &nodes, &[], &[struck("x", "n", &[0, 500, 1000])], 1001);
    assert!(plan.status.quarantined.is_empty());
    let never = pool("p", json!({"quarantine": {"strikes": 0}}));
    assert!(look(&never, &nodes, &[], &[struck("x", "n", &[0, 1, 2])], 3).status.quarantined.is_empty());
}

fn ready_cache() -> ModelCache {
    serde_json::from_value(json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ModelCache",
        "metadata": {"name": "m", "namespace": "default"},
        "spec": {
            "source": {"bundled": {"name": "tiny-chat"}},
            "storage": {"claim": {"accessMode": "ReadWriteMany", "size": "1Gi"}},
        },
        "status": {"conditions": [condition("Ready", "True", "Prepared")], "resolved": {"modelDigest": "ab"}},
    }))
    .unwrap()
}

/// What a job does in this cluster: its reason, and its children.
fn planned(job: &ProofJob, cluster: Cluster, nodes: Nodes) -> (String, Vec<Value>) {
    let mut snapshot = Snapshot { cache: Some(ready_cache()), cluster, ..Snapshot::default() };
    snapshot.around.nodes = nodes;
    let settings = Settings::parse_from(["obelysk-operator", "--image", "obelysk.dev/obelysk:1"]);
    let plan = plan_job(job, &snapshot, &settings, at(1000));
    let reason = plan.status.conditions.iter().find(|of| of.type_ == "Ready").unwrap().reason.clone();
    let value = |child: &Child| match child {
        Child::Job(job) => Some(serde_json::to_value(job).unwrap()),
        Child::ClaimTemplate(template) => Some(serde_json::to_value(template).unwrap()),
        Child::File(_) | Child::Claim(_) | Child::Volume(_) | Child::Cache(_) => None,
    };
    (reason, plan.create.iter().filter_map(value).collect())
}

#[test]
fn a_job_of_a_pool_with_a_cap_starts_when_its_turn_has_come() {
    let nodes = by_name([discovered("n", "NVIDIA-H100-80GB-HBM3", 81_559, 8)]);
    let job = proof_job("default", "j", 0, json!({"classes": ["H100"], "poolRef": {"name": "p"}}), json!({}));
    let capped = pool("p", json!({"maxConcurrent": 1}));
    let with = |pool: ProverPool| Cluster { pools: vec![pool], ..Cluster::default() };
    let (reason, children) = planned(&job, with(capped.clone()), nodes.clone());
    assert_eq!((reason.as_str(), children.len()), ("WaitingForTurn", 0));
    let mut admitted = capped;
    admitted.status = serde_json::from_value(json!({"admitted": ["default/j"]})).unwrap();
    let (reason, children) = planned(&job, with(admitted), nodes);
    assert_eq!((reason.as_str(), children.len()), ("Proving", 1));
}

#[test]
fn a_job_of_a_queue_is_made_suspended_with_the_label_and_the_class_of_its_priority() {
    let nodes = by_name([discovered("n", "NVIDIA-H100-80GB-HBM3", 81_559, 8)]);
    let mut job = proof_job("default", "j", 0, json!({"classes": ["H100"]}), json!({}));
    job.spec.queue = serde_json::from_value(json!({"name": "team-a", "priorityClassName": "research"})).unwrap();
    let (_, children) = planned(&job, Cluster::default(), nodes.clone());
    assert_eq!(children[0]["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "team-a");
    assert_eq!(children[0]["spec"]["suspend"], true);
    assert_eq!(children[0]["spec"]["template"]["spec"]["priorityClassName"], "research");
    job.spec.queue = None;
    let (_, children) = planned(&job, Cluster::default(), nodes);
    assert_eq!(children[0]["spec"].get("suspend"), None);
    assert_eq!(children[0]["metadata"]["labels"].get("kueue.x-k8s.io/queue-name"), None);
}

#[test]
fn every_field_of_a_pool_reaches_the_pod() {
    let mut there = discovered("n", "NVIDIA-H100-80GB-HBM3", 81_559, 8);
    there.metadata.labels.as_mut().unwrap().insert("fleet".into(), "a".into());
    let allocatable = json!({"example.com/gpu": "8"});
    there.status.as_mut().unwrap().allocatable = serde_json::from_value(allocatable).unwrap();
    let spec = json!({
        "nodeSelector": {"fleet": "a"}, "tolerations": [{"key": "sku", "operator": "Exists"}],
        "runtimeClassName": "nvidia", "resourceName": "example.com/gpu",
        "images": [{"class": "H100", "image": "obelysk.dev/obelysk:hopper"}],
    });
    let cluster = Cluster { pools: vec![pool("p", spec)], ..Cluster::default() };
    let mut job = proof_job("default", "j", 0, json!({"classes": ["H100"], "poolRef": {"name": "p"}}), json!({}));
    job.spec.pod_overrides =
        serde_json::from_value(json!({"tolerations": [{"key": "mine", "operator": "Exists"}]})).unwrap();
    let (_, children) = planned(&job, cluster, by_name([there]));
    let pod = &children[0]["spec"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"], json!({"fleet": "a"}));
    assert_eq!(pod["runtimeClassName"], "nvidia");
    assert_eq!(pod["containers"][0]["image"], "obelysk.dev/obelysk:hopper");
    assert_eq!(pod["containers"][0]["resources"]["limits"]["example.com/gpu"], "1");
    assert_eq!(pod["containers"][0]["resources"]["requests"]["example.com/gpu"], "1");
    let tolerated: Vec<&str> =
        pod["tolerations"].as_array().unwrap().iter().map(|of| of["key"].as_str().unwrap()).collect();
    for key in ["nvidia.com/gpu", "example.com/gpu", "sku", "mine"] {
        assert_eq!(tolerated.iter().filter(|of| **of == key).count(), 1, "{key} in {tolerated:?}");
    }
    let terms = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    let expressions = terms[0]["matchExpressions"].as_array().unwrap();
    let keys: Vec<(&str, &str)> =
        expressions.iter().map(|of| (of["key"].as_str().unwrap(), of["operator"].as_str().unwrap())).collect();
    assert_eq!(
        keys,
        [
            ("nvidia.com/gpu.product", "In"),
            ("kubernetes.io/arch", "In"),
            ("nvidia.com/gpu.sharing-strategy", "NotIn"),
            ("cloud.google.com/gke-gpu-sharing-strategy", "DoesNotExist"),
            ("cloud.google.com/gke-gpu-partition-size", "DoesNotExist"),
        ]
    );
}

#[test]
fn a_job_on_devices_makes_the_template_of_its_claim_before_its_pod() {
    let devices = obelysk_operator::scheduling::devices::Devices {
        classes: vec![std::sync::Arc::new(
            serde_json::from_value(json!({"metadata": {"name": "gpu.nvidia.com"}, "spec": {}})).unwrap(),
        )],
        slices: vec![std::sync::Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": "s"},
                "spec": {
                    "driver": "gpu.nvidia.com", "nodeName": "n",
                    "pool": {"name": "n", "generation": 1, "resourceSliceCount": 1},
                    "devices": [{
                        "name": "gpu-0",
                        "attributes": {"type": {"string": "gpu"}, "productName": {"string": "NVIDIA H100 NVL"}},
                        "capacity": {"memory": {"value": "95830Mi"}},
                    }],
                },
            }))
            .unwrap(),
        )],
        claims: Vec::new(),
    };
    let cluster = Cluster { devices: Some(devices), ..Cluster::default() };
    let nodes = by_name([node("n", json!({"kubernetes.io/arch": "amd64"}), json!({}), Value::Null)]);
    let job = proof_job("default", "j", 0, json!({"classes": ["H100"], "minMemory": "94Gi"}), json!({}));
    let (reason, children) = planned(&job, cluster, nodes);
    assert_eq!(reason, "Proving");
    let [template, job] = children.as_slice() else { panic!("{children:#?}") };
    assert_eq!(
        (&template["kind"], &template["metadata"]["name"]),
        (&json!("ResourceClaimTemplate"), &json!("j-prove-1"))
    );
    assert_eq!(template["metadata"]["ownerReferences"][0]["uid"], "default/j");
    let request = &template["spec"]["spec"]["devices"]["requests"][0]["exactly"];
    assert!(
        request["selectors"][0]["cel"]["expression"].as_str().unwrap().contains("\"NVIDIA H100 NVL\""),
        "{request}"
    );
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["resourceClaims"], json!([{"name": "gpu", "resourceClaimTemplateName": "j-prove-1"}]));
    assert_eq!(pod["containers"][0]["resources"]["claims"], json!([{"name": "gpu"}]));
    assert_eq!(pod["containers"][0]["resources"]["limits"].get("nvidia.com/gpu"), None);
}
