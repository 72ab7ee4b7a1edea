//! What the operator makes of each state that a Job and its pods can be in.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use obelysk_api::exit::FaultClass;
use obelysk_operator::controllers::attempt::{Failure, Outcome, Surroundings, judge};
use serde_json::{Value, json};

fn job(status: Value) -> Job {
    let labels = json!({"proving.obelysk.dev/step": "prove", "proving.obelysk.dev/attempt": "1"});
    serde_json::from_value(
        json!({"metadata": {"name": "j-prove-1", "labels": labels}, "spec": {"template": {}}, "status": status}),
    )
    .unwrap()
}

fn pod(metadata: Value, status: Value) -> Pod {
    let mut metadata = metadata;
    metadata["name"] = json!("j-prove-1-abcde");
    let limits = json!({"limits": {"memory": "2Gi"}});
    serde_json::from_value(json!({
        "metadata": metadata,
        "spec": {"nodeName": "node-1", "containers": [{"name": "prove", "resources": limits}]},
        "status": status,
    }))
    .unwrap()
}

fn node(ready: &str) -> (String, Arc<Node>) {
    let status = json!({"conditions": [{"type": "Ready", "status": ready}]});
    ("node-1".into(), serde_json::from_value(json!({"metadata": {"name": "node-1"}, "status": status})).unwrap())
}

/// What is seen of a Job: its pods, and what surrounds it.
struct Seen {
    pods: Vec<Pod>,
    around: Surroundings,
}

fn seen(pods: Vec<Pod>) -> Seen {
    let around = Surroundings { nodes: BTreeMap::from([node("True")]), failed_creates: BTreeMap::new() };
    Seen { pods, around }
}

fn outcome(job: &Job, seen: &Seen) -> Outcome {
    judge(job, &seen.pods, &seen.around).unwrap().outcome
}

fn failure(job: &Job, seen: &Seen) -> Failure {
    match outcome(job, seen) {
        Outcome::Failed(failure) => failure,
        other => panic!("not a failure: {other:?}"),
    }
}

fn condition(kind: &str) -> Value {
    json!({"conditions": [{"type": kind, "status": "True"}]})
}

fn exited(code: i32, message: &str) -> Value {
    json!({
        "phase": if code == 0 { "Succeeded" } else { "Failed" },
        "containerStatuses": [{
            "name": "prove", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code, "message": message}},
        }],
    })
}

#[test]
fn a_job_whose_pod_is_refused_tells_the_reason_of_its_event() {
    let mut seen = seen(Vec::new());
    assert!(matches!(outcome(&job(json!({})), &seen), Outcome::Waiting(reason, _) if reason == "PodPending"));
    seen.around.failed_creates.insert("j-prove-1".into(), "violates PodSecurity".into());
    let expected = Outcome::Waiting("PodRejected".into(), "violates PodSecurity".into());
    assert_eq!(outcome(&job(json!({})), &seen), expected);
}

#[test]
fn a_failed_job_without_a_pod_is_a_fault_of_the_infrastructure() {
    let failure = failure(&job(condition("Failed")), &seen(Vec::new()));
    assert_eq!((failure.class, failure.reason.as_str()), (Some(FaultClass::Infra), "PodLost"));
}

#[test]
fn a_pod_that_cannot_end_on_a_dead_node_is_lost_and_nobody_is_to_blame() {
    let deleting = pod(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), json!({"phase": "Running"}));
    let mut seen = seen(vec![deleting]);
    let terminating = job(json!({"terminating": 1}));
    assert_eq!(outcome(&terminating, &seen), Outcome::Terminating);
    seen.around.nodes = BTreeMap::from([node("Unknown")]);
    let failure = failure(&terminating, &seen);
    assert_eq!((failure.class, failure.reason.as_str()), (None, "NodeLost"));
}

#[test]
fn a_job_on_its_way_to_failure_has_failed() {
    let seen = seen(vec![pod(json!({}), exited(41, ""))]);
    assert_eq!(failure(&job(condition("FailureTarget")), &seen).reason, "Io");
}

#[test]
fn a_suspended_job_is_queued_and_its_second_pod_counts() {
    let mut suspended = job(json!({}));
    suspended.spec.as_mut().unwrap().suspend = Some(true);
    assert_eq!(outcome(&suspended, &seen(Vec::new())), Outcome::Queued);
    let first = pod(json!({"creationTimestamp": "2026-01-01T00:00:00Z"}), exited(143, ""));
    let second = pod(json!({"creationTimestamp": "2026-01-01T00:01:00Z"}), json!({"phase": "Running"}));
    assert_eq!(outcome(&job(json!({})), &seen(vec![second, first])), Outcome::Running);
}

