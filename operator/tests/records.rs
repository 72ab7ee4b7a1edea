//! What a ProofJob's status holds of what its pods say, and what becomes of pods when it ends.

mod made;

use clap::Parser;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use made::Made;
use obelysk_api::crd::{ModelCache, ModelPreset, ProofJob, ProofJobStatus};
use obelysk_api::job::{GpuUse, JobSpec, Work};
use obelysk_operator::controllers::children::Children;
use obelysk_operator::controllers::plan::Child;
use obelysk_operator::controllers::proof_job::observe::Snapshot;
use obelysk_operator::controllers::proof_job::plan::plan;
use obelysk_operator::settings::Settings;
use serde_json::{Value, json};

type Plan = obelysk_operator::controllers::plan::Plan<ProofJobStatus>;

const UID: &str = "00000000-0000-0000-0000-000000000001";

fn proof_job(spec: Value) -> ProofJob {
    let mut object = json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ProofJob",
        "metadata": {
            "name": "j", "namespace": "default", "uid": UID, "generation": 1, "creationTimestamp": "2026-11-27T23:59:59Z",
        },
        "spec": {
            "model": {"cacheRef": {"name": "m"}}, "inference": {"prompt": "Hello", "maxNewTokens": 3},
            "hardware": {"cpu": {}},
        },
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn cache(source: Value) -> ModelCache {
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "Prepared", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    serde_json::from_value(json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ModelCache",
        "metadata": {"name": "m", "namespace": "default"},
        "spec": {"source": source, "storage": {"claim": {"accessMode": "ReadWriteOnce", "size": "1Gi"}}},
        "status": {"conditions": [condition], "resolved": {"modelDigest": "ab"}},
    }))
    .unwrap()
}

fn node(product: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": "n", "labels": {"nvidia.com/gpu.product": product, "nvidia.com/gpu.memory": "81920"}},
        "status": {"allocatable": {"nvidia.com/gpu": "8"}, "conditions": [{"type": "Ready", "status": "True"}]},
    }))
    .unwrap()
}

/// A cluster that does what plans say.
struct Cluster {
    job: ProofJob,
    jobs: Vec<Job>,
    pods: Vec<Pod>,
    snapshot: Snapshot,
    second: i64,
}

impl Cluster {
    fn new(spec: Value) -> Self {
        let mut snapshot =
            Snapshot { cache: Some(cache(json!({"bundled": {"name": "tiny-chat"}}))), ..Snapshot::default() };
        snapshot.around.nodes.insert("n".into(), node("NVIDIA-H100-80GB-HBM3").into());
        Self { job: proof_job(spec), jobs: Vec::new(), pods: Vec::new(), snapshot, second: 0 }
    }

    /// Plan, write the status and create what is to be created. Nothing is deleted.
    fn step(&mut self) -> Plan {
        let children = Children::sort(&self.job, self.jobs.clone(), self.pods.clone());
        let settings = Settings::parse_from(["obelysk-operator", "--image", "obelysk.dev/obelysk:1"]);
        let now = Timestamp::from_second(1_800_000_000 + self.second).unwrap();
        let plan = plan(&self.job, &Snapshot { children, ..self.snapshot.clone() }, &settings, now);
        self.job.status = Some(plan.status.clone());
        for child in &plan.create {
            if let Child::Job(job) = child {
                let mut job = job.as_ref().clone();
                job.metadata.uid = Some(format!("uid-of-{}", job.name_any()));
                self.jobs.push(job);
            }
        }
        self.second += 1;
        plan
    }

