//! Plans of ModelCaches on the disks of nodes: which nodes get a copy, which Jobs count, what a deletion takes along.

mod made;

use clap::Parser;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use made::Made;
use obelysk_api::crd::{ModelCache, ModelCacheStatus, ProofJob, ProverPool};
use obelysk_operator::controllers::children::Children;
use obelysk_operator::controllers::model_cache::plan::{Snapshot, plan};
use obelysk_operator::controllers::plan::{Child, Doomed, DoomedKind};
use obelysk_operator::controllers::proof_job;
use obelysk_operator::settings::Settings;
use serde_json::{Value, json};

type Plan = obelysk_operator::controllers::plan::Plan<ModelCacheStatus>;

/// A finished Job of a ProofJob that has read the model.
fn holder() -> Doomed {
    Doomed { kind: DoomedKind::Job, name: "done-prove-1".into(), uid: None }
}

const UID: &str = "00000000-0000-0000-0000-000000000001";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn settings(arguments: &[&str]) -> Settings {
    Settings::parse_from([&["obelysk-operator", "--image", "obelysk.dev/obelysk:1"], arguments].concat())
}

fn cache(more: Value) -> ModelCache {
    let mut object = json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1",
        "kind": "ModelCache",
        "metadata": {
            "name": "m", "namespace": "default", "uid": UID, "generation": 1,
            "finalizers": ["proving.obelysk.dev/model-claim"],
        },
        "spec": {
            "source": {"bundled": {"name": "tiny-chat"}},
            "storage": {"nodeLocal": {"poolRef": {"name": "h200"}, "replicas": 2}},
        },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn pool(spec: Value) -> ProverPool {
    serde_json::from_value(json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ProverPool", "metadata": {"name": "h200"}, "spec": spec,
    }))
    .unwrap()
}

/// A node whose hostname is not its name.
fn node(name: &str, ready: bool) -> Node {
    let status = if ready { "True" } else { "False" };
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"fleet": "h200", "kubernetes.io/hostname": format!("{name}.host")}},
        "status": {"conditions": [{"type": "Ready", "status": status}]},
    }))
    .unwrap()
}

/// A reference to the Job that controls a pod.
fn of_job(job: &Job) -> Value {
    let (name, uid) = (job.name_any(), job.metadata.uid.clone());
    json!({"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": true})
}

/// A cluster that does what plans say, one step at a time.
struct Cluster {
    cache: ModelCache,
    jobs: Vec<Job>,
    pods: Vec<Pod>,
    snapshot: Snapshot,
    settings: Settings,
    second: i64,
}

impl Cluster {
    fn new(nodes: &[&str]) -> Self {
        let pool = pool(json!({"nodeSelector": {"fleet": "h200"}, "cacheRoot": "/var/lib/obelysk"}));
        let mut cluster = Self {
            cache: cache(json!({})),
            jobs: Vec::new(),
            pods: Vec::new(),
            snapshot: Snapshot { pool: Some(pool), ..Snapshot::default() },
            settings: settings(&["--node-local"]),
            second: 0,
        };
        for name in nodes {
            cluster.snapshot.around.nodes.insert((*name).into(), node(name, true).into());
        }
        cluster
    }

    fn plan(&self) -> Plan {
        let children = Children::sort(&self.cache, self.jobs.clone(), self.pods.clone());
        plan(&self.cache, &Snapshot { children, ..self.snapshot.clone() }, &self.settings, at(self.second))
    }

    /// Plan, and carry the plan out.
    fn step(&mut self) -> Plan {
        let plan = self.plan();
        self.cache.status = Some(plan.status.clone());
        self.carry_out(&plan);
        plan
    }

    /// What follows the write of the status.
    fn carry_out(&mut self, plan: &Plan) {
        for name in &plan.deleted_jobs() {
            self.jobs.retain(|job| job.name_any() != *name);
            self.pods.retain(|pod| pod.owner_references()[0].name != *name);
        }
        if let Some(volume) = plan.volume().clone() {
            self.snapshot.volume.get_or_insert(volume);
        }
        if let Some(claim) = plan.claim().clone() {
            self.snapshot.claim.get_or_insert(claim);
        }
        self.jobs.extend(plan.job().clone().map(|mut job| {
            job.metadata.uid = Some(format!("uid-of-{}-at-{}", job.name_any(), self.second));
            job
        }));
        self.second += 1;
    }