#[test]
fn running_out_of_memory_names_the_limit() {
    let mut status = exited(137, "");
    status["containerStatuses"][0]["state"]["terminated"]["reason"] = json!("OOMKilled");
    let failure = failure(&job(condition("Failed")), &seen(vec![pod(json!({}), status)]));
    assert_eq!((failure.class, failure.exit_code), (Some(FaultClass::Prover), Some(137)));
    assert!(failure.message.contains("2Gi"), "{}", failure.message);
}

#[test]
fn an_eviction_for_an_own_limit_is_the_users_and_a_disruption_is_nobodys() {
    let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "scratch is full"});
    let own = failure(&job(condition("Failed")), &seen(vec![pod(json!({}), evicted.clone())]));
    assert_eq!((own.class, own.reason.as_str()), (Some(FaultClass::User), "Evicted"));
    let mut disrupted = evicted;
    disrupted["conditions"] =
        json!([{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]);
    let other = failure(&job(condition("Failed")), &seen(vec![pod(json!({}), disrupted)]));
    assert_eq!((other.class, other.reason.as_str()), (None, "EvictionByEvictionAPI"));
}

#[test]
fn a_container_that_cannot_be_made_is_waited_for_with_its_reason() {
    let waiting = json!({"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"key\" not found"}});
    let container =
        json!({"name": "prove", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": waiting});
    let status = json!({"phase": "Pending", "containerStatuses": [container]});
    let expected = Outcome::Waiting("CreateContainerConfigError".into(), "secret \"key\" not found".into());
    assert_eq!(outcome(&job(json!({})), &seen(vec![pod(json!({}), status)])), expected);
}

#[test]
fn a_claim_that_no_class_serves_shows_in_the_schedulers_words() {
    let words = "pod has unbound immediate PersistentVolumeClaims";
    let condition = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}]);
    let mut pending = pod(json!({}), json!({"phase": "Pending", "conditions": condition}));
    pending.spec.as_mut().unwrap().node_name = None;
    assert_eq!(outcome(&job(json!({})), &seen(vec![pending])), Outcome::Waiting("Unschedulable".into(), words.into()));
}

#[test]
fn a_pod_on_a_node_that_was_deleted_is_lost() {
    let mut seen = seen(vec![pod(json!({}), json!({"phase": "Running"}))]);
    assert_eq!(outcome(&job(json!({})), &seen), Outcome::Running);
    seen.around.nodes.clear();
    assert_eq!(failure(&job(json!({})), &seen).reason, "NodeLost");
}

#[test]
fn a_silent_node_is_waited_for_until_its_pods_are_evicted() {
    let mut seen = seen(vec![pod(json!({}), json!({"phase": "Running"}))]);
    seen.around.nodes = BTreeMap::from([node("Unknown")]);
    assert!(matches!(outcome(&job(json!({})), &seen), Outcome::Waiting(reason, _) if reason == "NodeNotReady"));
}

#[test]
fn a_success_brings_its_result_and_a_lost_result_costs_nothing() {
    let succeeded = pod(json!({}), exited(0, r#"{"succeeded":true}"#));
    assert!(matches!(outcome(&job(condition("Complete")), &seen(vec![succeeded])), Outcome::Succeeded(_)));
    let silent = failure(&job(condition("Complete")), &seen(Vec::new()));
    assert_eq!((silent.class, silent.reason.as_str()), (None, "ResultLost"));
}

#[test]
fn a_failed_pod_speaks_for_itself_and_a_silent_one_through_its_exit_status() {
    let message = r#"{"succeeded":false,"failure":{"step":"validate","class":"User","code":10,"reason":"BadSpec","message":"the prompt is empty","hint":""}}"#;
    let told = failure(&job(condition("Failed")), &seen(vec![pod(json!({}), exited(10, message))]));
    assert_eq!(
        (told.class, told.reason.as_str(), told.message.as_str()),
        (Some(FaultClass::User), "BadSpec", "the prompt is empty")
    );
    for (code, class) in
        [(32, FaultClass::Gpu), (134, FaultClass::Prover), (135, FaultClass::Infra), (143, FaultClass::Infra)]
    {
        let silent = failure(&job(condition("Failed")), &seen(vec![pod(json!({}), exited(code, ""))]));
        assert_eq!(silent.class, Some(class), "exit status {code}");
    }
}
