//! Plans of ModelCaches: who holds one, when it goes, and when its model is not good enough.

mod made;

use clap::Parser;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use made::Made;
use obelysk_api::crd::{ModelCache, ModelCacheStatus};
use obelysk_api::job::JobKind;
use obelysk_operator::controllers::children::Children;
use obelysk_operator::controllers::model_cache::plan::{Snapshot, plan};
use obelysk_operator::controllers::plan::{Doomed, DoomedKind};
use obelysk_operator::settings::Settings;
use serde_json::{Value, json};

type Plan = obelysk_operator::controllers::plan::Plan<ModelCacheStatus>;

/// A finished Job of a ProofJob that has read the model.
fn holder() -> Doomed {
    Doomed { kind: DoomedKind::Job, name: "done-prove-1".into(), uid: None }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn attempt(step: &str) -> Value {
    json!({"step": step, "number": 1, "reason": "Succeeded"})
}

/// A prepared cache that was used last at second 0.
fn ready_cache(spec: Value) -> ModelCache {
    let mut object = json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1",
        "kind": "ModelCache",
        "metadata": {
            "name": "m", "namespace": "default", "uid": "00000000-0000-0000-0000-000000000001", "generation": 1,
            "finalizers": ["proving.obelysk.dev/model-claim"],
        },
        "spec": {
            "source": {"bundled": {"name": "tiny-chat"}},
            "storage": {"claim": {"accessMode": "ReadWriteOnce", "size": "1Gi"}},
        },
        "status": {
            "phase": "Ready",
            "consumers": 0,
            "lastUsedTime": at(0).to_string(),
            "attempts": [attempt("prepare"), attempt("fetch")],
            "quality": {
                "perplexityFloat": "10.0000", "perplexityInt": "10.4000", "top1Agreement": "0.9712",
                "meanKL": "0.010000", "saturationRate": "0.000000",
            },
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "Prepared", "message": "ready",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        },
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn claim() -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {"name": "m-model", "labels": {"proving.obelysk.dev/modelcache": "m"}},
    }))
    .unwrap()
}

fn old_job(cache: &ModelCache) -> Children {
    let owner = cache.controller_owner_ref(&()).unwrap();
    let metadata = json!({"name": "m-fetch-1", "namespace": "default", "ownerReferences": [owner]});
    Children::sort(cache, vec![serde_json::from_value(json!({"metadata": metadata})).unwrap()], Vec::new())
}

/// A Job as the server keeps it, and its pod.
fn with_pod(job: &mut Job, mut pod: Value) -> Pod {
    let uid = format!("uid-of-{}", job.name_any());
    job.metadata.uid = Some(uid.clone());
    let owner =
        json!({"apiVersion": "batch/v1", "kind": "Job", "name": job.name_any(), "uid": uid, "controller": true});
    pod["metadata"] = json!({"name": "pod", "ownerReferences": [owner]});
    serde_json::from_value(pod).unwrap()
}

fn make(cache: &ModelCache, snapshot: &Snapshot, second: i64) -> Plan {
    let settings = Settings::parse_from(["obelysk-operator", "--image", "obelysk.dev/obelysk:1"]);
    plan(cache, snapshot, &settings, at(second))
}

fn with_status(cache: &ModelCache, status: ModelCacheStatus) -> ModelCache {
    ModelCache { status: Some(status), ..cache.clone() }
}

fn ready(plan: &Plan) -> (String, String, String) {
    let of = plan.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    (of.status.clone(), of.reason.clone(), of.message.clone())
}

