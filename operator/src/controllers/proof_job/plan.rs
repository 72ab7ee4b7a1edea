//! What to do about a ProofJob: a pure function of the specification, what was observed, and the time.

mod children;
mod model;
mod place;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use obelysk_api::crd::proof_job::TtlDelete;
use obelysk_api::crd::proof_job_status::{StepName, StepState};
use obelysk_api::crd::{ProofJob, ProofJobStatus};
use obelysk_api::exit::FaultClass;
use obelysk_api::job::JobKind;

use super::observe::Snapshot;
use super::report::{self, Standing, move_step};
use super::validate::{Valid, validate};
use crate::controllers::attempt::{Attempt, Failure, Outcome};
use crate::controllers::attempts::{self, Ended, Ledger, Next};
use crate::controllers::children::{Maker, Obstacle, TERMINATING, maker};
use crate::controllers::job::name as job_name;
use crate::controllers::plan::{Child, Doomed, DoomedKind, Plan};
use crate::controllers::{Note, STEP_STARTED, conditions, job_file, seconds_between};
use crate::scheduling::retry::Budget;
use crate::settings::Settings;

/// Annotation that asks a failed job to run again: any new value, once.
pub const RETRY_REQUESTED: &str = "proving.obelysk.dev/retry-requested-at";
/// Annotation that says from which step on a retry does the work again: `Prove` or `Verify`; absent for the step that failed.
pub const RETRY_FROM: &str = "proving.obelysk.dev/retry-from";
/// Longest value of an annotation that a status holds.
const ANNOTATION_BYTES: usize = 64;
/// Plans look again after this long even if nothing happens.
const LOOK_AGAIN_SECONDS: i64 = 30;
/// Plans look after what should go, but still runs.
const LOOK_AT_DELETION_SECONDS: i64 = 10;

/// Plan a ProofJob.
#[must_use]
pub fn plan(proof_job: &ProofJob, snapshot: &Snapshot, settings: &Settings, now: Timestamp) -> Plan<ProofJobStatus> {
    let mut plan = Planner::new(proof_job, snapshot, settings, now);
    let standing = plan.stand();
    plan.finish(standing)
}

/// A value as a status holds it: itself, or its digest.
fn short(value: &str) -> String {
    if value.len() <= ANNOTATION_BYTES { value.to_owned() } else { blake3::hash(value.as_bytes()).to_hex().to_string() }
}

struct Planner<'a> {
    proof_job: &'a ProofJob,
    snapshot: &'a Snapshot,
    settings: &'a Settings,
    now: Timestamp,
    plan: Plan<ProofJobStatus>,
    attempts: Vec<Attempt>,
    /// Whether the newest attempt's pod has a node.
    has_node: bool,
}

impl<'a> Planner<'a> {
    fn new(proof_job: &'a ProofJob, snapshot: &'a Snapshot, settings: &'a Settings, now: Timestamp) -> Self {
        let mut status = proof_job.status.clone().unwrap_or_default();
        if status.steps.is_empty() {
            let audit = proof_job.spec.audit.as_ref().and_then(|audit| audit.enabled).unwrap_or(true);
            status.steps = report::steps(audit);
        }
        let attempts = snapshot.children.attempts(&snapshot.around);
        let plan = Plan { status, look_again_seconds: LOOK_AGAIN_SECONDS, ..Plan::default() };
        Self { proof_job, snapshot, settings, now, plan, attempts, has_node: false }
    }

    fn name(&self) -> String {
        self.proof_job.name_any()
    }

    fn namespace(&self) -> String {
        self.proof_job.namespace().unwrap_or_default()
    }

    fn ended_as(&self) -> Option<Standing> {
        let status = self.proof_job.status.as_ref()?;
        let of = |kind: &str| status.conditions.iter().find(|c| c.type_ == kind && c.status == "True");
        if of("Complete").is_some() {
            return Some(Standing::Succeeded);
        }
        let failed = of("Failed")?;
        if failed.reason == "Cancelled" {
            return Some(Standing::Cancelled);
        }
        // A refusal ends with the field that caused it.
        if failed.reason == "Unsupported" && status.start_time.is_none() {
            return None;
        }
        Some(Standing::Failed(failed.reason.clone(), failed.message.clone()))
    }

