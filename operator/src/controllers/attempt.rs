//! What became of an attempt: a Job, its pods, their nodes and the Job's events, boiled down to one outcome.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use obelysk_api::exit::{ExitCode, FaultClass, class_of_status};
use obelysk_api::job::{JobKind, StepResult};

use super::plan::{Doomed, DoomedKind};
use crate::scheduling::inventory::{Nodes, hostname};

/// An attempt with what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Kind of Job.
    pub kind: JobKind,
    /// Number, from 1.
    pub number: i32,
    /// Name of the Job.
    pub job_name: String,
    /// Its uid.
    pub job_uid: Option<String>,
    /// The image that its pods run.
    pub image: Option<String>,
    /// Whether a container of it has been made.
    pub has_run: bool,
    /// Newest pod.
    pub pod_name: Option<String>,
    /// Its node.
    pub node_name: Option<String>,
    /// Its address, for the progress page.
    pub pod_ip: Option<String>,
    /// When the Job was created.
    pub started_at: Option<Timestamp>,
    /// How it stands.
    pub outcome: Outcome,
}

impl Attempt {
    /// Its Job, to be deleted.
    #[must_use]
    pub fn doomed(&self) -> Doomed {
        Doomed { kind: DoomedKind::Job, name: self.job_name.clone(), uid: self.job_uid.clone() }
    }
}

/// How an attempt stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Held back by a queue.
    Queued,
    /// Created, but nothing runs: a reason and a line for people.
    Waiting(String, String),
    /// A container runs.
    Running,
    /// On its way out; what follows waits for it.
    Terminating,
    /// Done.
    Succeeded(Box<StepResult>),
    /// Failed.
    Failed(Failure),
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Who is to blame; nobody for a disruption.
    pub class: Option<FaultClass>,
    /// One word.
    pub reason: String,
    /// One line.
    pub message: String,
    /// Exit status, where there is one.
    pub exit_code: Option<i32>,
    /// When it ended, where that is known.
    pub finished_at: Option<Timestamp>,
    /// Whether its Job has not ended and may never end by itself.
    pub leaves_job: bool,
    /// Whether the next attempt waits for a while.
    pub backs_off: bool,
}

impl Failure {
    /// A failure. The next attempt waits, unless nobody is to blame.
    #[must_use]
    pub fn new(class: Option<FaultClass>, reason: &str, message: impl Into<String>) -> Self {
        Self {
            class,
            reason: reason.into(),
            message: message.into(),
            exit_code: None,
            finished_at: None,
            leaves_job: false,
            backs_off: class.is_some(),
        }
    }
}

/// What surrounds the Jobs.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Nodes by name.
    pub nodes: Nodes,
    /// Message of the newest `FailedCreate` event by the name of the Job.
    pub failed_creates: BTreeMap<String, String>,
}

impl Surroundings {
    /// The label of a node by which pods are placed; its name where it has none.
    #[must_use]
    pub fn hostname(&self, node: &str) -> String {
        self.node(node).map_or_else(|| node.to_owned(), hostname)
    }

    /// The node of a name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name).map(Arc::as_ref)
    }

    /// The node of a label.
    #[must_use]
    pub fn node_of(&self, hostname: &str) -> Option<&Node> {
        self.nodes.keys().find(|name| self.hostname(name) == hostname).and_then(|name| self.node(name))
    }
}

/// Label with the kind of Job.
pub const STEP: &str = "proving.obelysk.dev/step";
/// Label with the number of the attempt.
pub const ATTEMPT: &str = "proving.obelysk.dev/attempt";