#[test]
fn an_unused_cache_says_so_before_its_jobs_and_then_its_claim_go() {
    let cache = ready_cache(json!({"retention": {"evictAfterUnusedSeconds": 600}}));
    let mut snapshot = Snapshot { claim: Some(claim()), children: old_job(&cache), ..Snapshot::default() };
    assert_eq!(ready(&make(&cache, &snapshot, 599)).0, "True");

    let first = make(&cache, &snapshot, 600);
    assert_eq!(first.status.phase.as_deref(), Some("Evicting"));
    assert_eq!(ready(&first).0, "False");
    assert!(first.deleted_jobs().is_empty() && first.deleted_claim().is_none(), "the status is read first");

    let cache = with_status(&cache, first.status);
    snapshot.holders = vec![holder()];
    let second = make(&cache, &snapshot, 601);
    assert_eq!(second.deleted_jobs(), ["m-fetch-1", "done-prove-1"], "finished pods hold a claim too");
    assert_eq!(second.deleted_claim(), None, "a Job vouches for what is on the claim");
    assert!(second.status.attempts.is_empty());

    let cache = with_status(&cache, second.status);
    snapshot.children = Children::default();
    snapshot.holders.clear();
    let third = make(&cache, &snapshot, 602);
    assert_eq!(third.deleted_claim().as_deref(), Some("m-model"));

    let cache = with_status(&cache, third.status);
    snapshot.claim = None;
    let cache = with_status(&cache, make(&cache, &snapshot, 603).status);
    let last = make(&cache, &snapshot, 700);
    assert_eq!(last.status.phase.as_deref(), Some("Evicting"));
    assert!(last.claim().is_none() && last.job().is_none(), "nobody asks for it");
    assert_eq!(Some(&last.status), cache.status.as_ref(), "an evicted cache writes nothing");

    snapshot.consumers = 1;
    let back = make(&cache, &snapshot, 701);
    assert!(back.claim().is_some() && back.job().is_some());
}

#[test]
fn only_the_pod_that_fetches_from_a_bucket_gets_its_key() {
    let source = json!({"s3": {"bucket": "models", "prefix": "qwen3", "secretRef": {"name": "key"}}});
    let mut cache = ready_cache(json!({"source": source}));
    let snapshot = Snapshot { claim: Some(claim()), ..Snapshot::default() };
    let secrets = |cache: &ModelCache| -> Vec<(String, String)> {
        let job = serde_json::to_value(make(cache, &snapshot, 0).job().unwrap()).unwrap();
        let variables = &job["spec"]["template"]["spec"]["containers"][0]["env"];
        let of_secret = |variable: &Value| {
            let key = &variable["valueFrom"]["secretKeyRef"];
            key["key"].as_str().map(|key| (variable["name"].as_str().unwrap().to_owned(), key.to_owned()))
        };
        variables.as_array().unwrap().iter().filter_map(of_secret).collect()
    };
    let mut status = cache.status.take().unwrap();
    let key = |name: &str, key: &str| (name.to_owned(), key.to_owned());
    let both = [key("AWS_ACCESS_KEY_ID", "accessKeyId"), key("AWS_SECRET_ACCESS_KEY", "secretAccessKey")];
    assert_eq!(secrets(&cache), both);
    status.attempts.retain(|attempt| attempt.step == JobKind::Fetch);
    assert_eq!(secrets(&with_status(&cache, status)), [], "the one that prepares needs none");
}