    /// Where the job stands, with everything planned that follows from it.
    fn stand(&mut self) -> Standing {
        if let Some(standing) = self.ended_as() {
            if matches!(&standing, Standing::Failed(..)) && self.honour_retry_request() {
                self.plan.notes.push(Note::normal("Retrying", "a retry was asked for"));
            } else {
                self.clean_up();
                return standing;
            }
        }
        if self.proof_job.spec.cancel == Some(true) {
            return Standing::Cancelled;
        }
        let valid = match validate(&self.proof_job.spec) {
            Ok(valid) => valid,
            Err(unsupported) => return Standing::Failed("Unsupported".into(), unsupported.to_string()),
        };
        // Before the model: what runs obeys, whatever has become of its cache.
        if self.proof_job.spec.suspend == Some(true) {
            self.stop_running();
            return Standing::Suspended;
        }
        if let Some(failed) = self.past_deadline() {
            return failed;
        }
        let cache_name = valid.model.cache_name();
        let cache = self.snapshot.cache.as_ref().and_then(|cache| cache.status.as_ref());
        report::record_model(&mut self.plan.status, &cache_name, cache);
        if let Some(waiting) = self.wait_for_model(&valid) {
            return waiting;
        }
        move_step(&mut self.plan.status, StepName::Model, StepState::Succeeded, self.now);
        if let Err(standing) = self.run(JobKind::Prove, &valid).and_then(|()| self.run(JobKind::Finish, &valid)) {
            return standing;
        }
        let status = &self.plan.status;
        if !status.proof.as_ref().is_some_and(|proof| proof.verified) {
            return Standing::Failed("VerificationFailed".into(), "the proof did not verify in a fresh process".into());
        }
        if valid.audit && status.audit.as_ref().is_none_or(|audit| audit.verdict != "Passed") {
            return Standing::Failed("AuditFailed".into(), "the audit did not pass; its report says why".into());
        }
        Standing::Succeeded
    }

    fn honour_retry_request(&mut self) -> bool {
        let annotation = |key: &str| self.proof_job.annotations().get(key).cloned();
        let Some(asked) = annotation(RETRY_REQUESTED).map(|asked| short(&asked)) else { return false };
        if self.plan.status.retry_observed.as_ref() == Some(&asked) {
            return false;
        }
        let from = annotation(RETRY_FROM);
        let redone: &[JobKind] = match from.as_deref() {
            None | Some("Verify" | "Audit") => &[JobKind::Finish],
            Some("Validate" | "Inference" | "Capture" | "Prove") => &[JobKind::Prove, JobKind::Finish],
            Some(other) => {
                let line = format!("{RETRY_FROM}: {other} is no step of a retry; use Prove or Verify, or leave it out");
                self.plan.notes.push(Note::warning("RetryRefused", line));
                self.plan.status.retry_observed = Some(asked);
                return false;
            }
        };
        let status = &mut self.plan.status;
        for &kind in redone {
            attempts::supersede(&mut status.attempts, kind);
        }
        if redone.contains(&JobKind::Prove) {
            status.proof = None;
            status.inference = None;
        }
        status.audit = None;
        status.retry_observed = Some(asked);
        status.retries = None;
        status.next_retry_time = None;
        status.conditions.clear();
        // The deadline starts anew.
        status.idle_since = None;
        status.idle_seconds = status.start_time.as_ref().map(|start| seconds_between(start.0, self.now).max(0));
        for name in [StepName::Validate, StepName::Inference, StepName::Capture, StepName::Prove, StepName::Verify] {
            report::step(status, name).state = StepState::Pending;
        }
        if self.proof_job.spec.audit.as_ref().and_then(|audit| audit.enabled).unwrap_or(true) {
            report::step(status, StepName::Audit).state = StepState::Pending;
        }
        true
    }