    /// The newest Job ends on a node.
    fn end_job(&mut self, node: &str, succeeded: bool) {
        let job = self.jobs.last_mut().unwrap();
        let (kind, code) = if succeeded { ("Complete", 0) } else { ("Failed", 71) };
        job.status = serde_json::from_value(json!({"conditions": [{"type": kind, "status": "True"}]})).unwrap();
        let message = json!({"succeeded": succeeded, "model": {"revision": "abc", "files": 1, "bytes": 1}}).to_string();
        let terminated = json!({"exitCode": code, "message": message});
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "pod", "ownerReferences": [of_job(job)]},
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": "Succeeded", "containerStatuses": [{
                "name": "main", "ready": false, "restartCount": 0, "image": "", "imageID": "",
                "state": {"terminated": terminated},
            }]},
        }))
        .unwrap();
        self.pods = vec![pod];
    }

    /// One round: the Job that fetches is created, and both Jobs end on a node.
    fn round(&mut self, node: &str) -> Plan {
        let fetch = self.step().job().unwrap();
        assert_eq!(fetch.name_any(), "m-fetch-1");
        self.end_job(node, true);
        let prepare = self.step().job().unwrap();
        assert_eq!(prepare.name_any(), "m-prepare-1");
        assert_eq!(on(&prepare, "In"), [format!("{node}.host")], "it reads what was fetched");
        self.end_job(node, true);
        self.step()
    }

    fn nodes(&self) -> Vec<String> {
        self.cache.status.as_ref().unwrap().nodes.clone()
    }

    fn delete(&mut self) {
        self.cache.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    }
}

/// Hostnames in a Job's node affinity.
fn on(job: &Job, operator: &str) -> Vec<String> {
    let job = serde_json::to_value(job).unwrap();
    let affinity = &job["spec"]["template"]["spec"]["affinity"]["nodeAffinity"];
    let terms = &affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    let expressions = terms[0]["matchExpressions"].as_array().cloned().unwrap_or_default();
    let found = expressions.iter().find(|of| of["key"] == "kubernetes.io/hostname" && of["operator"] == operator);
    found.map(|of| serde_json::from_value(of["values"].clone()).unwrap()).unwrap_or_default()
}

fn job_file(job: &Job) -> Value {
    let job = serde_json::to_value(job).unwrap();
    let variables = &job["spec"]["template"]["spec"]["containers"][0]["env"];
    let spec = variables.as_array().unwrap().iter().find(|variable| variable["name"] == "OBELYSK_JOB").unwrap();
    serde_json::from_str(spec["value"].as_str().unwrap()).unwrap()
}

fn condition(plan: &Plan, kind: &str) -> (String, String, String) {
    let of = plan.status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
    (of.status.clone(), of.reason.clone(), of.message.clone())
}

#[test]
fn a_second_copy_is_made_when_the_first_is_ready() {
    let mut cluster = Cluster::new(&["a", "b", "c"]);
    let first = cluster.round("a");
    assert_eq!(first.status.nodes, ["a.host"]);
    assert_eq!(condition(&first, "Ready"), ("True".into(), "Prepared".into(), "ready on 1 of 2 nodes".into()));
    assert_eq!(first.deleted_jobs().len(), 2, "the Jobs of the round go");

    let second = cluster.plan();
    assert_eq!(on(second.job().as_ref().unwrap(), "NotIn"), ["a.host"]);
    let (ready, _, message) = condition(&second, "Ready");
    assert_eq!(ready, "True", "one copy is enough");
    assert_eq!(message, "ready on 1 of 2 nodes; a further copy: fetch attempt 1 is starting");

    assert_eq!(cluster.round("b").status.nodes, ["a.host", "b.host"]);
    let last = cluster.step();
    assert!(last.job().is_none() && last.deleted_jobs().is_empty(), "there are as many as were asked for");
    assert_eq!(condition(&last, "Ready").2, "ready on 2 of 2 nodes");
    assert_eq!(condition(&last, "Prepared").0, "True");
}