    /// The pod of the newest Job: it runs, or has ended with a result.
    fn pod(&mut self, result: Option<Value>) {
        let job = self.jobs.last_mut().unwrap();
        let (name, uid) = (job.name_any(), job.metadata.uid.clone());
        let of_job = json!({"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": true});
        let state = match &result {
            Some(result) => json!({"terminated": {"exitCode": 0, "message": result.to_string()}}),
            None => json!({"running": {}}),
        };
        if result.is_some() {
            job.status =
                serde_json::from_value(json!({"conditions": [{"type": "Complete", "status": "True"}]})).unwrap();
        }
        let pod = json!({
            "metadata": {"name": format!("{name}-abcde"), "ownerReferences": [of_job]},
            "spec": {"nodeName": "n", "containers": []},
            "status": {"phase": if result.is_some() { "Succeeded" } else { "Running" }, "containerStatuses": [{
                "name": "main", "ready": true, "restartCount": 0, "image": "", "imageID": "", "state": state,
            }]},
        });
        self.pods.push(serde_json::from_value(pod).unwrap());
    }

    fn job_file(&self) -> Value {
        let job = serde_json::to_value(self.jobs.last().unwrap()).unwrap();
        let container = &job["spec"]["template"]["spec"]["containers"][0];
        serde_json::from_str(container["env"][0]["value"].as_str().unwrap()).unwrap()
    }

    fn status(&self) -> Value {
        json!(self.job.status)
    }
}

fn ready(plan: &Plan) -> (&str, &str) {
    let of = plan.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    (&of.reason, &of.message)
}

fn proved(device: &str) -> Value {
    json!({
        "succeeded": true,
        "inference": {
            "promptTokens": 9, "outputTokens": 9, "text": "as the prover says", "logHead": "aa", "logEntries": 1,
            "integerMatchesFloat": "3/3",
        },
        "proof": {"sha256": "said", "sizeBytes": 1, "mode": "gkr", "provingSeconds": 2.5, "device": device},
    })
}

fn finished() -> Value {
    json!({
        "succeeded": true,
        "inference": {"promptTokens": 1, "outputTokens": 3, "text": "as it is proven", "logHead": "bb", "logEntries": 1},
        "proof": {"sha256": "checked", "sizeBytes": 7, "mode": "gkr", "profile": "blake2s", "securityBits": 101.5, "verified": true},
        "audit": {"verdict": "Passed"},
    })
}

#[test]
fn a_finish_is_told_what_the_proof_must_be_about() {
    let mut cluster = Cluster::new(json!({}));
    cluster.step();
    let asked = cluster.job_file()["work"]["prove"]["question"].clone();
    assert_eq!((&asked["modelDigest"], &asked["day"]), (&json!("ab"), &json!("2026-11-27")));
    assert_eq!(asked["nonce"], format!("{:0<64}", UID.replace('-', "")));
    assert_eq!(asked["inputs"], json!([{"prompt": "Hello"}]));
    cluster.pod(Some(proved("CPU")));
    cluster.step();
    let finish = &cluster.job_file()["work"]["finish"];
    assert_eq!(finish["question"], asked, "whatever the pod that proves has said");
}

#[test]
fn a_status_tells_the_answer_that_was_verified_and_no_other() {
    let mut cluster = Cluster::new(json!({}));
    cluster.step();
    cluster.pod(Some(proved("CPU")));
    cluster.step();
    let unverified = cluster.status();
    assert!(!unverified.to_string().contains("as the prover says"), "{unverified}");
    assert!(unverified["inference"].get("outputTokens").is_none());
    assert_eq!((&unverified["proof"]["sha256"], &unverified["proof"]["verified"]), (&json!("said"), &json!(false)));
    cluster.pod(Some(finished()));
    let last = cluster.step();
    assert_eq!(last.status.phase.as_deref(), Some("Succeeded"), "{:?}", last.status.summary);
    assert!(last.status.summary.as_deref().unwrap().ends_with("as it is proven"));
    let status = cluster.status();
    let inference = json!({
        "promptTokens": 1, "outputTokens": 3, "text": "as it is proven", "logHead": "bb", "logEntries": 1,
        "integerMatchesFloat": "3/3",
    });
    assert_eq!(status["inference"], inference);
    assert_eq!((&status["proof"]["sha256"], &status["proof"]["sizeBytes"]), (&json!("checked"), &json!(7)));
    assert_eq!(
        (&status["proof"]["securityBits"], &status["proof"]["provingSeconds"]),
        (&json!("101.5"), &json!("2.50"))
    );
}

