//! What to do about a ModelCache: a pure function of the specification, what was observed, and the time.

mod copies;
mod pods;
mod removal;

use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use obelysk_api::crd::model_cache::{AccessMode, CacheProgress, QualityStatus, Resolved};
use obelysk_api::crd::{ModelCache, ModelCacheStatus, ModelPreset, PREFIX, ProverPool};
use obelysk_api::job::{JobKind, Progress, QUALITY_REFUSED, StepResult};

pub use copies::volume_name;
pub use pods::{home, min_top1_agreement, mounts};

use super::LABEL;
use super::validate::{Origin, Place, Valid, origin, validate};
use crate::controllers::attempt::{Outcome, Surroundings};
use crate::controllers::attempts::{self, Ended, Ledger, Next};
use crate::controllers::children::{Children, NAME_CONFLICT, Obstacle, TERMINATING};
use crate::controllers::job;
use crate::controllers::plan::{Child, Doomed, DoomedKind, Plan};
use crate::controllers::{Note, STEP_STARTED, clip, conditions, seconds_between};
use crate::scheduling::retry::Budget;
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
    pub holders: Vec<Doomed>,
    /// What the API server has just said of a child that it refuses.
    pub refused: Option<Obstacle>,
    /// The progress page of the running pod.
    pub progress: Option<Progress>,
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
    Working(JobKind, String),
    Ready(String),
    Evicting(String),
    Stalled(String, String),
}