    /// The deadline counts while something runs.
    fn past_deadline(&mut self) -> Option<Standing> {
        let limit = self.proof_job.spec.active_deadline_seconds?;
        let start = self.plan.status.start_time.as_ref()?.0;
        let status = &self.plan.status;
        let until = status.idle_since.as_ref().map_or(self.now, |since| since.0);
        let left = limit - (seconds_between(start, until) - status.idle_seconds.unwrap_or(0));
        if left > 0 {
            self.plan.look_again_seconds = self.plan.look_again_seconds.min(left);
            return None;
        }
        let message = format!("not done after {limit} s of work (spec.activeDeadlineSeconds)");
        Some(Standing::Failed("DeadlineExceeded".into(), message))
    }

    /// Keep the time in which nothing runs.
    fn keep_time(&mut self, standing: &Standing) {
        let status = &mut self.plan.status;
        if status.start_time.is_none() {
            return;
        }
        match (standing, &status.idle_since) {
            (Standing::Waiting(..) | Standing::Suspended, None) => status.idle_since = Some(Time(self.now)),
            (Standing::Working(..), Some(since)) => {
                let idle = seconds_between(since.0, self.now).max(0);
                status.idle_seconds = Some(status.idle_seconds.unwrap_or(0).saturating_add(idle));
                status.idle_since = None;
            }
            _ => {}
        }
    }

    /// Bring a kind of Job to success. `Err` is where the job stands until then.
    fn run(&mut self, step: JobKind, valid: &Valid) -> Result<(), Standing> {
        let status = &mut self.plan.status;
        let mut ledger = Ledger {
            attempts: &mut status.attempts,
            retries: &mut status.retries,
            next_retry_time: &mut status.next_retry_time,
        };
        let budget = Budget::new(self.proof_job.spec.retry.as_ref());
        let turn = attempts::turn(step, &self.attempts, &mut ledger, &budget, &self.settings.image, self.now);
        self.plan.delete.extend(turn.delete);
        for Ended { attempt, result } in turn.ended {
            match result {
                Ok(result) => self.succeeded(step, &attempt, &result),
                Err(failure) => {
                    let class = failure.class.map_or("a disruption", FaultClass::name);
                    let Failure { reason, message, .. } = failure;
                    let line = format!("{step} attempt {} failed ({class}, {reason}): {message}", attempt.number);
                    self.plan.notes.push(Note::warning("StepFailed", line));
                }
            }
        }
        match turn.next {
            Next::Done => Ok(()),
            Next::Stopping(line) => Err(Standing::Waiting(TERMINATING.into(), line)),
            Next::UnderWay(attempt) => {
                self.has_node = attempt.node_name.is_some();
                Err(match attempt.outcome.clone() {
                    Outcome::Queued => {
                        let queue = valid.queue.name.as_deref().unwrap_or("that was taken from the specification");
                        let line = format!("attempt {} waits to be admitted by queue {queue}", attempt.number);
                        Standing::Waiting("Queued".into(), line)
                    }
                    Outcome::Waiting(reason, message) => Standing::Waiting(reason, message),
                    _ => self.working(step, &attempt),
                })
            }
            Next::Later(number, at) => {
                self.plan.look_again_seconds = seconds_between(self.now, at);
                Err(Standing::Waiting("Retrying".into(), format!("attempt {number} of {step} starts at {at}")))
            }
            Next::Start(number) => self.start(step, number, valid),
            Next::Exhausted(reason, message) => {
                let name = if step == JobKind::Prove { StepName::Prove } else { StepName::Verify };
                move_step(&mut self.plan.status, name, StepState::Failed, self.now);
                Err(Standing::Failed(reason, message))
            }
        }
    }

