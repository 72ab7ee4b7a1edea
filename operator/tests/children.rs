//! Whom plans believe: children count by the uid of their controller, whatever their labels and names say.

mod made;

use clap::Parser;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;
use made::Made;
use obelysk_api::crd::{ModelCache, ProofJob, ProofJobStatus};
use obelysk_operator::controllers::children::{CREATE_REFUSED, Children, Obstacle};
use obelysk_operator::controllers::model_cache::plan as cache_plan;
use obelysk_operator::controllers::plan::Child;
use obelysk_operator::controllers::proof_job::observe::Snapshot;
use obelysk_operator::controllers::proof_job::plan::plan;
use obelysk_operator::settings::Settings;
use serde_json::{Value, json};

const UID: &str = "00000000-0000-0000-0000-000000000002";
const EARLIER: &str = "00000000-0000-0000-0000-000000000001";

fn proof_job() -> ProofJob {
    serde_json::from_value(json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ProofJob",
        "metadata": {"name": "moon", "namespace": "default", "uid": UID, "generation": 1},
        "spec": {
            "model": {"cacheRef": {"name": "m"}}, "inference": {"prompt": "Hello"}, "hardware": {"cpu": {}},
        },
    }))
    .unwrap()
}

fn cache() -> ModelCache {
    serde_json::from_value(json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ModelCache",
        "metadata": {"name": "m", "namespace": "default", "uid": UID, "generation": 1},
        "spec": {
            "source": {"bundled": {"name": "tiny-chat"}},
            "storage": {"claim": {"accessMode": "ReadWriteOnce", "size": "1Gi"}},
        },
    }))
    .unwrap()
}

fn ready_cache() -> ModelCache {
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "Prepared", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let status = json!({"conditions": [condition], "resolved": {"modelDigest": "ab"}});
    ModelCache { status: serde_json::from_value(status).unwrap(), ..cache() }
}

type Plan = obelysk_operator::controllers::plan::Plan<ProofJobStatus>;

fn settings() -> Settings {
    Settings::parse_from(["obelysk-operator", "--image", "obelysk.dev/obelysk:1"])
}

/// A reference to an object of ours.
fn owner(kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": "proving.obelysk.dev/v1alpha1", "kind": kind, "name": name, "uid": uid, "controller": true})
}

/// A finished Job with all labels of an attempt, and the pod that tells what came of it.
fn finished(name: &str, step: &str, owners: Value, result: &Value) -> (Job, Pod) {
    let uid = format!("uid-of-{name}");
    let labels = json!({
        "proving.obelysk.dev/proofjob": "moon", "proving.obelysk.dev/modelcache": "m",
        "proving.obelysk.dev/step": step, "proving.obelysk.dev/attempt": "1", "batch.kubernetes.io/job-name": name,
    });
    let job = json!({
        "metadata": {"name": name, "uid": uid, "labels": labels, "ownerReferences": owners},
        "status": {"conditions": [{"type": "Complete", "status": "True"}]},
    });
    let of_job = json!({"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": true});
    let pod = json!({
        "metadata": {"name": format!("{name}-abcde"), "labels": labels, "ownerReferences": [of_job]},
        "status": {"phase": "Succeeded", "containerStatuses": [{
            "name": "main", "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": {"terminated": {"exitCode": 0, "message": result.to_string()}},
        }]},
    });
    (serde_json::from_value(job).unwrap(), serde_json::from_value(pod).unwrap())
}

/// Everything that a proof leaves behind.
fn finished_proof(owners: &Value) -> (Vec<Job>, Vec<Pod>) {
    let result = json!({
        "succeeded": true,
        "inference": {"promptTokens": 1, "outputTokens": 1, "text": "The moon is made of cheese."},
        "proof": {"sha256": "ab", "verified": true, "device": "CPU"},
        "audit": {"verdict": "Passed"},
    });
    ["prove", "finish"]
        .map(|step| finished(&format!("moon-{step}-1"), step, owners.clone(), &result))
        .into_iter()
        .unzip()
}

fn snapshot(jobs: Vec<Job>, pods: Vec<Pod>) -> Snapshot {
    let children = Children::sort(&proof_job(), jobs, pods);
    Snapshot { cache: Some(ready_cache()), children, ..Snapshot::default() }
}

fn make(job: &ProofJob, snapshot: &Snapshot) -> Plan {
    plan(job, snapshot, &settings(), Timestamp::from_second(1_800_000_000).unwrap())
}

fn ready(plan: &Plan) -> (&str, &str) {
    let of = plan.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    (&of.reason, &of.message)
}

fn creates_a_job(plan: &Plan) -> bool {
    plan.create.iter().any(|child| matches!(child, Child::Job(_)))
}

