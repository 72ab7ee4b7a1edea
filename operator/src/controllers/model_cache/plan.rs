//! What to do about a ModelCache: a pure function of the specification, what was observed, and the time.

mod copies;
mod pods;
mod removal;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use obelysk_api::crd::model_cache::{AccessMode, CacheProgress, QualityStatus, Resolved};
use obelysk_api::crd::proof_job_status::{Attempt as AttemptStatus, Retries};
use obelysk_api::crd::{ModelCache, ModelCacheStatus, ModelPreset, PREFIX, ProverPool};
use obelysk_api::exit::FaultClass;
use obelysk_api::job::{Progress, QUALITY_REFUSED, StepResult};

pub use copies::volume_name;
pub use pods::{home, min_top1_agreement, mounts};

use super::validate::{Origin, Place, Valid, origin, validate};
use super::{FETCH, FINALIZER, LABEL, PREPARE};
use crate::controllers::attempt::{Outcome, Surroundings};
use crate::controllers::children::{Children, NAME_CONFLICT, Obstacle, TERMINATING};
use crate::controllers::job;
use crate::controllers::proof_job::report::{is_recorded, record_attempt};
use crate::controllers::{Note, STEP_STARTED, clip, conditions, seconds_between};
use crate::scheduling::retry::{Budget, Verdict};
use crate::settings::Settings;

/// Attempts in a row that may fail in the same way before the cache stalls.
const SAME_FAILURE_LIMIT: usize = 3;
/// Sizes of proofs that a status holds.
const PROOF_SIZES_MAX: usize = 16;
/// Plans look again after this long even if nothing happens.
const LOOK_AGAIN_SECONDS: i64 = 30;

/// Everything that a plan depends on.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The preset that the source names.
    pub preset: Option<ModelPreset>,
    /// The pool that the placement or the storage names.
    pub pool: Option<ProverPool>,
    /// Jobs and pods.
    pub children: Children,
    /// The claim for the model.
    pub claim: Option<PersistentVolumeClaim>,
    /// The volume on the disks of nodes.
    pub volume: Option<PersistentVolume>,
    /// ModelCaches of the namespace that keep a model on the same claim.
    pub others: Vec<ModelCache>,
    /// Nodes and events.
    pub around: Surroundings,
    /// Unfinished ProofJobs that name the cache.
    pub consumers: i32,
    /// Those of them that have started, and read it.
    pub readers: i32,
    /// Finished Jobs of ProofJobs whose pods mount the claim; observed when the claim may go. A claim is not deleted while pods
    /// mount it, finished ones included.
    pub holders: Vec<String>,
    /// What the API server has just said of a child that it refuses.
    pub refused: Option<Obstacle>,
    /// The progress page of the running pod.
    pub progress: Option<Progress>,
}

/// What to do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Status to write, if it differs.
    pub status: ModelCacheStatus,
    /// A volume to create, before the claim.
    pub create_volume: Option<PersistentVolume>,
    /// A claim to create.
    pub create_claim: Option<PersistentVolumeClaim>,
    /// A Job to create.
    pub create_job: Option<Job>,
    /// Jobs to delete, with their pods.
    pub delete_jobs: Vec<String>,
    /// A claim to delete.
    pub delete_claim: Option<String>,
    /// A volume to delete, after the claim.
    pub delete_volume: Option<String>,
    /// Whether the finalizer should be there.
    pub finalizer: bool,
    /// Events to publish.
    pub notes: Vec<Note>,
    /// When to look again at the latest.
    pub look_again_seconds: i64,
}

/// Name of the claim of a cache.
#[must_use]
pub fn claim_name(cache: &ModelCache) -> String {
    match &cache.spec.storage.existing_claim {
        Some(claim) => claim.name.clone(),
        None => format!("{}-model", cache.name_any()),
    }
}

