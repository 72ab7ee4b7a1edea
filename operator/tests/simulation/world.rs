//! Everything in a cluster but the operator: the Job controller, the scheduler, kubelets, garbage collection, nodes that come and go,
//! people, and strangers. Each does one thing at a time, when it is its turn.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Node,
    PersistentVolumeClaim, Pod, PodCondition, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::{Resource, ResourceExt};
use obelysk_api::crd::{ModelCache, ProofJob};
use obelysk_api::job::JobKind;
use obelysk_operator::controllers::attempt::{STEP, is_ready};
use obelysk_operator::controllers::proof_job::plan::{RETRY_FROM, RETRY_REQUESTED};
use serde_json::json;

use crate::server::{NAMESPACE, State, orphans, owner_is_gone};

/// What a stranger's pod says that it has proven.
pub const FORGED: &str = "forged";
/// Extended resource of a GPU.
const GPU: &str = "nvidia.com/gpu";

pub fn node(name: &str, gpus: usize) -> Node {
    let node = json!({
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        }},
        "status": {
            "allocatable": {GPU: gpus.to_string()}, "conditions": [{"type": "Ready", "status": "True"}],
        },
    });
    serde_json::from_value(node).expect("a node")
}

pub fn proof_job(name: &str, prompt: &str, on_gpu: bool, deadline: Option<i64>) -> ProofJob {
    let hardware = if on_gpu { json!({"gpu": {"classes": ["H100"], "gpuOnly": false}}) } else { json!({"cpu": {}}) };
    let job = json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ProofJob",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "model": {"cacheRef": {"name": "m"}}, "inference": {"prompt": prompt}, "hardware": hardware,
            "activeDeadlineSeconds": deadline,
        },
    });
    serde_json::from_value(job).expect("a ProofJob")
}

pub fn model_cache() -> ModelCache {
    let cache = json!({
        "apiVersion": "proving.obelysk.dev/v1alpha1", "kind": "ModelCache",
        "metadata": {"name": "m", "namespace": NAMESPACE},
        "spec": {
            "source": {"bundled": {"name": "tiny-chat"}},
            "storage": {"claim": {"accessMode": "ReadWriteMany", "size": "1Gi"}},
        },
    });
    serde_json::from_value(cache).expect("a ModelCache")
}

fn controller(object: &impl Resource) -> Option<&OwnerReference> {
    object.meta().owner_references.iter().flatten().find(|of| of.controller == Some(true))
}

/// The pods of a Job, by their controller.
pub fn pods_of(state: &mut State, job: &Job) -> Vec<Arc<Pod>> {
    let uid = job.uid().unwrap_or_default();
    let mut pods = state.all::<Pod>();
    pods.retain(|pod| controller(pod.as_ref()).is_some_and(|of| of.uid == uid));
    pods
}

pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

pub fn is_over(pod: &Pod) -> bool {
    ["Succeeded", "Failed"].contains(&phase(pod))
}

pub fn has_ended(job: &Job) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|of| ["Complete", "Failed"].contains(&&*of.type_))
}

pub fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// GPUs that a pod holds.
pub fn gpus(pod: &Pod) -> usize {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let limits = containers.iter().filter_map(|container| container.resources.as_ref()?.limits.as_ref()?.get(GPU));
    limits.filter_map(|count| count.0.parse::<usize>().ok()).sum()
}

fn set_phase(pod: &mut Pod, phase: &str, container: ContainerState) {
    let status = pod.status.get_or_insert_default();
    status.phase = Some(phase.into());
    status.pod_ip = Some("10.0.0.1".into());
    status.container_statuses = Some(vec![ContainerStatus { state: Some(container), ..ContainerStatus::default() }]);
}

/// Jobs get pods, and show what became of them.
pub fn job_controller(state: &mut State) {
    let jobs = state.all::<Job>();
    let Some(job) = state.dice.pick(&jobs) else { return };
    let mut job = Job::clone(&job);
    // A stranger's Jobs are as finished as they say.
    if has_ended(&job) || job.meta().deletion_timestamp.is_some() || job.spec.is_none() {
        return;
    }
    let pods = pods_of(state, &job);
    let had_pod = job.status.as_ref().is_some_and(|status| status.active.is_some());
    let ends = |job: &mut Job, kind: &str| {
        let condition = JobCondition { type_: kind.into(), status: "True".into(), ..JobCondition::default() };
        job.status.get_or_insert_default().conditions = Some(vec![condition]);
    };
    match pods.iter().find(|pod| is_over(pod)) {
        Some(pod) if phase(pod) == "Succeeded" => ends(&mut job, "Complete"),
        Some(_) => ends(&mut job, "Failed"),
        // One attempt is one pod; while it terminates nothing is known.
        None if had_pod && pods.is_empty() => ends(&mut job, "Failed"),
        None if had_pod => return,
        None => {
            let template = job.spec.clone().unwrap_or_default().template;
            let metadata = template.metadata.unwrap_or_default();
            state.add(Pod {
                metadata: ObjectMeta {
                    name: Some(format!("{}-{}", job.name_any(), job.uid().unwrap_or_default())),
                    namespace: Some(NAMESPACE.into()),
                    owner_references: job.controller_owner_ref(&()).map(|of| vec![of]),
                    ..metadata
                },
                spec: template.spec,
                status: Some(PodStatus { phase: Some("Pending".into()), ..PodStatus::default() }),
            });
            job.status = Some(JobStatus { active: Some(1), ..JobStatus::default() });
        }
    }
    state.put(job);
}