#[test]
fn further_copies_are_of_the_revision_of_the_first() {
    let mut cluster = Cluster::new(&["a", "b"]);
    let source = json!({"huggingFace": {"repo": "a/b", "revision": "main"}});
    cluster.cache = cache(json!({"source": source}));
    let reference = |plan: &Plan| job_file(plan.job().as_ref().unwrap())["model"]["hub"]["reference"].clone();
    assert_eq!(reference(&cluster.plan()), "a/b@main");
    cluster.round("a");
    assert_eq!(reference(&cluster.plan()), "a/b@abc");

    // What has no revisions to ask for may have changed.
    cluster.cache.status.as_mut().unwrap().resolved.as_mut().unwrap().revision = Some("before".into());
    cluster.step();
    cluster.end_job("b", true);
    let changed = cluster.step();
    let (ready, _, message) = condition(&changed, "Ready");
    assert_eq!((ready.as_str(), changed.job().is_none()), ("True", true));
    assert!(message.contains("no further copy: the source is now revision abc"), "{message}");
    assert_eq!(changed.status.resolved.unwrap().revision.as_deref(), Some("before"));
    let again = cluster.step();
    assert!(again.job().is_none() && cluster.jobs.is_empty());
    assert_eq!(condition(&again, "Ready").2, message);

    cluster.snapshot.around.nodes.remove("a");
    assert_eq!(condition(&cluster.step(), "Ready").0, "False");
    assert!(cluster.step().job().is_some(), "the first copy may be of any revision");
}

#[test]
fn no_pool_has_more_copies_than_nodes() {
    let mut cluster = Cluster::new(&["a"]);
    cluster.round("a");
    let plan = cluster.step();
    assert!(plan.job().is_none());
    assert_eq!(condition(&plan, "Ready").2, "ready on 1 of 1 nodes");
}

#[test]
fn one_volume_stands_for_the_disks_of_the_pool() {
    let mut cluster = Cluster::new(&["a"]);
    let plan = cluster.step();
    let volume = serde_json::to_value(plan.volume().unwrap()).unwrap();
    assert_eq!(volume["metadata"]["name"], format!("obelysk-{UID}"));
    assert_eq!(volume["metadata"]["labels"]["proving.obelysk.dev/namespace"], "default");
    assert_eq!(volume["spec"]["local"]["path"], "/var/lib/obelysk");
    assert_eq!(volume["spec"]["persistentVolumeReclaimPolicy"], "Retain");
    assert_eq!(volume["spec"]["storageClassName"], "");
    let claim_ref = &volume["spec"]["claimRef"];
    assert_eq!((&claim_ref["namespace"], &claim_ref["name"]), (&json!("default"), &json!("m-model")));
    let terms = &volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
    assert_eq!(*terms, json!([{"matchExpressions": [{"key": "fleet", "operator": "In", "values": ["h200"]}]}]));
    let claim = serde_json::to_value(plan.claim().unwrap()).unwrap();
    assert_eq!(claim["spec"]["volumeName"], volume["metadata"]["name"]);
    assert_eq!(claim["spec"]["storageClassName"], "", "no other class serves it");
    let pod = serde_json::to_value(plan.job().unwrap().spec.unwrap().template.spec.unwrap()).unwrap();
    assert_eq!(pod["containers"][0]["volumeMounts"][0]["subPath"], "default/m", "caches share the disks");
    assert_eq!(pod["nodeSelector"], json!({"fleet": "h200"}));

    cluster.snapshot = Snapshot { pool: Some(pool(json!({"cacheRoot": "/disks"}))), ..Snapshot::default() };
    let volume = serde_json::to_value(cluster.plan().volume().unwrap()).unwrap();
    let terms = &volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
    assert_eq!(*terms, json!([{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}]));
}