/// Plan a ModelCache.
#[must_use]
pub fn plan(cache: &ModelCache, snapshot: &Snapshot, settings: &Settings, now: Timestamp) -> Plan<ModelCacheStatus> {
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
    plan: Plan<ModelCacheStatus>,
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
            _ => match self.run(JobKind::Fetch).and_then(|()| self.run(JobKind::Prepare)) {
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
        self.plan.status.claim_uid = None;
        self.plan.delete = self.snapshot.children.doomed();
        self.plan.delete.extend(self.snapshot.holders.clone());
        let claim = self.snapshot.claim.as_ref().filter(|claim| claim.metadata.deletion_timestamp.is_none());
        if let Some(claim) = claim.filter(|_| self.snapshot.children.jobs().is_empty()) {
            self.plan.delete.push(Doomed::new(DoomedKind::Claim, claim));
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
            (Some(claim), Place::New(_) | Place::Existing(_)) => self.hold_on_to(claim).or_else(|| match valid.place {
                Place::Existing(_) => self.wait_for_removal(),
                _ => None,
            }),
            (Some(_), Place::Nodes(_)) => None,
            (None, Place::Existing(claim)) => {
                Some(Standing::Waiting("ClaimNotFound".into(), format!("no claim {} in this namespace", claim.name)))
            }
            (None, Place::New(_)) if self.plan.status.claim_uid.is_some() && self.has_begun() => {
                Some(self.lose_contents())
            }
            (None, Place::New(new)) => {
                self.plan.status.claim_uid = None;
                if new.access_mode == AccessMode::ReadWriteOnce {
                    let line = "the claim is ReadWriteOnce: all pods that read the model run on one node; use \
                                ReadWriteMany to prove on several";
                    self.plan.notes.push(Note::warning("SingleNode", line));
                }
                let class = new.storage_class_name.clone().or_else(|| self.settings.storage_class());
                let claim = self.new_claim(&format!("{:?}", new.access_mode), class, &new.size);
                self.plan.create.push(Child::Claim(Box::new(claim)));
                None
            }
            (None, Place::Nodes(_)) => {
                self.plan.create.push(Child::Claim(Box::new(self.claim_on_disks())));
                None
            }
        }
    }

    /// The model is on the claim of one uid: another of its name does not hold it.
    fn hold_on_to(&mut self, claim: &PersistentVolumeClaim) -> Option<Standing> {
        let is_other = self.plan.status.claim_uid.is_some() && self.plan.status.claim_uid != claim.uid();
        if is_other && self.has_begun() {
            return Some(self.lose_contents());
        }
        self.plan.status.claim_uid = claim.uid();
        None
    }

    /// Whether anything was tried.
    fn has_begun(&self) -> bool {
        !(self.snapshot.children.jobs().is_empty() && self.plan.status.attempts.is_empty())
    }

    /// Somebody has deleted the claim, and the model with it. The Jobs go, which vouch for the contents, before it is brought anew.
    fn lose_contents(&mut self) -> Standing {
        let line = format!("claim {} was deleted, and the model with it; it is brought anew", claim_name(self.cache));
        if !self.plan.status.attempts.is_empty() {
            self.plan.notes.push(Note::warning("ContentsLost", line.clone()));
        }
        self.plan.status.attempts.clear();
        self.plan.status.retries = None;
        self.plan.status.next_retry_time = None;
        self.plan.delete = self.snapshot.children.doomed();
        self.plan.look_again_seconds = 2;
        Standing::Waiting("ContentsLost".into(), line)
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
    fn run(&mut self, step: JobKind) -> Result<(), Standing> {
        let attempts = self.snapshot.children.attempts(&self.snapshot.around);
        let status = &mut self.plan.status;
        let mut ledger = Ledger {
            attempts: &mut status.attempts,
            retries: &mut status.retries,
            next_retry_time: &mut status.next_retry_time,
        };
        let budget = Budget::new(None).ended_by_alike(SAME_FAILURE_LIMIT);
        let turn = attempts::turn(step, &attempts, &mut ledger, &budget, &self.settings.image, self.now);
        self.plan.delete.extend(turn.delete);
        for Ended { attempt, result } in turn.ended {
            let number = attempt.number;
            match result {
                Ok(result) => {
                    self.record(&result);
                    // What comes next has a budget of its own.
                    self.plan.status.retries = None;
                    self.plan.notes.push(Note::normal("StepSucceeded", format!("{step} attempt {number}")));
                }
                Err(failure) => {
                    let line = format!("{step} attempt {number} failed: {}", failure.message);
                    self.plan.notes.push(Note::warning("StepFailed", line));
                }
            }
        }
        match turn.next {
            Next::Done => Ok(()),
            Next::Stopping(line) => Err(Standing::Waiting(TERMINATING.into(), line)),
            Next::UnderWay(attempt) => Err(match attempt.outcome {
                Outcome::Queued => Standing::Waiting("Queued".into(), "held back by its queue".into()),
                Outcome::Waiting(reason, message) => Standing::Waiting(reason, message),
                _ => Standing::Working(step, format!("{step}, attempt {}", attempt.number)),
            }),
            Next::Exhausted(reason, line) => Err(self.spent(step).unwrap_or(Standing::Stalled(reason, line))),
            Next::Later(number, at) => {
                self.plan.look_again_seconds = seconds_between(self.now, at);
                Err(Standing::Waiting("Retrying".into(), format!("attempt {number} of {step} starts at {at}")))
            }
            Next::Start(number) => match self.spent(step) {
                Some(stalled) => Err(stalled),
                None => self.start(step, number),
            },
        }
    }

    fn start(&mut self, step: JobKind, number: i32) -> Result<(), Standing> {
        let is_first = self.plan.status.attempts.is_empty();
        let name = job::name(&self.cache.name_any(), step, number);
        if let Some(Obstacle { reason, message }) =
            self.snapshot.children.obstacle(&name, is_first, &self.snapshot.around)
        {
            return Err(Standing::Waiting(reason, message));
        }
        let job = self.job(step, number);
        let job = job.map_err(|unsupported| Standing::Stalled("Unsupported".into(), unsupported.to_string()))?;
        self.plan.create.push(Child::Job(Box::new(job)));
        if let Some(Obstacle { reason, message }) = self.refused() {
            return Err(Standing::Waiting(reason, message));
        }
        self.plan.notes.push(Note::normal(STEP_STARTED, format!("{step} attempt {number}")));
        self.plan.look_again_seconds = 10;
        Err(Standing::Working(step, format!("{step} attempt {number} is starting")))
    }

    /// Where the cache stands if the newest attempt on record was the last: it failed, and no other has a time.
    fn spent(&self, step: JobKind) -> Option<Standing> {
        let newest = self.plan.status.attempts.iter().find(|known| known.step == step)?;
        if newest.has_succeeded() || newest.class.is_none() || self.plan.status.next_retry_time.is_some() {
            return None;
        }
        let alike = attempts::alike(step, &self.plan.status.attempts, SAME_FAILURE_LIMIT);
        let message = newest.message.clone().unwrap_or_default();
        let line = alike.unwrap_or_else(|| format!("{step}: {message}"));
        Some(Standing::Stalled(newest.reason.clone(), line))
    }

    /// What the API server says of a child; it is asked again with every plan.
    fn refused(&mut self) -> Option<Obstacle> {
        let is_creation = |of: &Obstacle| !of.is_of_deletion();
        let refused = self.snapshot.refused.clone().filter(is_creation);
        if let Some(Obstacle { reason, message }) = &refused {
            self.plan.notes.push(Note::warning(reason, message.clone()));
        }
        refused.or_else(|| Obstacle::on_record(&self.plan.status.conditions).filter(is_creation))
    }

    /// A deletion that the API server refuses, and that is asked for again with this plan.
    fn undeletable(&mut self) -> Option<Obstacle> {
        self.plan.delete.first()?;
        if let Some(refused) = self.snapshot.refused.clone().filter(Obstacle::is_of_deletion) {
            self.plan.notes.push(Note::warning(&refused.reason, refused.message.clone()));
            return Some(refused);
        }
        Obstacle::on_record(&self.plan.status.conditions).filter(Obstacle::is_of_deletion)
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

    fn finish(mut self, standing: Standing) -> Plan<ModelCacheStatus> {
        let generation = self.cache.metadata.generation.unwrap_or_default();
        let blocked = self.undeletable();
        let status = &mut self.plan.status;
        let was_ready = conditions::is_true(&status.conditions, "Ready");
        let done = |step: JobKind| attempts::succeeded(&status.attempts, step).is_some();
        let has_copy = !status.nodes.is_empty();
        let (fetched, prepared) = (done(JobKind::Fetch) || has_copy, done(JobKind::Prepare) || has_copy);
        let (phase, reason, summary, percent) = match &standing {
            Standing::Waiting(reason, message) => ("Pending", reason.clone(), message.clone(), None),
            Standing::Working(JobKind::Fetch, line) => ("Downloading", "Fetching".to_owned(), line.clone(), Some(0)),
            Standing::Working(_, line) => ("Preparing", "Preparing".to_owned(), line.clone(), None),
            Standing::Ready(line) => ("Ready", "Prepared".to_owned(), line.clone(), Some(100)),
            Standing::Evicting(line) => ("Evicting", "Unused".to_owned(), line.clone(), None),
            Standing::Stalled(reason, message) => ("Failed", reason.clone(), message.clone(), None),
        };
        let ready = matches!(standing, Standing::Ready(_));
        let stalled = matches!(standing, Standing::Stalled(..));
        status.observed_generation = Some(generation);
        status.phase = Some(phase.into());
        let running = matches!(standing, Standing::Working(JobKind::Fetch, _));
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
        if let Some(Obstacle { reason, message }) = blocked {
            status.progress = Some(progress(percent, &message, None));
            conditions::say_blocked(&mut status.conditions, &reason, &message);
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