#[test]
fn pods_of_a_volume_for_one_node_stay_together() {
    let new_cache = |mode: &str| {
        let mut cache = ready_cache(json!({"storage": {"claim": {"accessMode": mode, "size": "1Gi"}}}));
        cache.status = None;
        make(&cache, &Snapshot::default(), 0)
    };
    let single = new_cache("ReadWriteOnce");
    assert!(single.notes.iter().any(|note| note.reason == "SingleNode"));
    let pod = serde_json::to_value(single.job().unwrap().spec.unwrap().template).unwrap();
    let term = &pod["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    let label = "proving.obelysk.dev/volume";
    assert_eq!(term["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(term["labelSelector"]["matchLabels"][label], "m-model");
    assert_eq!(pod["metadata"]["labels"][label], "m-model", "the first pod has only itself to join");

    let many = new_cache("ReadWriteMany");
    assert!(many.notes.iter().all(|note| note.reason != "SingleNode"));
    assert_eq!(many.job().unwrap().spec.unwrap().template.spec.unwrap().affinity.unwrap().pod_affinity, None);
}

#[test]
fn a_pool_says_where_a_model_is_fetched_and_prepared() {
    let mut cache = ready_cache(json!({"placement": {"poolRef": {"name": "h200"}, "nodeSelector": {"disk": "fast"}}}));
    cache.status = None;
    let mut snapshot = Snapshot { claim: Some(claim()), ..Snapshot::default() };
    let waiting = make(&cache, &snapshot, 0);
    assert_eq!(ready(&waiting).1, "ProverPoolNotFound");
    assert!(waiting.job().is_none());

    snapshot.pool = Some(
        serde_json::from_value(json!({
            "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ProverPool", "metadata": {"name": "h200"},
            "spec": {"nodeSelector": {"fleet": "h200"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]},
        }))
        .unwrap(),
    );
    let pod = make(&cache, &snapshot, 1).job().unwrap().spec.unwrap().template.spec.unwrap();
    let selector = pod.node_selector.unwrap();
    assert_eq!((selector["fleet"].as_str(), selector["disk"].as_str()), ("h200", "fast"));
    assert!(pod.tolerations.unwrap().iter().any(|toleration| toleration.key.as_deref() == Some("gpu")));
}

#[test]
fn a_cache_that_is_used_is_not_evicted() {
    let cache = ready_cache(json!({"retention": {"evictAfterUnusedSeconds": 600}}));
    let mut snapshot = Snapshot { claim: Some(claim()), consumers: 2, ..Snapshot::default() };
    let used = make(&cache, &snapshot, 5000);
    assert_eq!(ready(&used).0, "True");
    // The wait starts anew when the last consumer ends.
    snapshot.consumers = 0;
    let cache = with_status(&cache, used.status);
    let unused = make(&cache, &snapshot, 6000);
    assert_eq!(unused.status.last_used_time.as_ref().map(|time| time.0), Some(at(6000)));
    let cache = with_status(&cache, unused.status);
    assert_eq!(ready(&make(&cache, &snapshot, 6599)).0, "True");
    assert_eq!(make(&cache, &snapshot, 6600).status.phase.as_deref(), Some("Evicting"));
}

#[test]
fn a_deleted_cache_stays_until_its_readers_are_done() {
    let mut cache = ready_cache(json!({}));
    cache.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    let mut snapshot = Snapshot { claim: Some(claim()), consumers: 3, readers: 2, ..Snapshot::default() };
    let held = make(&cache, &snapshot, 1);
    assert!(held.finalizer && held.deleted_claim().is_none());
    assert_eq!(held.status.progress.unwrap().summary.unwrap(), "being deleted; 2 ProofJobs still read it");
    // Those that have not started do not hold it.
    snapshot.readers = 0;
    let freed = make(&cache, &snapshot, 2);
    assert!(!freed.finalizer);
    assert_eq!(freed.deleted_claim().as_deref(), Some("m-model"));
}

#[test]
fn a_claim_that_stays_keeps_the_jobs_of_others() {
    let spec = |storage: Value, policy: &str| {
        let mut cache = ready_cache(json!({"storage": storage, "retention": {"policy": policy}}));
        cache.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
        cache
    };
    let snapshot = Snapshot { claim: Some(claim()), holders: vec![holder()], ..Snapshot::default() };
    let new = json!({"claim": {"accessMode": "ReadWriteOnce", "size": "1Gi"}});
    let existing = json!({"existingClaim": {"name": "shared"}});
    for (cache, deleted) in [
        (spec(new.clone(), "Delete"), vec!["done-prove-1"]),
        (spec(new, "Retain"), vec![]),
        (spec(existing, "Delete"), vec![]),
    ] {
        let plan = make(&cache, &snapshot, 1);
        assert_eq!(plan.deleted_jobs(), deleted);
        assert_eq!(plan.deleted_claim().is_some(), !deleted.is_empty());
    }
}

#[test]
fn a_model_that_agrees_too_rarely_is_refused_with_the_numbers() {
    let snapshot = Snapshot { claim: Some(claim()), ..Snapshot::default() };
    let refused = ready_cache(json!({"prepare": {"quantize": {"minTop1Agreement": "0.99"}}}));
    let (status, reason, message) = ready(&make(&refused, &snapshot, 1));
    assert_eq!((status.as_str(), reason.as_str()), ("False", "QualityBelowMinimum"));
    for number in ["0.9712", "0.99", "10.0000", "10.4000"] {
        assert!(message.contains(number), "{message}");
    }
    let accepted = ready_cache(json!({"prepare": {"quantize": {"minTop1Agreement": "0.97"}}}));
    assert_eq!(ready(&make(&accepted, &snapshot, 1)).0, "True");
}

/// A pod of the only Job that ended with this failure of a prepare.
fn refused(plan: &Plan) -> Snapshot {
    let mut job = plan.job().clone().unwrap();
    job.status = serde_json::from_value(json!({"conditions": [{"type": "Failed", "status": "True"}]})).unwrap();
    let message = json!({"failure": {
        "step": "inference", "class": "User", "code": 13, "reason": "QualityBelowMinimum",
        "message": "m misses the quality gate: text: KL 9.2500, at most 0.01", "hint": "use another model",
    }});
    let pod = json!({
        "status": {"phase": "Failed", "containerStatuses": [{
            "name": "prover", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 13, "message": message.to_string()}},
        }]},
    });
    let pod = with_pod(&mut job, pod);
    let children = Children::sort(&ready_cache(json!({})), vec![job], vec![pod]);
    Snapshot { claim: Some(claim()), children, ..Snapshot::default() }
}

#[test]
fn a_model_that_a_pod_refused_stalls_with_the_numbers_until_its_quality_is_accepted() {
    let mut cache = ready_cache(json!({}));
    let status = cache.status.as_mut().unwrap();
    status.attempts.retain(|attempt| attempt.step == JobKind::Fetch);
    (status.quality, status.observed_generation) = (None, Some(1));
    status.conditions.clear();
    let first = make(&cache, &Snapshot { claim: Some(claim()), ..Snapshot::default() }, 0);
    let snapshot = refused(&first);
    let cache = with_status(&cache, first.status);
    let stalled = make(&cache, &snapshot, 1);
    let (_, reason, message) = ready(&stalled);
    assert_eq!((stalled.status.phase.as_deref(), reason.as_str()), (Some("Failed"), "QualityBelowMinimum"));
    assert!(message.contains("text: KL 9.2500, at most 0.01"), "{message}");
    let mut cache = with_status(&cache, stalled.status);
    assert!(make(&cache, &snapshot, 100).job().is_none(), "nothing changes by itself");

    let accepts: ModelCache = ready_cache(json!({"prepare": {"quantize": {"minTop1Agreement": "0"}}}));
    (cache.spec, cache.metadata.generation) = (accepts.spec, Some(2));
    let again = make(&cache, &snapshot, 101).job().expect("the specification accepts it now");
    assert!(serde_json::to_string(&again).unwrap().contains(r#"minTop1Agreement\":\"0\""#), "its pod is told");
}

#[test]
fn an_accepted_quality_is_said_and_is_needed_as_long_as_the_model_is_used() {
    let note = "the integer engine misses the quality gate, accepted: text: KL 9.2500";
    let snapshot = Snapshot { claim: Some(claim()), ..Snapshot::default() };
    let accept = json!({"prepare": {"quantize": {"minTop1Agreement": "0"}}});
    for (spec, expected) in [(accept, "True"), (json!({}), "False")] {
        let mut cache = ready_cache(spec);
        cache.status.as_mut().unwrap().quality.as_mut().unwrap().note = Some(note.into());
        let plan = make(&cache, &snapshot, 1);
        let (status, _, message) = ready(&plan);
        assert_eq!(status, expected);
        assert!(message.contains(note), "{message}");
        assert!(plan.status.progress.unwrap().summary.unwrap().contains("misses the quality gate"));
    }
}

#[test]
fn a_claim_that_another_made_outlives_the_cache() {
    let cache = deleted(ready_cache(json!({})), 0);
    let foreign = PersistentVolumeClaim::default();
    let plan = make(&cache, &Snapshot { claim: Some(foreign), ..Snapshot::default() }, 1);
    assert!(!plan.finalizer && plan.deleted_claim().is_none());
}

fn deleted(mut cache: ModelCache, second: i64) -> ModelCache {
    cache.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(second)));
    cache
}

/// A prepared cache on a claim that others may use too.
fn on_shared_claim(number: u32, source: &str, revision: &str, policy: Option<&str>) -> ModelCache {
    let mut cache = ready_cache(json!({
        "source": {"huggingFace": {"repo": source}},
        "storage": {"existingClaim": {"name": "shared", "subPath": "models"}},
        "retention": {"policy": policy},
    }));
    cache.metadata.name = Some(format!("m{number}"));
    cache.metadata.uid = Some(format!("00000000-0000-0000-0000-00000000000{number}"));
    let status = cache.status.as_mut().unwrap();
    status.resolved = serde_json::from_value(json!({"revision": revision})).unwrap();
    cache
}

/// The Job of a plan, ended, with its pod.
fn ended(cache: &ModelCache, plan: &Plan, succeeded: bool, snapshot: &Snapshot) -> Snapshot {
    let mut job = plan.job().clone().unwrap();
    let kind = if succeeded { "Complete" } else { "Failed" };
    job.status = serde_json::from_value(json!({"conditions": [{"type": kind, "status": "True"}]})).unwrap();
    let pod = json!({
        "spec": {"nodeName": "a", "containers": []},
        "status": {"containerStatuses": [{
            "name": "main", "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": {"terminated": {"exitCode": 0, "message": json!({"succeeded": succeeded}).to_string()}},
        }]},
    });
    let pod = with_pod(&mut job, pod);
    Snapshot { children: Children::sort(cache, vec![job], vec![pod]), ..snapshot.clone() }
}

fn warned(plan: &Plan) -> bool {
    plan.notes.iter().any(|note| note.warning && note.reason == "FilesLeft")
}

#[test]
fn the_last_holder_of_a_model_removes_it_from_a_shared_claim() {
    let cache = deleted(on_shared_claim(1, "a/b", "abc", Some("Delete")), 0);
    let others = vec![
        on_shared_claim(2, "c/d", "def", None),
        // Gone but for somebody else's finalizer.
        ModelCache {
            metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                finalizers: None,
                ..deleted(on_shared_claim(3, "a/b", "abc", None), 0).metadata
            },
            ..on_shared_claim(3, "a/b", "abc", None)
        },
    ];
    let mut snapshot = Snapshot { claim: Some(claim()), others, ..Snapshot::default() };
    let first = make(&cache, &snapshot, 1);
    assert!(first.finalizer);
    assert_eq!(first.status.phase.as_deref(), Some("Removing"));
    let job = serde_json::to_value(first.job().as_ref().unwrap()).unwrap();
    assert_eq!(job["metadata"]["name"], "m1-remove-1");
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["volumeMounts"][0]["subPath"], "models");
    let spec: Value = serde_json::from_str(container["env"][0]["value"].as_str().unwrap()).unwrap();
    assert_eq!(spec["work"], json!({"remove": {"revision": "abc"}}));
    assert_eq!(spec["model"]["hub"]["reference"], "a/b");

    // A cache of the same model that comes now fetches it when it is gone.
    let cache = with_status(&cache, first.status.clone());
    let mut late = on_shared_claim(4, "a/b", "abc", None);
    late.status = None;
    let of_late = Snapshot { claim: Some(claim()), others: vec![cache.clone()], ..Snapshot::default() };
    assert_eq!(ready(&make(&late, &of_late, 2)).1, "PreviousChildrenTerminating");

    snapshot = ended(&cache, &first, true, &snapshot);
    snapshot.others.push(late);
    let last = make(&cache, &snapshot, 3);
    assert!(!last.finalizer && last.deleted_claim().is_none());
    assert_eq!(last.deleted_jobs(), ["m1-remove-1"]);
    assert!(last.notes.iter().any(|note| note.reason == "ModelRemoved"));
}