/// Pods get nodes that report and have the GPUs.
pub fn scheduler(state: &mut State) {
    let mut pods = state.all::<Pod>();
    pods.retain(|pod| node_of(pod).is_none() && pod.meta().deletion_timestamp.is_none() && pod.spec.is_some());
    let mut nodes = state.all::<Node>();
    nodes.retain(|node| is_ready(Some(node.as_ref())));
    let (Some(pod), Some(node)) = (state.dice.pick(&pods), state.dice.pick(&nodes)) else { return };
    let mut pod = Pod::clone(&pod);
    let name = node.name_any();
    let all = state.all::<Pod>();
    let taken: usize = all.iter().filter(|of| node_of(of) == Some(&name) && !is_over(of)).map(|of| gpus(of)).sum();
    if taken + gpus(&pod) <= capacity(&node) {
        pod.spec.get_or_insert_default().node_name = Some(node.name_any());
        state.put(pod);
    }
}

pub fn capacity(node: &Node) -> usize {
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    allocatable.and_then(|resources| resources.get(GPU)?.0.parse().ok()).unwrap_or(0)
}

/// Pods on nodes that report start, end, and go.
pub fn kubelet(state: &mut State, faults: bool) {
    let nodes: Vec<String> =
        state.all::<Node>().iter().filter(|node| is_ready(Some(node.as_ref()))).map(|node| node.name_any()).collect();
    let mut pods = state.all::<Pod>();
    pods.retain(|pod| {
        let is_bound = node_of(pod).is_some_and(|node| nodes.iter().any(|of| of == node));
        is_bound && !is_over(pod) || pod.meta().deletion_timestamp.is_some() && (is_bound || node_of(pod).is_none())
    });
    let Some(pod) = state.dice.pick(&pods) else { return };
    let mut pod = Pod::clone(&pod);
    let is_going = pod.meta().deletion_timestamp.is_some();
    if is_going && (is_over(&pod) || phase(&pod) == "Pending" || !state.dice.once_in(4)) {
        return state.remove::<Pod>(&pod.name_any());
    }
    let image = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image.clone()).unwrap_or_default();
    if phase(&pod) == "Pending" {
        let waiting = ContainerStateWaiting { reason: Some("ErrImagePull".into()), message: Some(image.clone()) };
        match image.contains("wrong") {
            true => {
                set_phase(&mut pod, "Pending", ContainerState { waiting: Some(waiting), ..ContainerState::default() })
            }
            false => {
                let running = ContainerStateRunning { started_at: Some(Time(state.now)) };
                set_phase(&mut pod, "Running", ContainerState { running: Some(running), ..ContainerState::default() });
            }
        }
        state.put(pod);
        return;
    }
    // Exit statuses of every fault class, of a signal, and of nobody.
    const CODES: [i32; 6] = [41, 32, 40, 137, 143, 1];
    let code = match faults && state.dice.once_in(3) {
        true => state.dice.pick(&CODES).unwrap_or(1),
        false => 0,
    };
    let kind = pod.labels().get(STEP).and_then(|step| JobKind::named(step));
    let owner = owner_uid(state, &pod);
    // A result may go with its pod.
    let message = (code == 0 && !(faults && state.dice.once_in(20))).then(|| result(&owner, kind));
    let terminated = ContainerStateTerminated {
        exit_code: code,
        message,
        finished_at: Some(Time(state.now)),
        ..ContainerStateTerminated::default()
    };
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    set_phase(&mut pod, phase, ContainerState { terminated: Some(terminated), ..ContainerState::default() });
    state.put(pod);
}

/// The uid of the object that a pod works for.
pub fn owner_uid(state: &mut State, pod: &Pod) -> String {
    let job = controller(pod).map(|of| of.uid.clone());
    let jobs = state.all::<Job>();
    let job = jobs.iter().find(|of| of.uid() == job);
    job.and_then(|job| controller(job.as_ref())).map(|of| of.uid.clone()).unwrap_or_default()
}

/// What a pod of ours says: whose proof it is can be seen in its digest.
fn result(uid: &str, kind: Option<JobKind>) -> String {
    let verified = kind == Some(JobKind::Finish);
    match kind {
        Some(JobKind::Prove | JobKind::Finish) => json!({
            "succeeded": true,
            "proof": {"sha256": uid, "mode": "gkr", "device": "CPU", "verified": verified},
            "inference": {"text": uid, "logHead": "head"},
            "audit": if verified { json!({"verdict": "Passed", "reportSha256": uid}) } else { json!(null) },
        }),
        _ => json!({"succeeded": true, "model": {"revision": "r", "modelDigest": "d", "bytes": 1}}),
    }
    .to_string()
}