/// Where a cache stands.
enum Standing {
    Waiting(String, String),
    Working(&'static str, String),
    Ready(String),
    Evicting(String),
    Stalled(String, String),
}

/// Plan a ModelCache.
#[must_use]
pub fn plan(cache: &ModelCache, snapshot: &Snapshot, settings: &Settings, now: Timestamp) -> Plan {
    let status = cache.status.clone().unwrap_or_default();
    let mut planner = Planner {
        cache,
        snapshot,
        settings,
        now,
        plan: Plan { status, look_again_seconds: LOOK_AGAIN_SECONDS, ..Plan::default() },
    };
    if cache.metadata.deletion_timestamp.is_some() {
        return planner.let_go();
    }
    let standing = planner.stand();
    planner.finish(standing)
}

struct Planner<'a> {
    cache: &'a ModelCache,
    snapshot: &'a Snapshot,
    settings: &'a Settings,
    now: Timestamp,
    plan: Plan,
}

impl Planner<'_> {
    /// Whether a claim was made for this cache.
    fn made(&self, claim: &PersistentVolumeClaim) -> bool {
        claim.labels().get(&format!("{PREFIX}{LABEL}")) == Some(&self.cache.name_any())
    }

    fn stand(&mut self) -> Standing {
        let valid = match validate(&self.cache.spec) {
            Ok(valid) => valid,
            Err(unsupported) => return Standing::Stalled("Unsupported".into(), unsupported.to_string()),
        };
        self.plan.finalizer = true;
        if matches!(valid.place, Place::Nodes(_)) && !self.settings.node_local {
            let line = "spec.storage.nodeLocal is switched off in this cluster: ask the administrator for \
                        nodeLocal.enabled: true in the values of the chart proving-operator, or use claim or existingClaim";
            return Standing::Stalled("Unsupported".into(), line.into());
        }
        self.plan.status.claim_name = Some(claim_name(self.cache));
        self.forgive_refusals();
        self.count_consumers();
        if let Origin::Preset(name) = &valid.origin {
            match &self.snapshot.preset {
                None => {
                    return Standing::Waiting(
                        "ModelPresetNotFound".into(),
                        format!("no ModelPreset {name} in this cluster"),
                    );
                }
                Some(preset) => {
                    if let Err(unsupported) = origin(&preset.spec.source) {
                        return Standing::Stalled("Unsupported".into(), format!("ModelPreset {name}: {unsupported}"));
                    }
                }
            }
        }
        if let (Some(pool), None) = (&valid.pool, &self.snapshot.pool) {
            return Standing::Waiting("ProverPoolNotFound".into(), format!("no ProverPool {pool} in this cluster"));
        }
        if matches!(valid.place, Place::Nodes(_))
            && let Some(waiting) = self.reserve_disks()
        {
            return waiting;
        }
        if let Some(evicting) = valid.evict_after.and_then(|seconds| self.evict(seconds)) {
            return evicting;
        }
        if let Some(waiting) = self.claim(&valid) {
            return waiting;
        }
        let below = |planner: &Self| planner.below(valid.min_top1_agreement);
        let standing = match &valid.place {
            // A model that is not good enough gets no further copy.
            Place::Nodes(local) => below(self).unwrap_or_else(|| self.copies(local)),
            _ => match self.run(FETCH).and_then(|()| self.run(PREPARE)) {
                Err(standing) => standing,
                Ok(()) => Standing::Ready("ready".into()),
            },
        };
        let note = self.plan.status.quality.as_ref().and_then(|quality| quality.note.clone());
        match (standing, note) {
            (Standing::Ready(line), note) => below(self).unwrap_or_else(|| {
                Standing::Ready(note.map_or_else(|| line.clone(), |note| format!("{line}, but {note}")))
            }),
            (other, _) => other,
        }
    }

    /// A model that was refused for its quality is judged again when the specification has changed: it may accept it now.
    fn forgive_refusals(&mut self) {
        let status = &mut self.plan.status;
        if status.observed_generation != self.cache.metadata.generation {
            let refused = status.attempts.iter_mut().filter(|attempt| attempt.reason == QUALITY_REFUSED);
            refused.for_each(|attempt| attempt.class = None);
        }
    }

    /// A use begins and ends when the number of consumers leaves and reaches zero.
    fn count_consumers(&mut self) {
        let before = self.plan.status.consumers.replace(self.snapshot.consumers).unwrap_or_default();
        if (before > 0) != (self.snapshot.consumers > 0) {
            self.plan.status.last_used_time = Some(Time(self.now));
        }
    }

    /// What the cache holds goes when nobody has used it for so long. The status says so first, so that no ProofJob starts
    /// on it; then its Jobs go, which vouch for the contents of the claim; the claim goes last.
    fn evict(&mut self, after_seconds: i64) -> Option<Standing> {
        if self.snapshot.consumers > 0 {
            return None;
        }
        let line = format!("unused for {after_seconds} s; the next ProofJob brings it back");
        if self.plan.status.phase.as_deref() != Some("Evicting") {
            let used = self.plan.status.last_used_time.as_ref().map(|time| time.0);
            let is_ready = conditions::is_true(&self.plan.status.conditions, "Ready");
            let left = after_seconds.saturating_sub(seconds_between(used.filter(|_| is_ready)?, self.now));
            if left > 0 {
                self.plan.look_again_seconds = left.min(LOOK_AGAIN_SECONDS);
                return None;
            }
            self.plan.look_again_seconds = 1;
            self.plan.notes.push(Note::normal("Evicting", line.clone()));
            return Some(Standing::Evicting(line));
        }
        self.plan.status.attempts.clear();
        self.plan.delete_jobs = self.snapshot.children.job_names();
        self.plan.delete_jobs.extend(self.snapshot.holders.clone());
        let claim = self.snapshot.claim.as_ref().filter(|claim| claim.metadata.deletion_timestamp.is_none());
        if self.snapshot.children.jobs().is_empty() && claim.is_some() {
            self.plan.delete_claim = Some(claim_name(self.cache));
        }
        Some(Standing::Evicting(line))
    }

    /// Whether the integer engine agrees with the float engine too rarely. A specification may ask for more than when the model
    /// was prepared.
    fn below(&self, least: Option<f64>) -> Option<Standing> {
        let quality = self.plan.status.quality.as_ref()?;
        if let Some(note) = quality.note.as_ref().filter(|_| least != Some(0.0)) {
            let line = format!("prepare.quantize.minTop1Agreement is not \"0\" any more: {note}");
            return Some(Standing::Stalled(QUALITY_REFUSED.into(), line));
        }
        let least = least?;
        let agreement: f64 = quality.top1_agreement.parse().ok()?;
        (agreement < least).then(|| {
            let QualityStatus { perplexity_float, perplexity_int, .. } = quality;
            let line = format!(
                "the integer engine prefers the float engine's token at {agreement} of the positions, below \
                 prepare.quantize.minTop1Agreement {least}; perplexity {perplexity_float} became {perplexity_int}"
            );
            Standing::Stalled(QUALITY_REFUSED.into(), line)
        })
    }

    fn claim(&mut self, valid: &Valid) -> Option<Standing> {
        match (&self.snapshot.claim, &valid.place) {
            (Some(claim), _) if claim.metadata.deletion_timestamp.is_some() => {
                Some(Standing::Waiting(TERMINATING.into(), format!("claim {} is being deleted", claim.name_any())))
            }
            (Some(claim), Place::New(_) | Place::Nodes(_)) if !self.made(claim) => Some(Standing::Waiting(
                NAME_CONFLICT.into(),
                format!("claim {} exists and is not of this ModelCache; use storage.existingClaim", claim.name_any()),
            )),
            (Some(_), Place::Existing(_)) => self.wait_for_removal(),
            (Some(_), _) => None,
            (None, Place::Existing(claim)) => {
                Some(Standing::Waiting("ClaimNotFound".into(), format!("no claim {} in this namespace", claim.name)))
            }
            (None, Place::New(new)) => {
                if new.access_mode == AccessMode::ReadWriteOnce {
                    let line = "the claim is ReadWriteOnce: all pods that read the model run on one node; use \
                                ReadWriteMany to prove on several";
                    self.plan.notes.push(Note::warning("SingleNode", line));
                }
                let class = new.storage_class_name.clone().or_else(|| self.settings.storage_class());
                self.plan.create_claim = Some(self.new_claim(&format!("{:?}", new.access_mode), class, &new.size));
                None
            }
            (None, Place::Nodes(_)) => {
                self.plan.create_claim = Some(self.claim_on_disks());
                None
            }
        }
    }

    fn new_claim(&self, access_mode: &str, storage_class_name: Option<String>, size: &str) -> PersistentVolumeClaim {
        PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(claim_name(self.cache)),
                namespace: self.cache.namespace(),
                labels: Some(job::labels(LABEL, &self.cache.name_any())),
                ..ObjectMeta::default()
            },
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: Some(vec![access_mode.to_owned()]),
                storage_class_name,
                resources: Some(VolumeResourceRequirements {
                    requests: Some([("storage".to_owned(), Quantity(size.to_owned()))].into()),
                    limits: None,
                }),
                ..PersistentVolumeClaimSpec::default()
            }),
            status: None,
        }
    }

    /// Bring a kind of Job to success. `Err` is where the cache stands until then.
    fn run(&mut self, step: &'static str) -> Result<(), Standing> {
        let attempts = self.snapshot.children.attempts(&self.snapshot.around);
        let attempts = attempts.into_iter().filter(|attempt| attempt.step == step);
        let recorded_numbers = self.plan.status.attempts.iter().filter(|a| a.step == step).map(|a| a.number);
        let mut next = recorded_numbers.max().unwrap_or(0).saturating_add(1);
        for attempt in attempts {
            next = next.max(attempt.number.saturating_add(1));
            let recorded = is_recorded(&self.plan.status.attempts, &attempt);
            match attempt.outcome.clone() {
                Outcome::Succeeded(result) => {
                    if !recorded {
                        record_attempt(&mut self.plan.status.attempts, &attempt, None, self.now);
                        self.record(&result);
                        self.plan
                            .notes
                            .push(Note::normal("StepSucceeded", format!("{step} attempt {}", attempt.number)));
                    }
                    return Ok(());
                }
                Outcome::Failed(failure) if !recorded => {
                    record_attempt(&mut self.plan.status.attempts, &attempt, Some(&failure), self.now);
                    if failure.reason == "NodeLost" {
                        self.plan.delete_jobs.push(attempt.job_name.clone());
                    }
                    let line = format!("{step} attempt {} failed: {}", attempt.number, failure.message);
                    self.plan.notes.push(Note::warning("StepFailed", line));
                    if let Some(stalled) = self.weigh(step) {
                        return Err(stalled);
                    }
                }
                Outcome::Failed(_) => {}
                Outcome::Terminating => {
                    let line = format!("{step} attempt {} is being stopped", attempt.number);
                    return Err(Standing::Waiting(TERMINATING.into(), line));
                }
                Outcome::Queued => return Err(Standing::Waiting("Queued".into(), "held back by its queue".into())),
                Outcome::Waiting(reason, message) => return Err(Standing::Waiting(reason, message)),
                Outcome::Running => return Err(Standing::Working(step, format!("{step}, attempt {}", attempt.number))),
            }
        }
        if self.plan.status.attempts.iter().any(|a| a.step == step && a.reason == "Succeeded") {
            return Ok(());
        }
        if let Some(stalled) = self.weigh(step) {
            return Err(stalled);
        }
        if let Some(at) = self.plan.status.next_retry_time.as_ref().map(|time| time.0) {
            let left = seconds_between(self.now, at);
            if left > 0 {
                self.plan.look_again_seconds = left;
                return Err(Standing::Waiting("Retrying".into(), format!("attempt {next} of {step} starts at {at}")));
            }
            self.plan.status.next_retry_time = None;
        }
        let is_first = self.plan.status.attempts.is_empty();
        if let Some(Obstacle { reason, message }) =
            self.snapshot.children.obstacle(&job::name(&self.cache.name_any(), step, next), is_first)
        {
            return Err(Standing::Waiting(reason, message));
        }
        let job = self.job(step, next);
        self.plan.create_job =
            Some(job.map_err(|unsupported| Standing::Stalled("Unsupported".into(), unsupported.to_string()))?);
        if let Some(Obstacle { reason, message }) = self.refused() {
            return Err(Standing::Waiting(reason, message));
        }
        self.plan.notes.push(Note::normal(STEP_STARTED, format!("{step} attempt {next}")));
        self.plan.look_again_seconds = 10;
        Err(Standing::Working(step, format!("{step} attempt {next} is starting")))
    }

    /// What the API server says of a child; it is asked again with every plan.
    fn refused(&mut self) -> Option<Obstacle> {
        if let Some(Obstacle { reason, message }) = &self.snapshot.refused {
            self.plan.notes.push(Note::warning(reason, message.clone()));
        }
        self.snapshot.refused.clone().or_else(|| Obstacle::on_record(&self.plan.status.conditions))
    }

    /// Whether the failures on record allow another attempt, and when.
    fn weigh(&mut self, step: &str) -> Option<Standing> {
        let failures: Vec<AttemptStatus> =
            self.plan.status.attempts.iter().filter(|a| a.step == step && a.reason != "Succeeded").cloned().collect();
        let newest = failures.first()?;
        let message = newest.message.clone().unwrap_or_default();
        let alike = failures
            .iter()
            .take_while(|a| a.class.is_some() && a.reason == newest.reason && a.message == newest.message);
        if alike.count() >= SAME_FAILURE_LIMIT {
            let line = format!("{SAME_FAILURE_LIMIT} attempts of {step} failed alike: {message}");
            return Some(Standing::Stalled(newest.reason.clone(), line));
        }
        let mut used = Retries::default();
        let mut verdict = Verdict::After(0);
        for failure in failures.iter().rev() {
            verdict = Budget::new(None).charge(class_named(failure.class.as_deref()), &mut used);
        }
        match verdict {
            Verdict::Exhausted { .. } => Some(Standing::Stalled(newest.reason.clone(), format!("{step}: {message}"))),
            Verdict::After(seconds) => {
                let ended = newest.finished_at.as_ref().map_or(self.now, |time| time.0);
                self.plan.status.next_retry_time =
                    Timestamp::from_second(ended.as_second().saturating_add(seconds)).ok().map(Time);
                None
            }
        }
    }

    fn record(&mut self, result: &StepResult) {
        let Some(model) = &result.model else { return };
        let known = self.plan.status.resolved.clone().unwrap_or_default();
        let text = |new: &str, old: Option<String>| if new.is_empty() { old } else { Some(clip(new, 128)) };
        self.plan.status.resolved = Some(Resolved {
            revision: text(&model.revision, known.revision),
            files: if model.files > 0 { Some(i64::from(model.files)) } else { known.files },
            bytes: if model.bytes > 0 { i64::try_from(model.bytes).ok() } else { known.bytes },
            manifest_digest: text(&model.manifest_digest, known.manifest_digest).map(|digest| clip(&digest, 64)),
            model_digest: model.model_digest.as_ref().map(|digest| clip(digest, 64)).or(known.model_digest),
            proof_memory: model.proof_memory.clone().or(known.proof_memory).map(|mut memory| {
                memory.sizes.truncate(PROOF_SIZES_MAX);
                memory
            }),
        });
        if let Some(quality) = &model.quality {
            self.plan.status.quality = Some(QualityStatus {
                perplexity_float: format!("{:.4}", quality.perplexity_float),
                perplexity_int: format!("{:.4}", quality.perplexity_int),
                top1_agreement: format!("{:.4}", quality.top1_agreement),
                mean_kl: format!("{:.6}", quality.mean_kl),
                saturation_rate: format!("{:.6}", quality.saturation_rate),
                note: model.quality_note.as_ref().map(|note| clip(note, 512)),
            });
        }
    }

    fn finish(mut self, standing: Standing) -> Plan {
        let generation = self.cache.metadata.generation.unwrap_or_default();
        let status = &mut self.plan.status;
        let was_ready = conditions::is_true(&status.conditions, "Ready");
        let done = |step: &str| status.attempts.iter().any(|a| a.step == step && a.reason == "Succeeded");
        let has_copy = !status.nodes.is_empty();
        let (fetched, prepared) = (done(FETCH) || has_copy, done(PREPARE) || has_copy);
        let (phase, reason, summary, percent) = match &standing {
            Standing::Waiting(reason, message) => ("Pending", reason.clone(), message.clone(), None),
            Standing::Working(FETCH, line) => ("Downloading", "Fetching".to_owned(), line.clone(), Some(0)),
            Standing::Working(_, line) => ("Preparing", "Preparing".to_owned(), line.clone(), None),
            Standing::Ready(line) => ("Ready", "Prepared".to_owned(), line.clone(), Some(100)),
            Standing::Evicting(line) => ("Evicting", "Unused".to_owned(), line.clone(), None),
            Standing::Stalled(reason, message) => ("Failed", reason.clone(), message.clone(), None),
        };
        let ready = matches!(standing, Standing::Ready(_));
        let stalled = matches!(standing, Standing::Stalled(..));
        status.observed_generation = Some(generation);
        status.phase = Some(phase.into());
        let running = matches!(standing, Standing::Working(FETCH, _));
        let page = self.snapshot.progress.as_ref().filter(|_| running);
        status.progress = Some(progress(percent, &summary, page));
        for (kind, value) in [
            ("Ready", ready),
            ("Reconciling", !ready && !stalled),
            ("Stalled", stalled),
            ("SpaceReserved", self.snapshot.claim.is_some()),
            ("Downloaded", fetched),
            ("Verified", fetched),
            ("Prepared", prepared),
        ] {
            conditions::set(&mut status.conditions, kind, Some(value), &reason, &summary, generation, self.now);
        }
        if ready && !was_ready {
            status.last_used_time = Some(Time(self.now));
            self.plan.notes.push(Note::normal("Ready", "the model is prepared"));
        }
        if stalled && !conditions::is_true(&self.cache.status.clone().unwrap_or_default().conditions, "Stalled") {
            self.plan.notes.push(Note::warning("Stalled", summary));
        }
        self.plan
    }
}