/// Judge a Job by its own pods; `None` for one that does not carry our labels.
#[must_use]
pub fn judge(job: &Job, pods: &[Pod], around: &Surroundings) -> Option<Attempt> {
    let label = |key: &str| job.labels().get(key).cloned();
    let (kind, number) = (JobKind::named(&label(STEP)?)?, label(ATTEMPT)?.parse().ok()?);
    let job_name = job.name_any();
    let pod = pods.iter().max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let status = pod.and_then(|pod| pod.status.as_ref());
    let containers = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).map(|pod| &pod.containers);
    let statuses = status.and_then(|status| status.container_statuses.as_ref());
    let states = statuses.into_iter().flatten().filter_map(|container| container.state.as_ref());
    Some(Attempt {
        kind,
        number,
        outcome: outcome(job, pod, around),
        pod_name: pod.map(ResourceExt::name_any),
        node_name: pod.and_then(|pod| pod.spec.as_ref()).and_then(|spec| spec.node_name.clone()),
        pod_ip: status.and_then(|status| status.pod_ip.clone()),
        started_at: job.metadata.creation_timestamp.as_ref().map(|time| time.0),
        job_name,
        job_uid: job.uid(),
        image: containers.and_then(|containers| containers.first()?.image.clone()),
        has_run: states.into_iter().any(|state| state.running.is_some() || state.terminated.is_some()),
    })
}

/// A condition of a Job, if it holds.
pub fn condition<'a>(job: &'a Job, kind: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().find(|condition| condition.type_ == kind && condition.status == "True")
}

fn outcome(job: &Job, pod: Option<&Pod>, around: &Surroundings) -> Outcome {
    let has = |kind: &str| condition(job, kind);
    if job.metadata.deletion_timestamp.is_some() {
        return Outcome::Terminating;
    }
    if has("Complete").is_some() || has("SuccessCriteriaMet").is_some() {
        return match pod.and_then(terminated).and_then(result_of) {
            Some(result) if result.succeeded => Outcome::Succeeded(Box::new(result)),
            // The next attempt finds the finished files and reports them.
            _ => {
                let lost = Failure::new(None, "ResultLost", "the pod succeeded, but its result went with it");
                Outcome::Failed(Failure { backs_off: true, ..lost })
            }
        };
    }
    if let Some(condition) = has("Failed").or_else(|| has("FailureTarget")) {
        let deadline = condition.reason.as_deref() == Some("DeadlineExceeded");
        return Outcome::Failed(match pod {
            _ if deadline => Failure::new(Some(FaultClass::User), "DeadlineExceeded", "the attempt ran out of time"),
            Some(pod) => failure_of_pod(pod, around),
            None => Failure::new(Some(FaultClass::Infra), "PodLost", "the Job failed and its pod is gone"),
        });
    }
    if job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true) {
        return Outcome::Queued;
    }
    match pod {
        None => match around.failed_creates.get(&job.name_any()) {
            Some(message) => Outcome::Waiting("PodRejected".into(), message.clone()),
            None => Outcome::Waiting("PodPending".into(), "the pod is not created yet".into()),
        },
        Some(pod) => outcome_of_pod(pod, around),
    }
}

/// A pod of a Job that has not ended.
fn outcome_of_pod(pod: &Pod, around: &Surroundings) -> Outcome {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    if pod.metadata.deletion_timestamp.is_some() {
        // A dead node never confirms: the Job shows neither success nor failure until the node object goes.
        return match node {
            Some(node) if !is_ready(around.node(node)) => Outcome::Failed(lost(node)),
            // Its Job shows a failure only when the pod is gone, and with it the reason.
            _ => match disruption(pod) {
                Some(disruption) => Outcome::Failed(Failure { leaves_job: true, ..disruption }),
                None => Outcome::Terminating,
            },
        };
    }
    let status = pod.status.clone().unwrap_or_default();
    if status.phase.as_deref() == Some("Failed") {
        return Outcome::Failed(failure_of_pod(pod, around));
    }
    if let Some(node) = node
        && !around.nodes.contains_key(node)
    {
        return Outcome::Failed(lost(node));
    }
    if let Some(node) = node
        && !is_ready(around.node(node))
    {
        return Outcome::Waiting("NodeNotReady".into(), format!("node {node} does not report; its pod may still run"));
    }
    let container = status.container_statuses.as_ref().and_then(|statuses| statuses.first());
    if let Some(waiting) =
        container.and_then(|container| container.state.as_ref()).and_then(|state| state.waiting.as_ref())
    {
        let reason = waiting.reason.clone().unwrap_or_else(|| "ContainerWaiting".into());
        return Outcome::Waiting(reason.clone(), waiting.message.clone().unwrap_or(reason));
    }
    if status.phase.as_deref() == Some("Pending") {
        let scheduled = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled");
        if let Some(scheduled) = scheduled.filter(|condition| condition.status == "False") {
            let message = scheduled.message.clone().unwrap_or_default();
            return Outcome::Waiting(scheduled.reason.clone().unwrap_or_else(|| "Unschedulable".into()), message);
        }
        return Outcome::Waiting("PodPending".into(), "the pod is being set up".into());
    }
    Outcome::Running
}