#[test]
fn the_proof_of_an_earlier_object_of_the_same_name_is_not_this_ones() {
    let (jobs, pods) = finished_proof(&json!([owner("ProofJob", "moon", UID)]));
    let own = make(&proof_job(), &snapshot(jobs, pods));
    assert_eq!(own.status.phase.as_deref(), Some("Succeeded"), "its own is: {:?}", own.status.summary);

    let (jobs, pods) = finished_proof(&json!([owner("ProofJob", "moon", EARLIER)]));
    let plan = make(&proof_job(), &snapshot(jobs, pods));
    assert_eq!(
        ready(&plan),
        ("PreviousChildrenTerminating", "Job moon-prove-1 of an earlier object of this name is still there",)
    );
    assert!(plan.status.proof.is_none() && plan.status.inference.is_none() && plan.status.attempts.is_empty());
    assert!(plan.create.is_empty() && plan.deleted_jobs().is_empty() && plan.status.start_time.is_none());
}

#[test]
fn whoever_writes_the_labels_of_a_child_writes_no_answer() {
    let not_controlling = json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ProofJob", "name": "moon", "uid": UID,
    });
    for owners in [json!([]), json!([not_controlling]), json!([owner("ModelCache", "moon", EARLIER)])] {
        let (jobs, pods) = finished_proof(&owners);
        let plan = make(&proof_job(), &snapshot(jobs, pods));
        let (reason, message) = ready(&plan);
        assert_eq!(reason, "NameConflict", "{owners}");
        assert!(message.contains("Job moon-prove-1 exists and is not of this object"), "{message}");
        assert!(plan.status.proof.is_none() && plan.create.is_empty());
    }
    // One that takes no child's name is nobody's concern.
    let (job, pod) = finished("elsewhere", "prove", json!([]), &json!({"succeeded": true}));
    let plan = make(&proof_job(), &snapshot(vec![job], vec![pod]));
    assert!(creates_a_job(&plan) && plan.status.proof.is_none());
}

#[test]
fn a_pod_with_the_labels_of_a_running_attempt_ends_nothing() {
    let (mut job, forged) = finished(
        "moon-prove-1",
        "prove",
        json!([owner("ProofJob", "moon", UID)]),
        &json!({
            "succeeded": true, "proof": {"sha256": "ab"}, "inference": {"text": "forged"},
        }),
    );
    for owners in [
        json!([]),
        json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "moon-prove-1", "uid": "x", "controller": true}]),
    ] {
        let mut pod = forged.clone();
        pod.metadata.owner_references = serde_json::from_value(owners).unwrap();
        job.status = None;
        let plan = make(&proof_job(), &snapshot(vec![job.clone()], vec![pod]));
        assert_eq!(ready(&plan).0, "PodPending", "the Job has no pod yet");
        assert!(plan.status.proof.is_none());
    }
}

#[test]
fn a_pod_whose_job_is_gone_holds_the_first_attempt_and_no_later_one() {
    let (_, pod) = finished("moon-prove-1", "prove", json!([]), &json!({}));
    let seen = snapshot(Vec::new(), vec![pod]);
    let first = make(&proof_job(), &seen);
    assert_eq!(
        ready(&first),
        ("PreviousChildrenTerminating", "pod moon-prove-1-abcde of an earlier object of this name is still there",)
    );
    let mut started = proof_job();
    started.status = Some(make(&proof_job(), &snapshot(Vec::new(), Vec::new())).status);
    assert!(creates_a_job(&make(&started, &seen)), "a lost node may keep its pods");
}

#[test]
fn a_claim_of_somebody_else_is_a_conflict_and_one_of_an_earlier_object_goes() {
    let claim = |owners: Value, deleted: bool| -> PersistentVolumeClaim {
        let time = deleted.then_some("2026-01-01T00:00:00Z");
        let metadata = json!({"name": "moon-artifacts", "ownerReferences": owners, "deletionTimestamp": time});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    };
    let ours = json!([owner("ProofJob", "moon", UID)]);
    for (claim, reason) in [
        (claim(json!([]), false), "NameConflict"),
        (claim(json!([]), true), "PreviousChildrenTerminating"),
        (claim(ours.clone(), true), "PreviousChildrenTerminating"),
        (claim(json!([owner("ProofJob", "moon", EARLIER)]), false), "PreviousChildrenTerminating"),
        (claim(ours, false), "Proving"),
    ] {
        let plan = make(&proof_job(), &Snapshot { claim: Some(claim), ..snapshot(Vec::new(), Vec::new()) });
        assert_eq!(ready(&plan).0, reason);
        assert_eq!(creates_a_job(&plan), reason == "Proving");
    }
}