#[test]
fn a_proof_is_reported_on_the_device_that_its_pod_names_wherever_it_ran() {
    for (device, class, product) in [
        ("CPU", json!("CPU"), Value::Null),
        ("NVIDIA H200", json!("H200"), json!("NVIDIA H200")),
        ("Tesla T4", Value::Null, json!("Tesla T4")),
        ("", Value::Null, Value::Null),
    ] {
        let mut cluster = Cluster::new(json!({"hardware": {"gpu": {"classes": ["H100"], "gpuOnly": false}}}));
        cluster.step();
        cluster.pod(Some(proved(device)));
        cluster.step();
        let placement = &cluster.status()["placement"];
        assert_eq!((&placement["gpuClass"], &placement["gpuProduct"]), (&class, &product), "{device}");
        assert_eq!(placement["nodeName"], "n");
    }
}

#[test]
fn a_job_for_a_gpu_takes_one_to_prove_and_none_to_finish() {
    for (only, gpu) in [(Some(false), GpuUse::Preferred), (Some(true), GpuUse::Required), (None, GpuUse::Required)] {
        let mut hardware = json!({"classes": ["H100"]});
        if let Some(only) = only {
            hardware["gpuOnly"] = json!(only);
        }
        let mut cluster = Cluster::new(json!({"hardware": {"gpu": hardware}}));
        cluster.step();
        cluster.pod(Some(proved("NVIDIA H100 80GB HBM3")));
        cluster.step();
        let pods: Vec<Value> = cluster
            .jobs
            .iter()
            .map(|job| serde_json::to_value(job).unwrap()["spec"]["template"]["spec"].take())
            .collect();
        for pod in &pods {
            let tolerations = pod["tolerations"].as_array().unwrap();
            assert!(tolerations.iter().any(|of| of["key"] == "nvidia.com/gpu"), "both read what lies on that node");
        }
        let resources = |pod: &Value| pod["containers"][0]["resources"].clone();
        let taken = resources(&pods[0]);
        assert_eq!(
            (&taken["limits"]["nvidia.com/gpu"], &taken["requests"]["nvidia.com/gpu"]),
            (&json!("1"), &json!("1"))
        );
        assert!(!resources(&pods[1]).to_string().contains("nvidia.com/gpu"), "{only:?}");
        assert!(pods[0]["affinity"].to_string().contains("NVIDIA-H100-80GB-HBM3"), "{}", pods[0]);
        let told = pods[0]["containers"][0]["env"].as_array().unwrap().iter().find(|of| of["name"] == "OBELYSK_JOB");
        let spec: JobSpec = serde_json::from_str(told.unwrap()["value"].as_str().unwrap()).unwrap();
        let Work::Prove(prove) = spec.work else { unreachable!("the first Job proves") };
        assert_eq!(prove.gpu, gpu, "gpuOnly: {only:?}");
    }
    let mut without = Cluster::new(json!({"hardware": {"gpu": {"classes": ["B200"]}}}));
    assert_eq!(ready(&without.step()).0, "NoMatchingGpu");
}

