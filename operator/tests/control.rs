//! What costs a job and what does not, and what people may ask of one that has begun.

mod made;

use clap::Parser;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::core::cel::validate_cel_update;
use made::Made;
use obelysk_api::crd::{ModelCache, ProofJob, ProofJobStatus};
use obelysk_operator::controllers::children::{Children, DELETE_REFUSED, Obstacle};
use obelysk_operator::controllers::plan::Child;
use obelysk_operator::controllers::proof_job::observe::Snapshot;
use obelysk_operator::controllers::proof_job::plan::{RETRY_FROM, RETRY_REQUESTED, plan};
use obelysk_operator::controllers::proof_job::validate::ModelSource;
use obelysk_operator::settings::Settings;
use serde_json::{Value, json};

type Plan = obelysk_operator::controllers::plan::Plan<ProofJobStatus>;

const IMAGE: &str = "obelysk:1";

fn proof_job(spec: &Value) -> ProofJob {
    let mut object = json!({
        "metadata": {"name": "j", "namespace": "default", "uid": "0f0f0f0f-1", "generation": 1},
        "spec": {"model": {"cacheRef": {"name": "m"}}, "inference": {"prompt": "Hello"}, "hardware": {"cpu": {}}},
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn cache(storage: &Value) -> ModelCache {
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "Prepared", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    serde_json::from_value(json!({
        "metadata": {"name": "m", "namespace": "default"},
        "spec": {"source": {"bundled": {"name": "tiny-chat"}}, "storage": storage},
        "status": {"conditions": [condition], "resolved": {"modelDigest": "ab"}},
    }))
    .unwrap()
}

/// A job in a cluster that does what plans say, at once.
struct Cluster {
    job: ProofJob,
    jobs: Vec<Job>,
    pods: Vec<Pod>,
    snapshot: Snapshot,
    image: &'static str,
    second: i64,
}

impl Cluster {
    fn new(spec: &Value) -> Self {
        let node = json!({"metadata": {"name": "n"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let cache = cache(&json!({"claim": {"accessMode": "ReadWriteOnce", "size": "1Gi"}}));
        let mut snapshot = Snapshot { cache: Some(cache), ..Snapshot::default() };
        snapshot.around.nodes.insert("n".into(), serde_json::from_value(node).unwrap());
        Self { job: proof_job(spec), jobs: Vec::new(), pods: Vec::new(), snapshot, image: IMAGE, second: 0 }
    }

    fn step(&mut self) -> Plan {
        let children = Children::sort(&self.job, self.jobs.clone(), self.pods.clone());
        let settings = Settings::parse_from(["obelysk-operator", "--image", self.image]);
        let now = Timestamp::from_second(1_800_000_000 + self.second).unwrap();
        let plan = plan(&self.job, &Snapshot { children, ..self.snapshot.clone() }, &settings, now);
        self.job.status = Some(plan.status.clone());
        let deleted = plan.deleted_jobs();
        self.jobs.retain(|job| !deleted.contains(&job.name_any()));
        self.jobs.extend(plan.job().map(|mut job| {
            job.metadata.uid = Some(format!("uid-{}-of-{}", self.second, job.name_any()));
            job
        }));
        plan
    }

    /// The pod of the newest Job, with a phase and the state of its container.
    fn pod(&mut self, phase: &str, state: &Value) -> &mut Pod {
        let job = self.jobs.last_mut().unwrap();
        let (name, uid) = (job.name_any(), job.metadata.uid.clone());
        let of_job = json!({"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": true});
        let pod = json!({
            "metadata": {"name": format!("{name}-{}", self.second), "ownerReferences": [of_job]},
            "spec": {"nodeName": "n", "containers": []},
            "status": {"phase": phase, "containerStatuses": [{
                "name": "main", "ready": true, "restartCount": 0, "image": "", "imageID": "", "state": state,
            }]},
        });
        self.pods.push(serde_json::from_value(pod).unwrap());
        self.pods.last_mut().unwrap()
    }

    fn runs(&mut self) -> &mut Pod {
        self.pod("Running", &json!({"running": {}}))
    }

    /// The newest Job has ended with a result.
    fn succeeds(&mut self, result: &Value) {
        self.pod("Succeeded", &json!({"terminated": {"exitCode": 0, "message": result.to_string()}}));
        let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        self.jobs.last_mut().unwrap().status = serde_json::from_value(complete).unwrap();
    }

    fn prove(&mut self) {
        self.step();
        self.succeeds(&json!({"succeeded": true, "proof": {"sha256": "p", "device": "CPU"}}));
    }

    /// The newest attempt has failed with an exit status.
    fn fails(&mut self, code: i32) {
        self.pod("Failed", &json!({"terminated": {"exitCode": code}}));
        let failed = json!({"conditions": [{"type": "Failed", "status": "True"}]});
        self.jobs.last_mut().unwrap().status = serde_json::from_value(failed).unwrap();
    }

    fn annotate(&mut self, key: &str, value: &str) {
        self.job.metadata.annotations.get_or_insert_default().insert(key.into(), value.into());
    }

    fn waits(&mut self, seconds: i64) {
        self.second += seconds;
    }
}

fn ready(plan: &Plan) -> &str {
    &plan.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap().reason
}

fn condition<'a>(plan: &'a Plan, kind: &str) -> (&'a str, &'a str) {
    let of = plan.status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
    (&of.status, &of.reason)
}

#[test]
fn an_evicted_pod_costs_nothing_and_the_next_attempt_begins_when_it_is_gone() {
    let mut cluster = Cluster::new(&json!({}));
    cluster.step();
    let pod = cluster.runs();
    let disrupted = json!([{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]);
    pod.status.as_mut().unwrap().conditions = serde_json::from_value(disrupted).unwrap();
    pod.metadata.deletion_timestamp = serde_json::from_value(json!("2027-01-15T08:00:00Z")).unwrap();
    // What there is to see goes with the pod: it is on record now.
    let evicted = cluster.step();
    let retries = evicted.status.retries.clone().unwrap();
    assert_eq!((retries.free, retries.infra), (1, 0));
    assert_eq!(evicted.status.attempts[0].reason, "EvictionByEvictionAPI");
    assert_eq!(evicted.deleted_jobs(), ["j-prove-1"]);
    cluster.jobs.retain(|job| job.name_any() == "j-prove-1");
    let waiting = cluster.step();
    assert_eq!((ready(&waiting), waiting.job()), ("PreviousChildrenTerminating", None));
    cluster.pods.clear();
    assert_eq!(cluster.step().job().unwrap().name_any(), "j-prove-2");
}

#[test]
fn what_a_lost_node_may_go_on_with_is_deleted_too() {
    for change in [json!({"suspend": true}), json!({"cancel": true})] {
        let mut cluster = Cluster::new(&json!({}));
        cluster.step();
        cluster.runs();
        cluster.step();
        cluster.snapshot.around.nodes.clear();
        cluster.job.spec = proof_job(&change).spec;
        assert_eq!(cluster.step().deleted_jobs(), ["j-prove-1"], "{change}");
    }
}

#[test]
fn a_lost_result_is_free_and_waits_before_the_next_attempt() {
    let mut cluster = Cluster::new(&json!({}));
    cluster.step();
    let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    cluster.jobs[0].status = serde_json::from_value(complete).unwrap();
    let lost = cluster.step();
    let retries = lost.status.retries.clone().unwrap();
    assert_eq!((retries.free, retries.infra, ready(&lost)), (1, 0, "Retrying"));
}

#[test]
fn a_deadline_counts_while_something_runs() {
    let mut cluster = Cluster::new(&json!({"activeDeadlineSeconds": 60}));
    cluster.step();
    cluster.runs();
    cluster.waits(30);
    assert_eq!(ready(&cluster.step()), "Proving");
    cluster.job.spec.suspend = Some(true);
    cluster.step();
    cluster.pods.clear();
    cluster.waits(1000);
    assert_eq!(ready(&cluster.step()), "Suspended");
    cluster.job.spec.suspend = None;
    cluster.step();
    cluster.runs();
    let resumed = cluster.step();
    assert_eq!(ready(&resumed), "Proving");
    assert_eq!(resumed.look_again_seconds, 30, "the deadline is looked at when it comes");
    cluster.waits(29);
    assert_eq!(ready(&cluster.step()), "Proving");
    cluster.waits(1);
    assert_eq!(ready(&cluster.step()), "DeadlineExceeded");
}

#[test]
fn a_retry_after_a_deadline_has_the_whole_time_again() {
    let mut cluster = Cluster::new(&json!({"activeDeadlineSeconds": 60}));
    cluster.step();
    cluster.runs();
    cluster.waits(60);
    assert_eq!(ready(&cluster.step()), "DeadlineExceeded");
    cluster.pods.clear();
    cluster.waits(1000);
    cluster.annotate(RETRY_REQUESTED, "again");
    cluster.step();
    cluster.runs();
    cluster.waits(59);
    assert_eq!(ready(&cluster.step()), "Proving");
}

#[test]
fn a_long_retry_annotation_is_honoured_once() {
    let mut cluster = Cluster::new(&json!({"retry": {"limits": {"infra": 0}}}));
    cluster.step();
    cluster.fails(41);
    assert_eq!(ready(&cluster.step()), "Io");
    cluster.annotate(RETRY_REQUESTED, &"x".repeat(200));
    assert!(cluster.step().job().is_some());
    assert!(cluster.job.status.as_ref().unwrap().retry_observed.as_ref().unwrap().len() <= 64, "a status holds it");
    cluster.fails(41);
    assert_eq!(ready(&cluster.step()), "Io");
    assert_eq!(cluster.step().job(), None);
}

#[test]
fn a_retry_begins_where_it_is_told_to() {
    for (from, next) in [(None, "j-finish-2"), (Some("Verify"), "j-finish-2"), (Some("Prove"), "j-prove-2")] {
        let mut cluster = Cluster::new(&json!({"retry": {"limits": {"infra": 0}}}));
        cluster.prove();
        cluster.step();
        cluster.fails(41);
        assert_eq!(ready(&cluster.step()), "Io");
        cluster.annotate(RETRY_REQUESTED, "again");
        from.iter().for_each(|from| cluster.annotate(RETRY_FROM, from));
        assert_eq!(cluster.step().job().unwrap().name_any(), next, "{from:?}");
    }
    let mut cluster = Cluster::new(&json!({"retry": {"limits": {"infra": 0}}}));
    cluster.step();
    cluster.fails(41);
    cluster.step();
    cluster.annotate(RETRY_REQUESTED, "again");
    cluster.annotate(RETRY_FROM, "Nowhere");
    let refused = cluster.step();
    assert_eq!((ready(&refused), refused.job()), ("Io", None));
    assert!(refused.notes.iter().any(|note| note.reason == "RetryRefused" && note.message.contains("Nowhere")));
    assert!(cluster.step().notes.is_empty(), "once");
}

#[test]
fn an_attempt_whose_image_never_came_is_made_anew_with_another() {
    let mut cluster = Cluster::new(&json!({}));
    cluster.step();
    cluster.pod("Pending", &json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}));
    assert_eq!(ready(&cluster.step()), "ErrImagePull");
    cluster.image = "obelysk:2";
    let anew = cluster.step();
    assert_eq!(anew.deleted_jobs(), ["j-prove-1"]);
    cluster.pods.clear();
    let job = cluster.step().job().unwrap();
    let pod = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    assert_eq!((job.name_any().as_str(), pod.containers[0].image.as_deref()), ("j-prove-1", Some("obelysk:2")));
    assert!(cluster.job.status.as_ref().unwrap().attempts.is_empty(), "nothing is charged");
    // What runs goes on with the image that it has.
    cluster.runs();
    cluster.image = "obelysk:3";
    assert_eq!((ready(&cluster.step()), cluster.jobs.len()), ("Proving", 1));
}

#[test]
fn a_deletion_that_the_server_refuses_is_said_and_asked_for_again() {
    let mut cluster = Cluster::new(&json!({}));
    cluster.step();
    cluster.runs();
    cluster.step();
    cluster.job.spec.cancel = Some(true);
    let refused = Obstacle::of_deletion("Job", "j-prove-1", 403, "a policy forbids it").unwrap();
    let kept = cluster.jobs.clone();
    cluster.snapshot.refused = Some(refused.clone());
    let told = cluster.step();
    cluster.jobs = kept.clone();
    assert_eq!((told.status.phase.as_deref(), ready(&told)), (Some("Cancelled"), DELETE_REFUSED));
    assert!(told.status.summary.as_ref().unwrap().contains("a policy forbids it"));
    assert!(told.notes.iter().any(|note| note.warning && note.reason == DELETE_REFUSED));
    cluster.snapshot.refused = None;
    let again = cluster.step();
    assert_eq!(again.deleted_jobs(), ["j-prove-1"]);
    assert!(again.status == told.status && again.notes.is_empty());
    assert_eq!(ready(&cluster.step()), "Cancelled", "it is gone");
}

#[test]
fn a_prompt_that_no_process_could_be_started_with_travels_as_a_file() {
    let file = |plan: &Plan| {
        let of = |child: &Child| if let Child::File(file) = child { Some(ConfigMap::clone(file)) } else { None };
        plan.create.iter().find_map(of)
    };
    assert_eq!(file(&Cluster::new(&json!({})).step()), None, "a short one does not");
    // 256 KiB.
    let prompt = "🙂".repeat(65_536);
    let mut cluster = Cluster::new(&json!({"inference": {"prompt": prompt}}));
    let plan = cluster.step();
    let file = file(&plan).unwrap();
    let content = &file.data.as_ref().unwrap()["job.json"];
    assert!(content.contains(&prompt) && file.immutable == Some(true) && file.name_any().len() <= 63);
    assert_eq!(file.metadata.owner_references.as_ref().unwrap()[0].uid, "0f0f0f0f-1", "it goes with the ProofJob");
    let pod = plan.job().unwrap().spec.unwrap().template.spec.unwrap();
    assert!(serde_json::to_string(&pod).unwrap().len() < 10_000);
    let container = &pod.containers[0];
    assert_eq!(container.command.as_ref().unwrap()[1..], ["job", "/job/job.json"]);
    assert!(container.volume_mounts.as_ref().unwrap().iter().any(|mount| mount.mount_path == "/job"));
    let is_file = |volume: &k8s_openapi::api::core::v1::Volume| {
        volume.config_map.as_ref().is_some_and(|of| of.name == file.name_any())
    };
    assert!(pod.volumes.unwrap().iter().any(is_file));
}

#[test]
fn a_preset_of_any_name_has_a_model_cache() {
    let name = |preset: &str| ModelSource::Preset(preset.into()).cache_name();
    assert_eq!(name("tiny-chat"), "tiny-chat");
    let long = "a".repeat(60);
    for preset in ["qwen2.5-7b", long.as_str()] {
        let name = name(preset);
        assert!(name.len() <= 45 && !name.contains('.'), "{name}");
    }
    assert_ne!(name("qwen2.5"), name("qwen2-5"));
}

#[test]
fn scheduled_means_that_a_pod_has_a_node() {
    let mut cluster = Cluster::new(&json!({}));
    let asked = cluster.step();
    assert_eq!(condition(&asked, "Scheduled"), ("False", "PodPending"));
    cluster.runs().spec.as_mut().unwrap().node_name = None;
    cluster.pods[0].status.as_mut().unwrap().phase = Some("Pending".into());
    assert_eq!(condition(&cluster.step(), "Scheduled").0, "False");
    cluster.pods.clear();
    cluster.runs();
    let running = cluster.step();
    assert_eq!(condition(&running, "Scheduled"), ("True", "PodScheduled"));
    assert_eq!(condition(&running, "Failed"), ("False", "NotFailed"), "a condition says its own reason");
}

#[test]
fn ten_failures_to_finish_do_not_forget_the_proof() {
    let mut cluster = Cluster::new(&json!({"retry": {"limits": {"infra": 100}, "backoff": {"maxSeconds": 1}}}));
    cluster.prove();
    for _ in 0..15 {
        cluster.step();
        cluster.fails(41);
        cluster.step();
        cluster.waits(2);
    }
    cluster.jobs.clear();
    cluster.pods.clear();
    assert!(cluster.step().job().unwrap().name_any().contains("finish"));
}

#[test]
fn what_files_lie_on_stays_what_it_is() {
    let refused = |before: &Value, after: &Value| {
        let (before, after) = (cache(before), cache(after));
        validate_cel_update(&after, &before).err().map(|errors| format!("{errors:?}")).unwrap_or_default()
    };
    let claim = |size: &str, class: &str| json!({"claim": {"accessMode": "ReadWriteOnce", "size": size, "storageClassName": class}});
    let existing = |name: &str| json!({"existingClaim": {"name": name}});
    let local = |pool: &str, replicas: i32| json!({"nodeLocal": {"poolRef": {"name": pool}, "replicas": replicas}});
    assert_eq!(refused(&claim("1Gi", "a"), &claim("1Gi", "a")), "");
    assert!(refused(&claim("1Gi", "a"), &claim("2Gi", "a")).contains("edit the PersistentVolumeClaim"));
    assert!(refused(&claim("1Gi", "a"), &claim("1Gi", "b")).contains("cannot change"));
    assert!(refused(&existing("a"), &existing("b")).contains("spec.storage.existingClaim cannot change"));
    assert!(refused(&local("a", 1), &local("b", 1)).contains("poolRef cannot change"));
    assert_eq!(refused(&local("a", 1), &local("a", 2)), "");

    let mut before = proof_job(&json!({"artifacts": {"claim": {"name": "a"}}}));
    let after = proof_job(&json!({"artifacts": {"claim": {"name": "b"}}}));
    validate_cel_update(&after, &before).expect("nothing has begun");
    before.status = serde_json::from_value(json!({"startTime": "2026-01-01T00:00:00Z"})).unwrap();
    for after in [after, proof_job(&json!({}))] {
        let errors = format!("{:?}", validate_cel_update(&after, &before).unwrap_err());
        assert!(errors.contains("spec.artifacts is frozen"), "{errors}");
    }
}