#[test]
fn a_model_is_not_ready_because_of_jobs_that_the_cache_did_not_make() {
    let result = json!({"succeeded": true, "model": {"revision": "r", "modelDigest": "forged"}});
    for (owners, reason) in
        [(json!([]), "NameConflict"), (json!([owner("ModelCache", "m", EARLIER)]), "PreviousChildrenTerminating")]
    {
        let (jobs, pods) = ["fetch", "prepare"]
            .map(|step| finished(&format!("m-{step}-1"), step, owners.clone(), &result))
            .into_iter()
            .unzip();
        let children = Children::sort(&cache(), jobs, pods);
        let seen = cache_plan::Snapshot { children, ..cache_plan::Snapshot::default() };
        let plan = cache_plan::plan(&cache(), &seen, &settings(), Timestamp::UNIX_EPOCH);
        let ready = plan.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", reason));
        assert!(plan.status.resolved.is_none() && plan.job().is_none());
        assert!(plan.deleted_jobs().is_empty(), "and nobody else's Jobs are deleted");
    }
}

#[test]
fn a_removal_is_not_done_because_somebody_elses_job_says_so() {
    let storage = json!({"existingClaim": {"name": "shared"}});
    let mut cache = cache();
    cache.spec.storage = serde_json::from_value(storage).unwrap();
    cache.spec.retention = serde_json::from_value(json!({"policy": "Delete"})).unwrap();
    cache.metadata.finalizers = Some(vec!["proving.obelysk.dev/model-claim".into()]);
    cache.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    cache.status = serde_json::from_value(json!({"resolved": {"revision": "r"}})).unwrap();
    let (job, pod) = finished("m-remove-1", "remove", json!([]), &json!({"succeeded": true}));
    let children = Children::sort(&cache, vec![job], vec![pod]);
    let seen = cache_plan::Snapshot { children, claim: Some(Default::default()), ..cache_plan::Snapshot::default() };
    let plan = cache_plan::plan(&cache, &seen, &settings(), Timestamp::UNIX_EPOCH);
    assert!(plan.job().is_none() && plan.deleted_jobs().is_empty());
    let left = plan.notes.iter().find(|note| note.reason == "FilesLeft").expect("the files are said to stay");
    assert!(left.warning && left.message.contains("Job m-remove-1 exists and is not of this object"));
}

#[test]
fn what_the_server_refuses_is_said_in_its_words_and_asked_for_again() {
    let words = r#"admission webhook "quota" denied the request: exceeded quota: jobs"#;
    let obstacle = Obstacle::of_answer("Job", "moon-prove-1", 403, words).unwrap();
    let mut job = proof_job();
    let mut seen = snapshot(Vec::new(), Vec::new());
    job.status = Some(make(&job, &seen).status);
    seen.refused = Some(obstacle.clone());
    let told = make(&job, &seen);
    assert_eq!(ready(&told), (CREATE_REFUSED, obstacle.message.as_str()));
    assert!(obstacle.message.contains(words));
    assert_eq!(told.status.phase.as_deref(), Some("Queued"));
    let scheduled = told.status.conditions.iter().find(|of| of.type_ == "Scheduled").unwrap();
    assert_eq!((scheduled.status.as_str(), scheduled.reason.as_str()), ("False", CREATE_REFUSED));
    assert!(told.notes.iter().any(|note| note.warning && note.message.contains(words)));

    // The next look tries again, and has nothing new to say until the Job is there.
    job.status = Some(told.status.clone());
    seen.refused = None;
    let again = make(&job, &seen);
    assert!(creates_a_job(&again) && again.notes.is_empty());
    assert_eq!(again.status, told.status);
    let Some(Child::Job(made)) = again.create.last() else { panic!("{:?}", again.create) };
    let after = make(&job, &snapshot(vec![made.as_ref().clone()], Vec::new()));
    assert_eq!(ready(&after).0, "PodPending");
}

#[test]
fn a_cache_says_what_the_server_refuses_to_make_for_it() {
    let obstacle = Obstacle::of_answer("PersistentVolumeClaim", "m-model", 403, "exceeded quota: storage").unwrap();
    let seen = cache_plan::Snapshot { refused: Some(obstacle.clone()), ..cache_plan::Snapshot::default() };
    let told = cache_plan::plan(&cache(), &seen, &settings(), Timestamp::UNIX_EPOCH);
    let ready = told.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!((ready.reason.as_str(), &ready.message), (CREATE_REFUSED, &obstacle.message));
    let told_cache = ModelCache { status: Some(told.status.clone()), ..cache() };
    let again = cache_plan::plan(&told_cache, &Default::default(), &settings(), Timestamp::UNIX_EPOCH);
    assert!(again.claim().is_some() && again.job().is_some());
    assert_eq!(again.status, told.status);
}

#[test]
fn a_server_that_cannot_answer_now_has_refused_nothing() {
    for code in [401, 408, 409, 429, 500, 503] {
        assert_eq!(Obstacle::of_answer("Job", "j", code, "later"), None, "{code}");
    }
    let long = Obstacle::of_answer("Job", "j", 422, &"x".repeat(5000)).unwrap();
    assert!(long.message.len() <= 512, "a status holds it");
}