#[test]
fn a_cache_is_adopted_only_with_the_source_that_is_asked_for() {
    let preset = |source: Value| -> ModelPreset {
        serde_json::from_value(json!({
            "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ModelPreset", "metadata": {"name": "m"},
            "spec": {"source": source},
        }))
        .unwrap()
    };
    let phi = json!({"huggingFace": {"repo": "microsoft/Phi-3-mini-4k-instruct"}});
    let of = |source: Value| {
        let mut cluster = Cluster::new(json!({"model": {"preset": {"name": "m"}}}));
        cluster.snapshot.preset = Some(preset(phi.clone()));
        cluster.snapshot.cache = Some(cache(source));
        cluster.step()
    };
    for same in [json!({"preset": {"name": "m"}}), phi.clone()] {
        assert_eq!(ready(&of(same)).0, "Proving");
    }
    for other in [json!({"bundled": {"name": "tiny-chat"}}), json!({"huggingFace": {"repo": "microsoft/other"}})] {
        let plan = of(other.clone());
        let (reason, message) = ready(&plan);
        assert_eq!(reason, "NameConflict");
        assert!(message.contains(&other.to_string()) && message.contains(r#"{"preset":{"name":"m"}}"#), "{message}");
        assert!(plan.create.is_empty() && plan.status.start_time.is_none());
    }
    let mut named = Cluster::new(json!({}));
    named.snapshot.cache = Some(cache(phi));
    assert_eq!(ready(&named.step()).0, "Proving", "who names a cache gets that one");
}

#[test]
fn an_ended_job_deletes_what_runs_until_nothing_does() {
    for (change, reason) in [
        (json!({"cancel": true}), "Cancelled"),
        (json!({"hardware": {"gpu": {"count": 2}}}), "Unsupported"),
        (json!({"activeDeadlineSeconds": 1}), "DeadlineExceeded"),
    ] {
        let mut cluster = Cluster::new(json!({}));
        cluster.step();
        cluster.pod(None);
        cluster.step();
        cluster.job.spec = proof_job(change).spec;
        let first = cluster.step();
        assert_eq!((ready(&first).0, first.ended), (reason, true));
        assert_eq!(first.deleted_jobs(), ["j-prove-1"]);
        // The deletion fails: the next look repeats it, and nothing else.
        let again = cluster.step();
        assert_eq!((again.deleted_jobs().as_slice(), again.ended), (["j-prove-1".to_owned()].as_slice(), false));
        assert!(again.notes.is_empty() && again.status == first.status && again.look_again_seconds <= 10);
        cluster.jobs.clear();
        cluster.pods.clear();
        let gone = cluster.step();
        assert!(gone.deleted_jobs().is_empty() && gone.look_again_seconds > 10);
    }
}

#[test]
fn what_runs_obeys_whatever_has_become_of_its_cache() {
    let mut cluster = Cluster::new(json!({}));
    cluster.step();
    cluster.pod(None);
    cluster.step();
    cluster.snapshot.cache = None;
    cluster.job.spec.suspend = Some(true);
    let suspended = cluster.step();
    assert_eq!((suspended.status.phase.as_deref(), suspended.deleted_jobs().len()), (Some("Suspended"), 1));
    let asleep = Cluster::new(json!({"suspend": true, "model": {"preset": {"name": "m"}}})).step();
    assert!(asleep.create.is_empty() && asleep.status.phase.as_deref() == Some("Suspended"));
}

#[test]
fn a_refused_job_ends_once() {
    let mut cluster = Cluster::new(json!({"hardware": {"gpu": {"count": 2}}}));
    let first = cluster.step();
    assert!(first.ended && first.notes.len() == 1);
    let again = cluster.step();
    assert!(!again.ended && again.notes.is_empty() && again.status == first.status);
    cluster.job.spec.hardware = proof_job(json!({})).spec.hardware;
    assert_eq!(ready(&cluster.step()).0, "Proving", "and begins when the field is gone");
}

#[test]
fn an_odd_status_is_planned_for_like_another() {
    let mut cluster = Cluster::new(json!({}));
    cluster.step();
    let status = cluster.job.status.as_mut().unwrap();
    status.steps.retain(|step| format!("{:?}", step.name) != "Capture");
    status.attempts = serde_json::from_value(json!([
        {"step": "finish", "number": i32::MAX, "reason": "Io"}, {"step": "prove", "number": 0, "reason": "Io"},
    ]))
    .unwrap();
    status.retries = serde_json::from_value(json!({"infra": i32::MAX, "free": i32::MIN})).unwrap();
    cluster.pod(Some(proved("CPU")));
    let plan = cluster.step();
    let names: Vec<String> = plan.status.steps.iter().map(|step| format!("{:?}", step.name)).collect();
    assert_eq!(names, ["Model", "Validate", "Inference", "Capture", "Prove", "Verify", "Audit", "Submit"]);
    assert_eq!(plan.status.progress.as_deref(), Some("5/7"));
}