#[test]
fn a_volume_whose_claim_was_deleted_is_made_anew() {
    let mut cluster = Cluster::new(&["a"]);
    cluster.round("a");
    cluster.snapshot.claim = None;
    let volume = cluster.snapshot.volume.as_mut().unwrap();
    volume.status = serde_json::from_value(json!({"phase": "Released"})).unwrap();
    let plan = cluster.step();
    assert_eq!(plan.deleted_volume(), Some(format!("obelysk-{UID}")));
    assert!(plan.claim().is_none(), "a claim would wait for the old volume");
    cluster.snapshot.volume = None;
    let plan = cluster.step();
    assert!(plan.volume().is_some() && plan.claim().is_some() && plan.job().is_none());
    assert_eq!(plan.status.nodes, ["a.host"], "the files are still there");
}

#[test]
fn a_crash_before_the_jobs_of_a_round_are_deleted_counts_no_copy_twice() {
    let mut cluster = Cluster::new(&["a", "b"]);
    cluster.step();
    cluster.end_job("b", false);
    cluster.step();
    cluster.second += 60;
    assert_eq!(cluster.step().job().unwrap().name_any(), "m-fetch-2");
    cluster.end_job("a", true);
    let fetched = cluster.pods.clone();
    cluster.step();
    cluster.end_job("a", true);
    cluster.pods.extend(fetched);
    let done = cluster.plan();
    assert_eq!(done.status.nodes, ["a.host"]);

    // The status arrived, the Jobs are still there.
    cluster.cache.status = Some(done.status);
    let again = cluster.plan();
    assert_eq!(again.status.nodes, ["a.host"]);
    assert!(again.job().is_none() && again.status.attempts.is_empty());
    assert_eq!(
        again.deleted_jobs(),
        ["m-fetch-1", "m-fetch-2", "m-prepare-1"],
        "what shows the end of the round goes last"
    );
    let left = cluster.pods.clone();
    assert!(!left.is_empty());
    cluster.carry_out(&again);

    // Neither does the next round begin before its pods are gone.
    cluster.pods = left;
    assert!(cluster.step().job().is_none());
    cluster.pods.clear();
    assert_eq!(on(&cluster.step().job().unwrap(), "NotIn"), ["a.host"]);
}

#[test]
fn a_copy_goes_with_its_node_and_another_replaces_it() {
    let mut cluster = Cluster::new(&["a", "b", "c"]);
    cluster.round("a");
    cluster.round("b");
    cluster.snapshot.around.nodes.remove("a");
    let lost = cluster.step();
    assert_eq!(lost.status.nodes, ["b.host"]);
    assert!(lost.notes.iter().any(|note| note.reason == "CopyLost"));
    assert_eq!(on(lost.job().as_ref().unwrap(), "NotIn"), ["b.host"]);
    assert_eq!(condition(&lost, "Ready").0, "True");

    // The last one too: nothing can be read any more.
    cluster.snapshot.around.nodes.remove("b");
    let lost = cluster.step();
    assert!(lost.status.nodes.is_empty());
    assert_eq!(condition(&lost, "Ready").0, "False");
}

#[test]
fn a_round_whose_node_goes_begins_again() {
    let mut cluster = Cluster::new(&["a", "b"]);
    cluster.step();
    cluster.end_job("a", true);
    cluster.step();
    cluster.snapshot.around.nodes.remove("a");
    let over = cluster.step();
    assert!(over.status.attempts.is_empty() && cluster.jobs.is_empty());
    assert!(cluster.step().job().unwrap().name_any().contains("fetch"));
}

#[test]
fn a_further_copy_that_fails_leaves_the_cache_ready() {
    let mut cluster = Cluster::new(&["a", "b"]);
    cluster.round("a");
    cluster.step();
    for _ in 0..3 {
        cluster.end_job("b", false);
        cluster.step();
        cluster.second += 3600;
        cluster.step();
    }
    let plan = cluster.plan();
    let (ready, _, message) = condition(&plan, "Ready");
    assert_eq!(ready, "True");
    assert!(
        message.starts_with("ready on 1 of 2 nodes; no further copy: 3 attempts of fetch failed alike"),
        "{message}"
    );
}