#[test]
fn a_model_that_another_cache_holds_is_kept() {
    let cache = deleted(on_shared_claim(1, "a/b", "abc", Some("Delete")), 5);
    let unresolved = |mut cache: ModelCache| {
        cache.status = None;
        cache
    };
    for other in [
        on_shared_claim(2, "a/b", "abc", None),
        on_shared_claim(2, "a/b", "older", None),
        on_shared_claim(2, "mirror/b", "abc", None),
        unresolved(on_shared_claim(2, "a/b", "", None)),
        deleted(on_shared_claim(2, "a/b", "abc", None), 6),
    ] {
        let snapshot = Snapshot { claim: Some(claim()), others: vec![cache.clone(), other], ..Snapshot::default() };
        let plan = make(&cache, &snapshot, 7);
        assert!(!plan.finalizer && plan.job().is_none());
        let note = plan.notes.iter().find(|note| note.reason == "SharedModelKept").unwrap();
        assert!(note.message.ends_with("also held by m2"), "{}", note.message);
    }
    // Of two that are being deleted the later one removes, when the earlier one has no readers any more.
    let earlier = deleted(on_shared_claim(2, "a/b", "abc", None), 4);
    let snapshot = Snapshot { claim: Some(claim()), others: vec![earlier], ..Snapshot::default() };
    let plan = make(&cache, &snapshot, 7);
    assert!(plan.finalizer && plan.job().is_none());
    assert!(plan.status.progress.unwrap().summary.unwrap().contains("waits for m2"));
}