fn lost(node: &str) -> Failure {
    let failure = Failure::new(None, "NodeLost", format!("node {node} went away with the pod"));
    Failure { leaves_job: true, ..failure }
}

/// Somebody took the node from under the pod: a drain, a preemption, a taint.
fn disruption(pod: &Pod) -> Option<Failure> {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let disrupted =
        conditions.into_iter().flatten().find(|of| of.type_ == "DisruptionTarget" && of.status == "True")?;
    let reason = disrupted.reason.as_deref().unwrap_or("Disrupted");
    Some(Failure::new(None, reason, disrupted.message.clone().unwrap_or_default()))
}

fn failure_of_pod(pod: &Pod, around: &Surroundings) -> Failure {
    let status = pod.status.clone().unwrap_or_default();
    let terminated = terminated(pod);
    let exit_code = terminated.map(|terminated| terminated.exit_code);
    let finished_at = terminated.and_then(|terminated| terminated.finished_at.as_ref()).map(|time| time.0);
    let with = |failure: Failure| Failure { exit_code, finished_at, ..failure };
    if let Some(disruption) = disruption(pod) {
        return with(disruption);
    }
    if terminated.and_then(|terminated| terminated.reason.as_deref()) == Some("OOMKilled") {
        let limit = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.containers.first()?.resources.as_ref()?.limits.as_ref()?.get("memory").cloned());
        let limit = limit.map_or_else(|| "the node's memory".into(), |limit| limit.0);
        let message = format!("the pod needs more than {limit} of memory; raise hardware.cpu.memory");
        return with(Failure::new(Some(FaultClass::Prover), "OOMKilled", message));
    }
    if status.reason.as_deref() == Some("Evicted") {
        // Without DisruptionTarget the pod exceeded a limit of its own.
        return with(Failure::new(Some(FaultClass::User), "Evicted", status.message.unwrap_or_default()));
    }
    if let Some(failure) = terminated.and_then(result_of).and_then(|result| result.failure) {
        let message = if failure.hint.is_empty() {
            failure.message
        } else {
            format!("{}: {} ({})", failure.step, failure.message, failure.hint)
        };
        return with(Failure::new(Some(failure.class), &failure.reason, message));
    }
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    if let Some(node) = node
        && !is_ready(around.node(node))
    {
        return with(lost(node));
    }
    match exit_code {
        Some(code) => {
            let reason = ExitCode::of_number(code).map_or("Crashed", ExitCode::reason);
            with(Failure::new(Some(class_of_status(code)), reason, format!("the pod ended with exit status {code}")))
        }
        None => Failure::new(
            Some(FaultClass::Infra),
            status.reason.as_deref().unwrap_or("PodFailed"),
            status.message.unwrap_or_else(|| "the pod failed without an exit status".into()),
        ),
    }
}

fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()?.terminated.as_ref()
}

fn result_of(terminated: &ContainerStateTerminated) -> Option<StepResult> {
    serde_json::from_str(terminated.message.as_deref()?).ok()
}

/// Whether a node exists and reports to be ready.
#[must_use]
pub fn is_ready(node: Option<&Node>) -> bool {
    let conditions = node.and_then(|node| node.status.as_ref()).and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