#[test]
fn without_permission_or_folder_the_cache_says_what_to_do() {
    let mut cluster = Cluster::new(&["a"]);
    cluster.settings = settings(&[]);
    let off = cluster.plan();
    let (status, reason, message) = condition(&off, "Stalled");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Unsupported"));
    assert!(message.contains("nodeLocal.enabled: true"), "{message}");
    assert!(off.volume().is_none() && off.claim().is_none() && off.job().is_none());

    cluster.settings = settings(&["--node-local"]);
    for (pool, reason) in [(None, "ProverPoolNotFound"), (Some(pool(json!({}))), "PoolWithoutCacheRoot")] {
        cluster.snapshot.pool = pool;
        let waiting = cluster.plan();
        assert_eq!(condition(&waiting, "Ready").1, reason);
        assert!(waiting.volume().is_none() && waiting.job().is_none());
    }
}

#[test]
fn a_deletion_removes_the_copies_one_after_the_other() {
    let mut cluster = Cluster::new(&["a", "b"]);
    cluster.round("a");
    cluster.round("b");
    cluster.delete();
    cluster.snapshot.holders = vec![holder()];
    for (left, node) in [(2, "a"), (1, "b")] {
        let plan = cluster.step();
        assert!(plan.finalizer && plan.deleted_claim().is_none() && plan.deleted_volume().is_none());
        let job = plan.job().unwrap();
        assert_eq!(on(&job, "In"), [format!("{node}.host")]);
        assert_eq!(job_file(&job)["work"], json!({"remove": "everything"}));
        assert_eq!(cluster.nodes().len(), left);
        // A Job that is not done is waited for.
        assert!(cluster.step().job().is_none());
        cluster.end_job(node, true);
        if left == 2 {
            // The crash between the write of the status and the deletion of the Job.
            let done = cluster.plan();
            assert_eq!(done.status.nodes, ["b.host"]);
            cluster.cache.status = Some(done.status);
            assert_eq!(cluster.step().status.nodes, ["b.host"], "the Job is of another node");
        }
    }
    let last = cluster.step();
    assert!(last.status.nodes.is_empty() && !last.finalizer);
    assert_eq!(last.deleted_claim().as_deref(), Some("m-model"));
    assert_eq!(last.deleted_volume(), Some(format!("obelysk-{UID}")));
    assert!(last.deleted_jobs().contains(&"done-prove-1".into()), "finished pods hold a claim too");
}

#[test]
fn a_deletion_removes_what_an_unfinished_copy_left() {
    let mut cluster = Cluster::new(&["a", "b"]);
    cluster.step();
    cluster.end_job("b", true);
    cluster.delete();
    let first = cluster.step();
    assert_eq!(first.status.nodes, ["b.host"]);
    assert_eq!((first.deleted_jobs(), first.job()), (vec!["m-fetch-1".into()], None));
    assert_eq!(on(&cluster.step().job().unwrap(), "In"), ["b.host"]);
}

#[test]
fn a_deletion_skips_nodes_that_cannot_be_reached() {
    let mut cluster = Cluster::new(&["a", "b"]);
    cluster.round("a");
    cluster.round("b");
    cluster.delete();
    cluster.snapshot.around.nodes.insert("a".into(), node("a", false).into());
    cluster.snapshot.around.nodes.remove("b");
    let plan = cluster.step();
    assert!(!plan.finalizer && plan.job().is_none());
    let warnings: Vec<_> = plan.notes.iter().filter(|note| note.warning).map(|note| note.message.as_str()).collect();
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].contains("a.host") && warnings[0].contains("default/m"), "{warnings:?}");
}

#[test]
fn a_removal_that_fails_three_times_or_never_starts_is_given_up() {
    let mut failing = Cluster::new(&["a"]);
    failing.round("a");
    failing.delete();
    let mut waiting = Cluster::new(&["a"]);
    waiting.round("a");
    waiting.delete();
    let last = |cluster: &mut Cluster, end: &dyn Fn(&mut Cluster)| {
        for number in 1..=3 {
            let job = cluster.step().job().unwrap();
            assert_eq!(job.name_any(), format!("m-remove-{number}"));
            end(cluster);
            if number < 3 {
                assert!(cluster.step().job().is_none(), "the failed one goes first");
            }
        }
        cluster.step()
    };
    let failed = last(&mut failing, &|cluster| cluster.end_job("a", false));
    let never_started = last(&mut waiting, &|cluster| {
        let created = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(cluster.second));
        cluster.jobs[0].metadata.creation_timestamp = Some(created);
        cluster.second += 299;
        assert!(cluster.plan().deleted_jobs().is_empty());
        cluster.second += 1;
    });
    for plan in [failed, never_started] {
        assert!(!plan.finalizer && plan.deleted_volume().is_some() && plan.deleted_claim().is_some());
        assert!(plan.notes.iter().any(|note| note.warning && note.reason == "FilesLeft"), "{:?}", plan.notes);
    }
}