    fn succeeded(&mut self, step: JobKind, attempt: &Attempt, result: &obelysk_api::job::StepResult) {
        let uri = self.folder_uri();
        let status = &mut self.plan.status;
        let steps: &[StepName] = match step {
            JobKind::Prove => {
                report::record_proof(status, result, &uri);
                // What a node's label promises is not what a proof was made on.
                let device = result.proof.as_ref().map(|proof| proof.device.as_str()).unwrap_or_default();
                let pool = self.proof_job.spec.hardware.gpu.as_ref().and_then(|gpu| gpu.pool_ref.as_ref());
                let pool = pool.map(|pool| pool.name.clone());
                status.placement = Some(report::placement(pool, attempt.node_name.clone(), device));
                &[StepName::Validate, StepName::Inference, StepName::Capture, StepName::Prove]
            }
            _ => {
                report::record_finish(status, result, &uri);
                &[StepName::Verify, StepName::Audit]
            }
        };
        for &name in steps {
            move_step(status, name, StepState::Succeeded, self.now);
            let entry = report::step(status, name);
            entry.attempts = attempt.number;
            entry.pod_name = attempt.pod_name.clone();
            entry.node_name = attempt.node_name.clone();
        }
        let reason = if step == JobKind::Prove { "ProofReady" } else { "Verified" };
        self.plan.notes.push(Note::normal(reason, format!("{step} attempt {} succeeded", attempt.number)));
    }

    fn working(&mut self, step: JobKind, attempt: &Attempt) -> Standing {
        let current = self.snapshot.progress.clone().unwrap_or_default();
        let name = match (step, current.step.as_str()) {
            (JobKind::Prove, "validate") => StepName::Validate,
            (JobKind::Prove, "inference") => StepName::Inference,
            (JobKind::Prove, "capture") => StepName::Capture,
            (JobKind::Prove, _) => StepName::Prove,
            (_, "audit") => StepName::Audit,
            _ => StepName::Verify,
        };
        for earlier in [StepName::Validate, StepName::Inference, StepName::Capture, StepName::Prove, StepName::Verify] {
            if earlier < name && (step == JobKind::Finish || earlier < StepName::Prove) {
                move_step(&mut self.plan.status, earlier, StepState::Succeeded, self.now);
            }
        }
        move_step(&mut self.plan.status, name, StepState::Running, self.now);
        let entry = report::step(&mut self.plan.status, name);
        entry.attempts = attempt.number;
        entry.pod_name = attempt.pod_name.clone();
        entry.node_name = attempt.node_name.clone();
        let node = attempt.node_name.as_deref().unwrap_or("a node");
        let what = if current.summary.is_empty() { step.to_string() } else { current.summary };
        Standing::Working(step, format!("{what} on {node}, attempt {}", attempt.number))
    }

    fn start(&mut self, step: JobKind, number: i32, valid: &Valid) -> Result<(), Standing> {
        let Some(cache) = self.snapshot.cache.as_ref() else {
            return Err(Standing::Waiting("ModelCacheNotFound".into(), "the ModelCache is not there".into()));
        };
        let placement = self.place(step, cache, valid)?;
        let is_first = self.plan.status.start_time.is_none();
        if let Some(obstacle) =
            self.snapshot.children.obstacle(&job_name(&self.name(), step, number), is_first, &self.snapshot.around)
        {
            return Err(Standing::blocked(obstacle));
        }
        let claim = match &valid.artifacts_claim {
            Some(claim) => claim.clone(),
            None => match &self.snapshot.claim {
                Some(claim) => {
                    let is_going = claim.metadata.deletion_timestamp.is_some();
                    let maker = if is_going { Maker::Earlier } else { maker(claim.meta(), self.proof_job) };
                    if let Some(obstacle) = Obstacle::of(maker, "claim", &claim.name_any()) {
                        return Err(Standing::blocked(obstacle));
                    }
                    claim.name_any()
                }
                None => {
                    let claim = self.artifacts_claim();
                    let name = claim.name_any();
                    self.plan.create.push(Child::Claim(Box::new(claim)));
                    name
                }
            },
        };
        let (template, mut job) = self.job(step, number, valid, cache, placement, claim)?;
        let file = job_file::split(&mut job, &self.name());
        if is_first {
            self.plan.status.start_time = Some(Time(self.now));
            self.plan.status.idle_seconds = None;
        }
        self.plan.create.extend(file.map(|file| Child::File(Box::new(file))));
        self.plan.create.extend(template.map(|template| Child::ClaimTemplate(Box::new(template))));
        self.plan.create.push(Child::Job(Box::new(job)));
        if let Some(refused) = self.refused() {
            return Err(refused);
        }
        self.plan.notes.push(Note::normal(STEP_STARTED, format!("{step} attempt {number}")));
        self.plan.look_again_seconds = 10;
        Err(Standing::Working(step, format!("{step} attempt {number} is starting")))
    }