#[test]
fn files_on_a_claim_that_existed_stay_unless_their_removal_is_asked_for() {
    let snapshot = Snapshot { claim: Some(claim()), ..Snapshot::default() };
    for policy in [None, Some("Retain")] {
        let plan = make(&deleted(on_shared_claim(1, "a/b", "abc", policy), 0), &snapshot, 1);
        assert!(!plan.finalizer && plan.job().is_none() && !warned(&plan));
    }
    let mut elsewhere = on_shared_claim(2, "a/b", "abc", None);
    elsewhere.spec.storage.existing_claim.as_mut().unwrap().sub_path = None;
    let snapshot = Snapshot { others: vec![elsewhere], ..snapshot };
    let asked = deleted(on_shared_claim(1, "a/b", "abc", Some("Delete")), 0);
    assert!(make(&asked, &snapshot, 1).job().is_some(), "the same model in another folder is another copy");
}

#[test]
fn a_removal_that_cannot_be_is_given_up() {
    let mut cache = deleted(on_shared_claim(1, "a/b", "abc", Some("Delete")), 0);
    let mut snapshot = Snapshot { claim: Some(claim()), ..Snapshot::default() };
    for attempt in 1..=3 {
        let plan = make(&cache, &snapshot, attempt);
        assert_eq!(plan.job().as_ref().unwrap().metadata.name, Some(format!("m1-remove-{attempt}")));
        let failed = make(&with_status(&cache, plan.status.clone()), &ended(&cache, &plan, false, &snapshot), attempt);
        cache = with_status(&cache, failed.status.clone());
        assert_eq!(failed.finalizer, attempt < 3);
        assert_eq!(warned(&failed), attempt == 3);
    }

    let mut unfetched = deleted(on_shared_claim(1, "a/b", "abc", Some("Delete")), 0);
    unfetched.status.as_mut().unwrap().resolved = None;
    let mut of_preset = deleted(on_shared_claim(1, "a/b", "abc", Some("Delete")), 0);
    of_preset.spec.source = serde_json::from_value(json!({"preset": {"name": "gone"}})).unwrap();
    for cache in [unfetched, of_preset] {
        let plan = make(&cache, &snapshot, 1);
        assert!(!plan.finalizer && plan.job().is_none() && warned(&plan));
    }
    snapshot.claim = None;
    let plan = make(&deleted(on_shared_claim(1, "a/b", "abc", Some("Delete")), 0), &snapshot, 1);
    assert!(!plan.finalizer && !warned(&plan), "the files went with the claim");
}

#[test]
fn a_cache_whose_claim_was_deleted_by_hand_brings_its_model_anew() {
    let cache = ready_cache(json!({}));
    let with_uid = |uid: &str| {
        let mut claim = claim();
        claim.metadata.uid = Some(uid.into());
        Some(claim)
    };
    let mut snapshot = Snapshot { claim: with_uid("first"), ..Snapshot::default() };
    let held = make(&cache, &snapshot, 0);
    assert_eq!((ready(&held).0.as_str(), held.status.claim_uid.as_deref()), ("True", Some("first")));
    let cache = with_status(&cache, held.status);
    // It is gone, or another has its name.
    for claim in [None, with_uid("second")] {
        snapshot.claim = claim;
        let lost = make(&cache, &snapshot, 2);
        assert_eq!((ready(&lost).1.as_str(), lost.job()), ("ContentsLost", None));
        assert!(lost.status.attempts.is_empty() && lost.notes.iter().any(|note| note.reason == "ContentsLost"));
        let again = make(&with_status(&cache, lost.status), &snapshot, 3);
        assert_eq!(again.claim().is_some(), snapshot.claim.is_none());
        assert_eq!(again.job().unwrap().metadata.name.as_deref(), Some("m-fetch-1"));
    }
}