#[test]
fn a_model_that_is_retained_stays_on_the_disks() {
    let mut cluster = Cluster::new(&["a"]);
    cluster.cache = cache(json!({"retention": {"policy": "Retain"}}));
    cluster.round("a");
    cluster.delete();
    let plan = cluster.step();
    assert!(!plan.finalizer && plan.job().is_none());
    assert!(plan.deleted_claim().is_some() && plan.deleted_volume().is_some(), "they hold no files");
}

#[test]
fn a_proof_is_made_where_the_model_is() {
    let mut cluster = Cluster::new(&["a", "b", "c"]);
    cluster.round("a");
    cluster.round("b");
    cluster.step();
    let job: ProofJob = serde_json::from_value(json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ProofJob",
        "metadata": {"name": "j", "namespace": "default", "uid": UID, "generation": 1},
        "spec": {
            "model": {"cacheRef": {"name": "m"}}, "inference": {"prompt": "Hello"}, "hardware": {"cpu": {}},
        },
    }))
    .unwrap();
    let mut snapshot = proof_job::observe::Snapshot { cache: Some(cluster.cache.clone()), ..Default::default() };
    snapshot.around.nodes = cluster.snapshot.around.nodes.clone();
    let plan = proof_job::plan::plan(&job, &snapshot, &cluster.settings, at(0));
    let Child::Job(prove) = plan.create.last().unwrap() else { panic!("{:?}", plan.create) };
    assert_eq!(on(prove, "In"), ["a.host", "b.host"]);
    let pod = serde_json::to_value(prove.spec.clone().unwrap().template.spec.unwrap()).unwrap();
    let model = &pod["containers"][0]["volumeMounts"][0];
    assert_eq!((&model["subPath"], &model["readOnly"]), (&json!("default/m"), &json!(true)));
    assert_eq!(pod["affinity"]["podAffinity"], Value::Null, "a copy is read by pods of any of its nodes");
}

#[test]
fn a_preset_may_keep_its_models_on_the_disks_of_nodes() {
    let job: ProofJob = serde_json::from_value(json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ProofJob",
        "metadata": {"name": "j", "namespace": "default", "uid": UID},
        "spec": {"model": {"preset": {"name": "p"}}, "inference": {"prompt": "Hello"}, "hardware": {"cpu": {}}},
    }))
    .unwrap();
    let preset = serde_json::from_value(json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ModelPreset", "metadata": {"name": "p"},
        "spec": {
            "source": {"bundled": {"name": "tiny-chat"}}, "storage": {"nodeLocal": {"poolRef": {"name": "h200"}}},
        },
    }));
    let snapshot = proof_job::observe::Snapshot { preset: Some(preset.unwrap()), ..Default::default() };
    let plan = proof_job::plan::plan(&job, &snapshot, &settings(&[]), at(0));
    let Child::Cache(made) = &plan.create[0] else { panic!("{:?}", plan.create) };
    let mut cluster = Cluster::new(&["a"]);
    cluster.snapshot.preset = snapshot.preset;
    cluster.cache = ModelCache { metadata: cluster.cache.metadata, spec: made.spec.clone(), status: None };
    assert_eq!(cluster.round("a").status.nodes, ["a.host"]);
}

#[test]
fn a_claim_of_that_name_that_is_not_the_caches_own_is_left_alone() {
    let mut cluster = Cluster::new(&["a"]);
    cluster.snapshot.claim = Some(PersistentVolumeClaim::default());
    cluster.snapshot.volume = Some(PersistentVolume::default());
    assert_eq!(condition(&cluster.plan(), "Ready").1, "NameConflict");
}
