//! Counts what happened from what a status says that it did not say before. The API server takes a status once for each version
//! of its object, so each thing is counted once, whatever fails before or after.

use obelysk_api::crd::proof_job_status::{Attempt, StepName, StepState};
use obelysk_api::crd::{ModelCache, ModelCacheStatus, ProofJob, ProofJobStatus, ProverPool, ProverPoolStatus};
use obelysk_api::exit::FaultClass;
use obelysk_api::job::JobKind;

use super::Metrics;

/// Label of what is not there.
const NONE: &str = "none";
/// Retries that nobody is to blame for.
const DISRUPTION: &str = "Disruption";

/// An object whose changes are counted.
pub trait Counted<S> {
    /// Count what a new status says that the object does not say yet.
    fn count(&self, after: &S, metrics: &Metrics);
}

impl Counted<ProofJobStatus> for ProofJob {
    fn count(&self, after: &ProofJobStatus, metrics: &Metrics) {
        let unseen = ProofJobStatus::default();
        let before = self.status.as_ref().unwrap_or(&unseen);
        let class = gpu_class(after).unwrap_or(NONE);
        for step in succeeded_steps(before, after) {
            if let Some(seconds) = seconds_of(step) {
                metrics.step_seconds.with_label_values(&[&format!("{:?}", step.name), class]).observe(seconds);
            }
        }
        if let Some(seconds) = self.wait_that_ended(before, after) {
            metrics.queue_seconds.observe(seconds);
        }
        for (class, count) in retries(before, after) {
            metrics.retries.with_label_values(&[class]).inc_by(count);
        }
        if let Some(result) = result(after).filter(|_| result(before).is_none()) {
            let mode = after.proof.as_ref().map_or(NONE, |proof| proof.mode.as_str());
            metrics.proofs.with_label_values(&[mode, class, result]).inc();
        }
        if let Some(gpu) = &self.spec.hardware.gpu {
            let count = u64::try_from(gpu.count).unwrap_or(1);
            for attempt in new_attempts(&before.attempts, &after.attempts, JobKind::Prove) {
                let seconds = seconds_held(attempt, after);
                metrics.gpu_seconds.with_label_values(&[class]).inc_by(seconds.saturating_mul(count));
            }
        }
    }
}

impl Counted<ModelCacheStatus> for ModelCache {
    fn count(&self, after: &ModelCacheStatus, metrics: &Metrics) {
        let before = self.status.as_ref().map(|status| status.attempts.as_slice()).unwrap_or_default();
        let fetched =
            new_attempts(before, &after.attempts, JobKind::Fetch).filter(|attempt| attempt.has_succeeded()).count();
        let bytes = after.resolved.as_ref().and_then(|resolved| resolved.bytes).unwrap_or_default();
        let bytes = u64::try_from(bytes).unwrap_or_default();
        metrics.download_bytes.inc_by(bytes.saturating_mul(fetched as u64));
    }
}

impl Counted<ProverPoolStatus> for ProverPool {
    /// A pool is a state, not work.
    fn count(&self, _: &ProverPoolStatus, _: &Metrics) {}
}

trait Waited {
    fn wait_that_ended(&self, before: &ProofJobStatus, after: &ProofJobStatus) -> Option<f64>;
}

impl Waited for ProofJob {
    /// Seconds from the creation until the first prover ran, if that is news. A retry on request waits anew, but is not new.
    fn wait_that_ended(&self, before: &ProofJobStatus, after: &ProofJobStatus) -> Option<f64> {
        if has_run(before) || !has_run(after) {
            return None;
        }
        let created = self.metadata.creation_timestamp.as_ref()?.0;
        let ran =
            after.steps.iter().filter(|step| step.name > StepName::Model).find_map(|step| step.start_time.as_ref());
        let ran = ran.or(after.start_time.as_ref())?.0;
        Some(ran.duration_since(created).as_secs_f64().max(0.0))
    }
}