    /// A deletion that the API server refuses, and that is asked for again with this plan.
    fn undeletable(&mut self) -> Option<Obstacle> {
        self.plan.delete.first()?;
        if let Some(refused) = self.snapshot.refused.clone().filter(Obstacle::is_of_deletion) {
            self.plan.notes.push(Note::warning(&refused.reason, refused.message.clone()));
            return Some(refused);
        }
        let before = self.proof_job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        Obstacle::on_record(before).filter(Obstacle::is_of_deletion)
    }

    /// Where the job stands with a child that the API server refuses; it is asked again with every plan.
    fn refused(&mut self) -> Option<Standing> {
        let is_creation = |of: &Obstacle| !of.is_of_deletion();
        let refused = self.snapshot.refused.clone().filter(is_creation);
        if let Some(Obstacle { reason, message }) = &refused {
            self.plan.notes.push(Note::warning(reason, message.clone()));
        }
        let on_record = || Obstacle::on_record(&self.plan.status.conditions).filter(is_creation);
        refused.or_else(on_record).map(Standing::blocked)
    }

    /// Delete Jobs that have not ended; their attempts are not charged. Plans repeat it until nothing runs: a deletion may fail.
    fn stop_running(&mut self) {
        // A lost node may come back, and go on with what it had.
        let has_ended = |outcome: &Outcome| match outcome {
            Outcome::Failed(failure) => !failure.leaves_job,
            outcome => matches!(outcome, Outcome::Succeeded(_)),
        };
        for attempt in self.attempts.iter().filter(|attempt| !has_ended(&attempt.outcome)) {
            // A pod that goes leaves a Job that would be charged for it.
            let is_going = |job: &Job| job.name_any() == attempt.job_name && job.metadata.deletion_timestamp.is_some();
            if !self.snapshot.children.jobs().iter().any(is_going) {
                self.plan.delete.push(attempt.doomed());
            }
            self.plan.look_again_seconds = self.plan.look_again_seconds.min(LOOK_AT_DELETION_SECONDS);
        }
    }

    /// What a finished job still asks for: its time to live.
    fn clean_up(&mut self) {
        let (Some(ttl), Some(ended)) = (&self.proof_job.spec.ttl, &self.plan.status.completion_time) else {
            self.plan.look_again_seconds = 3600;
            return;
        };
        let left = ttl.seconds_after_finished.saturating_sub(seconds_between(ended.0, self.now));
        if left > 0 {
            self.plan.look_again_seconds = left;
            return;
        }
        match ttl.delete {
            Some(TtlDelete::Itself) => self.plan.delete.push(Doomed::new(DoomedKind::ProofJob, self.proof_job)),
            _ => self.plan.delete.extend(self.snapshot.children.doomed()),
        }
        self.plan.look_again_seconds = 3600;
    }

    fn finish(mut self, standing: Standing) -> Plan<ProofJobStatus> {
        let generation = self.proof_job.metadata.generation.unwrap_or_default();
        let ended = matches!(standing, Standing::Succeeded | Standing::Failed(..) | Standing::Cancelled);
        if ended {
            self.stop_running();
        }
        let before = self.proof_job.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let was_ended = ["Complete", "Failed"].iter().any(|kind| conditions::is_true(before, kind));
        let blocked = self.undeletable();
        self.keep_time(&standing);
        report::conclude(&mut self.plan.status, &standing, self.has_node, generation, self.now);
        if let Some(Obstacle { reason, message }) = blocked {
            report::say_blocked(&mut self.plan.status, &reason, &message);
        }
        if ended && !was_ended {
            self.plan.ended = true;
            let summary = self.plan.status.summary.clone().unwrap_or_default();
            self.plan.notes.push(match &standing {
                Standing::Succeeded => Note::normal("Completed", summary),
                Standing::Cancelled => Note::normal("Cancelled", summary),
                _ => Note::warning("Failed", summary),
            });
        }
        self.plan
    }
}