/// Progress as the status shows it, with the bytes of the pod's page where there is one.
fn progress(percent: Option<i32>, summary: &str, page: Option<&Progress>) -> CacheProgress {
    let Some(Progress { percent, bytes: Some(bytes), total: Some(total), rate, .. }) = page else {
        return CacheProgress { percent, summary: Some(clip(summary, 256)), ..CacheProgress::default() };
    };
    let mebibytes = |bytes: u64| bytes >> 20;
    let left = total.saturating_sub(*bytes);
    let count = |bytes: u64| i64::try_from(bytes).ok();
    CacheProgress {
        percent: i32::try_from(*percent).ok(),
        bytes: count(*bytes),
        total: count(*total),
        rate: rate.map(|rate| format!("{} MiB/s", mebibytes(rate))),
        eta: rate.filter(|&rate| rate > 0).map(|rate| format!("{} s", left.div_ceil(rate))),
        summary: Some(clip(&format!("{summary}: {} of {} MiB", mebibytes(*bytes), mebibytes(*total)), 256)),
    }
}

fn class_named(name: Option<&str>) -> Option<FaultClass> {
    use FaultClass::{Chain, Gpu, Infra, Prover, User};
    [User, Prover, Gpu, Infra, Chain].into_iter().find(|class| Some(class.name()) == name)
}

/// Whether the finalizer is on the object.
#[must_use]
pub fn has_finalizer(cache: &ModelCache) -> bool {
    cache.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}
