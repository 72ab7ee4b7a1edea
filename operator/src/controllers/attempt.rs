//! What became of an attempt: a Job, its pods, their nodes and the Job's events, boiled down to one outcome.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use obelysk_api::exit::{ExitCode, FaultClass, class_of_status};
use obelysk_api::job::StepResult;

use super::job::HOSTNAME;

/// An attempt with what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Kind of Job: `fetch`, `prepare`, `remove`, `prove`, `finish`.
    pub step: String,
    /// Number, from 1.
    pub number: i32,
    /// Name of the Job.
    pub job_name: String,
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
}

impl Failure {
    fn new(class: Option<FaultClass>, reason: &str, message: impl Into<String>) -> Self {
        Self { class, reason: reason.into(), message: message.into(), exit_code: None, finished_at: None }
    }
}

/// What surrounds the Jobs.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// Message of the newest `FailedCreate` event by the name of the Job.
    pub failed_creates: BTreeMap<String, String>,
}

impl Surroundings {
    /// The label of a node by which pods are placed; its name where it has none.
    #[must_use]
    pub fn hostname(&self, node: &str) -> String {
        let label = self.nodes.get(node).and_then(|node| node.labels().get(HOSTNAME));
        label.map_or_else(|| node.to_owned(), Clone::clone)
    }

    /// The node of a label.
    #[must_use]
    pub fn node_of(&self, hostname: &str) -> Option<&Node> {
        self.nodes.iter().find(|(name, _)| self.hostname(name) == hostname).map(|(_, node)| node)
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
    let (step, number) = (label(STEP)?, label(ATTEMPT)?.parse().ok()?);
    let job_name = job.name_any();
    let pod = pods.iter().max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let status = pod.and_then(|pod| pod.status.as_ref());
    Some(Attempt {
        step,
        number,
        outcome: outcome(job, pod, around),
        pod_name: pod.map(ResourceExt::name_any),
        node_name: pod.and_then(|pod| pod.spec.as_ref()).and_then(|spec| spec.node_name.clone()),
        pod_ip: status.and_then(|status| status.pod_ip.clone()),
        started_at: job.metadata.creation_timestamp.as_ref().map(|time| time.0),
        job_name,
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
            _ => Outcome::Failed(Failure::new(None, "ResultLost", "the pod succeeded, but its result went with it")),
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
            Some(node) if !is_ready(around.nodes.get(node)) => Outcome::Failed(lost(node)),
            _ => Outcome::Terminating,
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
        && !is_ready(around.nodes.get(node))
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
    Failure::new(None, "NodeLost", format!("node {node} went away with the pod"))
}

fn failure_of_pod(pod: &Pod, around: &Surroundings) -> Failure {
    let status = pod.status.clone().unwrap_or_default();
    let terminated = terminated(pod);
    let exit_code = terminated.map(|terminated| terminated.exit_code);
    let finished_at = terminated.and_then(|terminated| terminated.finished_at.as_ref()).map(|time| time.0);
    let with = |failure: Failure| Failure { exit_code, finished_at, ..failure };
    let disrupted = status.conditions.iter().flatten().find(|c| c.type_ == "DisruptionTarget" && c.status == "True");
    if let Some(condition) = disrupted {
        let reason = condition.reason.as_deref().unwrap_or("Disrupted");
        return with(Failure::new(None, reason, condition.message.clone().unwrap_or_default()));
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
        && !is_ready(around.nodes.get(node))
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