/// Whether a prover has run, or runs.
fn has_run(status: &ProofJobStatus) -> bool {
    let moved = |state: StepState| [StepState::Running, StepState::Succeeded, StepState::Failed].contains(&state);
    !status.attempts.is_empty() || status.steps.iter().any(|step| step.name > StepName::Model && moved(step.state))
}

fn succeeded_steps<'a>(
    before: &'a ProofJobStatus,
    after: &'a ProofJobStatus,
) -> impl Iterator<Item = &'a obelysk_api::crd::proof_job_status::Step> {
    let known = |name| before.steps.iter().any(|step| step.name == name && step.state == StepState::Succeeded);
    // The model is another object's work.
    let own = after.steps.iter().filter(|step| step.name != StepName::Model);
    own.filter(move |step| step.state == StepState::Succeeded && !known(step.name))
}

/// What a step took, as its pod measured it, or else as the operator saw it.
fn seconds_of(step: &obelysk_api::crd::proof_job_status::Step) -> Option<f64> {
    if let Some(seconds) = step.seconds.as_ref().and_then(|text| text.parse().ok()) {
        return Some(seconds);
    }
    let (start, end) = (step.start_time.as_ref()?.0, step.completion_time.as_ref()?.0);
    Some(end.duration_since(start).as_secs_f64().max(0.0))
}

fn retries(before: &ProofJobStatus, after: &ProofJobStatus) -> Vec<(&'static str, u64)> {
    let of = |status: &ProofJobStatus| status.retries.clone().unwrap_or_default();
    let (before, after) = (of(before), of(after));
    let counts = [
        (FaultClass::Infra.name(), before.infra, after.infra),
        (FaultClass::Gpu.name(), before.gpu, after.gpu),
        (FaultClass::Prover.name(), before.prover, after.prover),
        (FaultClass::Chain.name(), before.chain, after.chain),
        (DISRUPTION, before.free, after.free),
    ];
    // A retry on request starts with none.
    let more = counts.map(|(class, before, after)| (class, u64::try_from(after.saturating_sub(before)).unwrap_or(0)));
    more.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// How a job ended, if it has.
fn result(status: &ProofJobStatus) -> Option<&'static str> {
    let phase = status.phase.as_deref()?;
    ["Succeeded", "Failed", "Cancelled"].into_iter().find(|ended| *ended == phase)
}

fn new_attempts<'a>(before: &'a [Attempt], after: &'a [Attempt], step: JobKind) -> impl Iterator<Item = &'a Attempt> {
    let known = before.iter().filter(move |attempt| attempt.step == step).map(|attempt| attempt.number).max();
    after.iter().filter(move |attempt| attempt.step == step && Some(attempt.number) > known)
}

/// Whole seconds for which an attempt's pod held its GPU: from when the operator saw it run, or else from its Job's creation.
fn seconds_held(attempt: &Attempt, status: &ProofJobStatus) -> u64 {
    let first = status.steps.iter().find(|step| step.name == StepName::Validate);
    let seen = first.filter(|step| step.attempts == attempt.number).and_then(|step| step.start_time.as_ref());
    let (Some(start), Some(end)) = (seen.or(attempt.started_at.as_ref()), attempt.finished_at.as_ref()) else {
        return 0;
    };
    u64::try_from(end.0.as_second().saturating_sub(start.0.as_second())).unwrap_or_default()
}

/// Class of the device that proved, as its pod says.
fn gpu_class(status: &ProofJobStatus) -> Option<&str> {
    status.placement.as_ref()?.gpu_class.as_deref()
}

/// Why nothing runs for a job that has not ended.
pub fn waiting_for(status: &ProofJobStatus) -> Option<&str> {
    let of = |kind: &str, value: &str| status.conditions.iter().find(|of| of.type_ == kind && of.status == value);
    of("Reconciling", "True")?;
    of("Scheduled", "False")?;
    Some(of("Ready", "False")?.reason.as_str())
}