/// What belongs to nobody goes, sooner or later.
pub fn garbage_collector(state: &mut State) {
    let (jobs, claims) = orphans(state);
    if let Some(job) = state.dice.pick(&jobs) {
        return state.remove::<Job>(&job);
    }
    if let Some(claim) = state.dice.pick(&claims) {
        return state.remove::<PersistentVolumeClaim>(&claim);
    }
    let pods = state.all::<Pod>();
    let mut orphans = Vec::new();
    for pod in pods {
        if pod.meta().deletion_timestamp.is_none() && owner_is_gone::<Job>(state, pod.as_ref()) {
            orphans.push(pod);
        }
    }
    if let Some(pod) = state.dice.pick(&orphans) {
        terminate(state, Pod::clone(&pod));
    }
}

/// A pod is told to end; its kubelet confirms it later.
pub fn terminate(state: &mut State, mut pod: Pod) {
    pod.meta_mut().deletion_timestamp = Some(Time(state.now));
    state.put(pod);
}

/// A drain, a preemption, a taint: the pod says why it goes.
pub fn disrupt(state: &mut State, mut pod: Pod) {
    let condition = PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some("EvictionByEvictionAPI".into()),
        ..PodCondition::default()
    };
    pod.status.get_or_insert_default().conditions.get_or_insert_default().push(condition);
    terminate(state, pod);
}

pub fn set_ready(state: &mut State, name: &str, ready: bool) {
    let Some(mut node) = state.find::<Node>(name) else { return };
    let conditions = node.status.get_or_insert_default().conditions.get_or_insert_default();
    conditions[0].status = if ready { "True" } else { "Unknown" }.into();
    state.put(node);
}

/// A node goes, and what ran on it with it.
pub fn lose_node(state: &mut State, name: &str) {
    state.remove::<Node>(name);
}

/// Pods of nodes that are gone are removed.
pub fn pod_collector(state: &mut State) {
    let nodes: Vec<String> = state.all::<Node>().iter().map(|node| node.name_any()).collect();
    for pod in state.all::<Pod>() {
        if node_of(&pod).is_some_and(|node| !nodes.iter().any(|of| of == node)) {
            state.remove::<Pod>(&pod.name_any());
        }
    }
}

/// A user edits a ProofJob.
pub fn edit(state: &mut State, name: &str, change: impl FnOnce(&mut ProofJob)) {
    let Some(mut job) = state.find::<ProofJob>(name) else { return };
    let before = job.spec.clone();
    change(&mut job);
    if job.spec != before {
        job.metadata.generation = job.metadata.generation.map(|generation| generation + 1);
    }
    state.put(job);
}

/// A user asks for a retry.
pub fn ask_again(state: &mut State, name: &str) {
    let (value, from) = (format!("{}", state.now), state.dice.pick(&["Prove", "Verify", "Nowhere"]));
    edit(state, name, |job| {
        let annotations = job.metadata.annotations.get_or_insert_default();
        annotations.insert(RETRY_REQUESTED.into(), value);
        annotations.extend(from.map(|from| (RETRY_FROM.to_owned(), from.to_owned())));
    });
}

/// A stranger makes a Job that carries our labels, may have the next name, and says that all is done.
pub fn strange_job(state: &mut State, owner: &str) {
    let kind = state.dice.pick(&[JobKind::Prove, JobKind::Finish]).unwrap_or(JobKind::Prove);
    let number = 1 + state.dice.below(3);
    let name = match state.dice.once_in(2) {
        true => format!("{owner}-{kind}-{number}"),
        false => format!("stranger-{}", state.dice.below(1000)),
    };
    if state.find::<Job>(&name).is_some() {
        return;
    }
    let labels = json!({
        "proving.obelysk.dev/proofjob": owner, STEP: kind.name(), "proving.obelysk.dev/attempt": number.to_string(),
        "stranger": "yes",
    });
    let job = json!({
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "status": {"conditions": [{"type": "Complete", "status": "True"}]},
    });
    let job = state.add::<Job>(serde_json::from_value(job).expect("a Job"));
    let result = json!({
        "succeeded": true, "proof": {"sha256": FORGED, "verified": true}, "inference": {"text": FORGED},
        "audit": {"verdict": "Passed"},
    });
    let pod = json!({
        "metadata": {
            "name": format!("{name}-pod"), "namespace": NAMESPACE, "labels": labels,
            "ownerReferences": [job.controller_owner_ref(&())],
        },
        "status": {"phase": "Succeeded", "containerStatuses": [{
            "name": "", "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": {"terminated": {"exitCode": 0, "message": result.to_string()}},
        }]},
    });
    state.add::<Pod>(serde_json::from_value(pod).expect("a pod"));
}

/// Strangers take away what they made.
pub fn strangers_leave(state: &mut State) {
    for job in state.all::<Job>().iter().filter(|job| job.labels().contains_key("stranger")) {
        state.remove::<Job>(&job.name_any());
    }
    for pod in state.all::<Pod>().iter().filter(|pod| pod.labels().contains_key("stranger")) {
        state.remove::<Pod>(&pod.name_any());
    }
}
