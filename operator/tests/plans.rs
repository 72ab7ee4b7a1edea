//! Plans of ProofJobs: the same children however often and from wherever a plan is made.

use clap::Parser;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use obelysk_api::crd::{ModelCache, ProofJob, ProofJobStatus};
use obelysk_operator::controllers::children::Children;
use obelysk_operator::controllers::plan::Child;
use obelysk_operator::controllers::proof_job::observe::Snapshot;
use obelysk_operator::controllers::proof_job::plan::plan;
use obelysk_operator::settings::Settings;
use serde_json::json;

fn proof_job() -> ProofJob {
    serde_json::from_value(json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1",
        "kind": "ProofJob",
        "metadata": {"name": "j", "namespace": "default", "uid": "00000000-0000-0000-0000-000000000001", "generation": 1},
        "spec": {
            "model": {"cacheRef": {"name": "m"}},
            "inference": {"prompt": "Hello"},
            "hardware": {"cpu": {}},
        },
    }))
    .unwrap()
}

fn ready_cache() -> ModelCache {
    serde_json::from_value(json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1",
        "kind": "ModelCache",
        "metadata": {"name": "m", "namespace": "default"},
        "spec": {
            "source": {"bundled": {"name": "tiny-chat"}},
            "storage": {"claim": {"accessMode": "ReadWriteOnce", "size": "1Gi"}},
        },
        "status": {
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Prepared", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
            "resolved": {"modelDigest": "ab"},
        },
    }))
    .unwrap()
}

type Plan = obelysk_operator::controllers::plan::Plan<ProofJobStatus>;

fn settings() -> Settings {
    Settings::parse_from(["obelysk-operator", "--image", "obelysk.dev/obelysk:1"])
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn make(job: &ProofJob, snapshot: &Snapshot, second: i64) -> Plan {
    plan(job, snapshot, &settings(), at(second))
}

fn created_jobs(plan: &Plan) -> Vec<Job> {
    let job = |child: &Child| if let Child::Job(job) = child { Some(job.as_ref().clone()) } else { None };
    plan.create.iter().filter_map(job).collect()
}

/// Jobs as the ProofJob sees them.
fn children(jobs: Vec<Job>) -> Children {
    Children::sort(&proof_job(), jobs, Vec::new())
}

fn reason(plan: &Plan, kind: &str) -> (String, String) {
    let condition = plan.status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
    (condition.status.clone(), condition.reason.clone())
}

#[test]
fn a_job_waits_for_a_preset_that_went_after_its_model_was_prepared() {
    let mut cache = ready_cache();
    cache.spec.source = serde_json::from_value(json!({"preset": {"name": "gone"}})).unwrap();
    let plan = make(&proof_job(), &Snapshot { cache: Some(cache), ..Snapshot::default() }, 0);
    assert_eq!(reason(&plan, "ModelReady"), ("False".into(), "ModelPresetNotFound".into()));
    assert_eq!(reason(&plan, "Scheduled"), ("False".into(), "NotReached".into()), "the reason is said where it is");
    assert_eq!(reason(&plan, "Failed"), ("False".into(), "NotFailed".into()));
    assert!(plan.create.is_empty());
}

#[test]
fn a_job_waits_for_its_model_with_a_reason_and_without_children() {
    let plan = make(&proof_job(), &Snapshot::default(), 0);
    assert!(plan.create.is_empty());
    assert_eq!(reason(&plan, "Ready"), ("False".into(), "ModelCacheNotFound".into()));
    assert_eq!(plan.status.start_time, None);
}

#[test]
fn a_crash_between_status_and_child_repeats_the_same_child() {
    let snapshot = Snapshot { cache: Some(ready_cache()), ..Snapshot::default() };
    let mut job = proof_job();
    let first = make(&job, &snapshot, 0);
    assert_eq!(created_jobs(&first).iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["j-prove-1"]);
    // The status arrived, the Job did not: the next process plans the very same Job.
    job.status = Some(first.status.clone());
    let second = make(&job, &snapshot, 60);
    assert_eq!(created_jobs(&second), created_jobs(&first));
    assert_eq!(second.status.start_time, first.status.start_time);
}

#[test]
fn a_child_that_exists_is_not_created_again() {
    let mut job = proof_job();
    let mut snapshot = Snapshot { cache: Some(ready_cache()), ..Snapshot::default() };
    let first = make(&job, &snapshot, 0);
    snapshot.children = children(created_jobs(&first));
    // Whether or not the status arrived.
    assert!(created_jobs(&make(&job, &snapshot, 1)).is_empty());
    job.status = Some(first.status);
    assert!(created_jobs(&make(&job, &snapshot, 1)).is_empty());
}

#[test]
fn a_plan_with_nothing_new_writes_nothing_new() {
    let mut job = proof_job();
    let mut snapshot = Snapshot { cache: Some(ready_cache()), ..Snapshot::default() };
    let first = make(&job, &snapshot, 0);
    snapshot.children = children(created_jobs(&first));
    job.status = Some(make(&job, &snapshot, 1).status);
    assert_eq!(Some(make(&job, &snapshot, 500).status), job.status);
}

#[test]
fn children_of_an_earlier_object_of_the_same_name_are_waited_for() {
    let job = proof_job();
    let mut snapshot = Snapshot { cache: Some(ready_cache()), ..Snapshot::default() };
    let first = make(&job, &snapshot, 0);
    let claim = first
        .create
        .iter()
        .find_map(|child| if let Child::Claim(claim) = child { Some(claim.as_ref().clone()) } else { None });
    let mut claim = claim.unwrap();
    claim.metadata.owner_references.as_mut().unwrap()[0].uid = "another".into();
    snapshot.claim = Some(claim);
    let plan = make(&job, &snapshot, 1);
    assert!(plan.create.is_empty());
    assert_eq!(reason(&plan, "Ready").1, "PreviousChildrenTerminating");
}

#[test]
fn a_pod_runs_without_root_token_or_writable_root() {
    let snapshot = Snapshot { cache: Some(ready_cache()), ..Snapshot::default() };
    let job = created_jobs(&make(&proof_job(), &snapshot, 0)).remove(0);
    let pod = job.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.automount_service_account_token, Some(false));
    assert_eq!(pod.security_context.unwrap().run_as_non_root, Some(true));
    let container = &pod.containers[0];
    let security = container.security_context.clone().unwrap();
    assert_eq!(security.read_only_root_filesystem, Some(true));
    assert_eq!(security.capabilities.unwrap().drop, Some(vec!["ALL".to_owned()]));
    let mounts = container.volume_mounts.clone().unwrap();
    let model = mounts.iter().find(|mount| mount.mount_path == "/model").unwrap();
    assert_eq!(model.read_only, Some(true));
}

#[test]
fn an_ended_job_still_observes_its_generation() {
    let mut job = proof_job();
    job.spec.cancel = Some(true);
    let ended = make(&job, &Snapshot::default(), 0);
    assert!(ended.ended);
    job.status = Some(ended.status);
    job.metadata.generation = Some(7);
    let later = make(&job, &Snapshot::default(), 10);
    assert!(!later.ended);
    assert_eq!(later.status.observed_generation, Some(7));
    assert_eq!(reason(&later, "Failed"), ("True".into(), "Cancelled".into()));
    assert_eq!(reason(&later, "Reconciling").0, "False");
}
