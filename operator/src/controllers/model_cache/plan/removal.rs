//! The end of a ModelCache: its readers end, its Jobs go, and then what it leaves behind is removed. A removal that fails
//! is given up with a warning: no deletion waits for ever.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use obelysk_api::crd::{ModelCache, ModelCacheStatus};
use obelysk_api::exit::FaultClass;
use obelysk_api::job::JobKind;

use super::copies::{folder_on_disks, is_on_disks};
use super::pods::{home, resolve};
use super::{Planner, Standing, claim_name, progress, volume_name};
use crate::controllers::attempt::{Attempt, Failure, Outcome, STEP, is_ready};
use crate::controllers::attempts;
use crate::controllers::children::{NAME_CONFLICT, TERMINATING};
use crate::controllers::job;
use crate::controllers::model_cache::has_finalizer;
use crate::controllers::model_cache::validate::{Origin, Place, validate};
use crate::controllers::plan::{Child, Doomed, DoomedKind, Plan};

use crate::controllers::{Note, seconds_between};

/// Attempts to remove a model from one place.
const ATTEMPTS: usize = 3;
/// A pod that has not started after this long counts as a failed attempt.
const START_SECONDS: i64 = 300;

/// Phase of a cache whose files are on their way out.
const REMOVING: &str = "Removing";

/// How a removal from one place stands.
enum Removal {
    UnderWay,
    Done,
    GivenUp(String),
}

impl Planner<'_> {
    /// The cache is being deleted.
    pub(super) fn let_go(mut self) -> Plan<ModelCacheStatus> {
        self.plan.finalizer = true;
        if self.snapshot.readers > 0 {
            self.plan.look_again_seconds = 10;
            let readers = self.snapshot.readers;
            return self.wait(&format!("being deleted; {readers} ProofJobs still read it"));
        }
        self.plan.look_again_seconds = 2;
        let Ok(valid) = validate(&self.cache.spec) else {
            self.plan.finalizer = false;
            return self.plan;
        };
        let claim_goes = match &valid.place {
            Place::New(_) => valid.delete_model,
            Place::Existing(_) => false,
            Place::Nodes(_) => true,
        };
        if claim_goes {
            self.plan.delete.extend(self.snapshot.holders.clone());
        }
        if self.other_jobs_are_left() {
            return self.plan;
        }
        let removed = match &valid.place {
            Place::Existing(_) if valid.delete_model => self.remove_from_claim(&valid.origin),
            Place::Nodes(_) if valid.delete_model => self.remove_from_nodes(),
            _ => Ok(()),
        };
        if let Err(summary) = removed {
            return self.wait(&format!("being deleted; {summary}"));
        }
        let is_there = |claim: &PersistentVolumeClaim| claim.metadata.deletion_timestamp.is_none() && self.made(claim);
        let claim = self.snapshot.claim.as_ref().filter(|claim| is_there(claim));
        if let Some(claim) = claim.filter(|_| claim_goes) {
            self.plan.delete.push(Doomed::new(DoomedKind::Claim, claim));
        }
        if matches!(valid.place, Place::Nodes(_)) {
            self.delete_volume();
        }
        self.plan.finalizer = false;
        self.plan
    }

    fn wait(mut self, summary: &str) -> Plan<ModelCacheStatus> {
        self.plan.status.progress = Some(progress(None, summary, None));
        self.plan
    }

    /// Jobs that fetch and prepare are deleted, and their pods waited for.
    fn other_jobs_are_left(&mut self) -> bool {
        let removes = |job: &&_| ResourceExt::labels(*job).get(STEP).is_some_and(|step| step == JobKind::Remove.name());
        let (removals, others): (Vec<_>, Vec<_>) = self.snapshot.children.jobs().iter().partition(removes);
        if is_on_disks(self.cache) {
            self.count_unfinished_copies();
        }
        self.plan.delete.extend(others.iter().map(|job| Doomed::job(job)));
        !others.is_empty() || removals.is_empty() && self.snapshot.children.has_pods_left()
    }

    /// Remove the files from a claim that others may use too. `Err` is what is waited for.
    fn remove_from_claim(&mut self, origin: &Origin) -> Result<(), String> {
        let claim = claim_name(self.cache);
        let left =
            |why: &str| Note::warning("FilesLeft", format!("what claim {claim} holds of the model stays: {why}"));
        if self.snapshot.claim.as_ref().is_none_or(|claim| claim.metadata.deletion_timestamp.is_some()) {
            return Ok(());
        }
        let Some(revision) = self.revision() else {
            if !self.plan.status.attempts.is_empty() {
                self.plan.notes.push(left("it was never fetched as a whole"));
            }
            return Ok(());
        };
        // Whoever comes later waits for the end of a removal that has begun.
        if !is_removing(self.cache) {
            let rank =
                |cache: &ModelCache| (cache.metadata.deletion_timestamp.as_ref().map(|time| time.0), cache.uid());
            let is_before = |other: &&ModelCache| is_going(other) && rank(other) < rank(self.cache);
            let (before, after): (Vec<_>, Vec<_>) = self.sharers().into_iter().partition(is_before);
            if !after.is_empty() {
                let line = format!("revision {revision} stays on claim {claim}: also held by {}", names(&after));
                self.plan.notes.push(Note::normal("SharedModelKept", line));
                return Ok(());
            }
            // Of several that are being deleted the last one removes, when nobody reads for the others any more.
            if !before.is_empty() {
                return Err(format!("waits for {}, which holds the same model", names(&before)));
            }
        }
        if resolve(origin, self.snapshot.preset.as_ref()).is_none() {
            self.plan.notes.push(left("its ModelPreset is gone, which said where it came from"));
            return Ok(());
        }
        match self.remove(None) {
            Removal::UnderWay => return Err("the model's files are being removed".into()),
            Removal::Done => {
                let line = format!("revision {revision} is removed from claim {claim}");
                self.plan.notes.push(Note::normal("ModelRemoved", line));
            }
            Removal::GivenUp(why) => self.plan.notes.push(left(&why)),
        }
        Ok(())
    }

    /// Remove the copies, one after the other; `status.nodes` says what is left to do. `Err` is what is waited for.
    fn remove_from_nodes(&mut self) -> Result<(), String> {
        let is_there = self.snapshot.claim.as_ref().is_some_and(|claim| claim.metadata.deletion_timestamp.is_none());
        while let Some(node) = self.plan.status.nodes.first().cloned() {
            let folder = folder_on_disks(self.cache);
            let left = |why: &str| {
                let line = format!("the copy on node {node} stays in {folder} of the pool's cacheRoot: {why}");
                Note::warning("FilesLeft", line)
            };
            let problem = match self.snapshot.around.node_of(&node) {
                None => Some("the node is gone"),
                found if !is_ready(found) => Some("the node does not report"),
                _ if !is_there => Some("the claim is gone"),
                _ => None,
            };
            let note = match problem {
                Some(problem) => {
                    self.plan.delete = self.snapshot.children.doomed();
                    left(problem)
                }
                None => match self.remove(Some(&node)) {
                    Removal::UnderWay => return Err(format!("the copy on node {node} is being removed")),
                    Removal::Done => Note::normal("ModelRemoved", format!("the copy on node {node} is removed")),
                    Removal::GivenUp(why) => left(&why),
                },
            };
            self.plan.notes.push(note);
            self.plan.status.nodes.remove(0);
        }
        Ok(())
    }

    /// Bring a removal from one place to its end.
    fn remove(&mut self, node: Option<&str>) -> Removal {
        self.plan.status.phase = Some(REMOVING.into());
        let attempts = self.snapshot.children.attempts(&self.snapshot.around);
        for mut attempt in attempts.iter().cloned() {
            let around = &self.snapshot.around;
            let is_elsewhere =
                attempt.node_name.as_ref().is_some_and(|of| node.is_some_and(|node| around.hostname(of) != node));
            if is_elsewhere || attempts::is_recorded(&self.plan.status.attempts, &attempt) {
                self.plan.delete.push(attempt.doomed());
                continue;
            }
            // A pod that never started has no node of its own.
            attempt.node_name = node.map(str::to_owned).or(attempt.node_name);
            let failure = match attempt.outcome.clone() {
                Outcome::Succeeded(_) => None,
                Outcome::Failed(failure) => Some(failure),
                Outcome::Queued => match self.has_waited(&attempt, "held back by its queue") {
                    Some(failure) => Some(failure),
                    None => return Removal::UnderWay,
                },
                Outcome::Waiting(_, message) => match self.has_waited(&attempt, &message) {
                    Some(failure) => Some(failure),
                    None => return Removal::UnderWay,
                },
                Outcome::Running | Outcome::Terminating => return Removal::UnderWay,
            };
            attempts::record(&mut self.plan.status.attempts, &attempt, failure.as_ref(), self.now);
            self.plan.delete.push(attempt.doomed());
            if failure.is_none() {
                return Removal::Done;
            }
        }
        let of_removals = self.plan.status.attempts.iter().filter(|attempt| attempt.step == JobKind::Remove);
        let next = of_removals.clone().map(|attempt| attempt.number).max().unwrap_or(0).saturating_add(1);
        let is_of_node = |name: Option<&str>| node.is_none() || name == node;
        let failed = of_removals.filter(|a| !a.has_succeeded() && is_of_node(a.node_name.as_deref()));
        let failures: Vec<_> = failed.collect();
        if failures.len() >= ATTEMPTS {
            let message = failures[0].message.as_deref().unwrap_or(&failures[0].reason);
            return Removal::GivenUp(format!("{ATTEMPTS} attempts failed, the last with: {message}"));
        }
        // Each attempt begins when the one before is gone.
        if attempts.is_empty() {
            let name = job::name(&self.cache.name_any(), JobKind::Remove, next);
            match self.snapshot.children.obstacle(&name, false, &self.snapshot.around) {
                // Nobody says when somebody else's Job will go.
                Some(conflict) if conflict.reason == NAME_CONFLICT => return Removal::GivenUp(conflict.message),
                Some(_) => return Removal::UnderWay,
                None => {}
            }
            match self.job(JobKind::Remove, next) {
                Ok(job) => self.plan.create.push(Child::Job(Box::new(job))),
                Err(unsupported) => return Removal::GivenUp(unsupported.to_string()),
            }
        }
        Removal::UnderWay
    }

    /// A failure, if a pod has waited for too long.
    fn has_waited(&self, attempt: &Attempt, message: &str) -> Option<Failure> {
        let waited = seconds_between(attempt.started_at?, self.now);
        let line = || format!("the pod has not started within {START_SECONDS} s: {message}");
        (waited >= START_SECONDS).then(|| Failure::new(Some(FaultClass::Infra), "NotStarted", line()))
    }

    /// The revision that the cache holds.
    pub(super) fn revision(&self) -> Option<String> {
        self.plan.status.resolved.as_ref()?.revision.clone()
    }

    /// ModelCaches that hold the same model in the same folder, or will when they have fetched it.
    fn sharers(&self) -> Vec<&ModelCache> {
        let folder = |cache: &ModelCache| {
            let mount = home(cache, true);
            (mount.claim, mount.sub_path.unwrap_or_default().trim_matches('/').to_owned())
        };
        let revision_of = |cache: &ModelCache| cache.status.as_ref()?.resolved.as_ref()?.revision.clone();
        let revision = self.revision();
        let is_same = |other: &&ModelCache| {
            let same_revision = revision.is_some() && revision_of(other) == revision;
            // One without our finalizer keeps nothing any more.
            let holds = other.metadata.deletion_timestamp.is_none() || is_going(other);
            holds
                && other.uid() != self.cache.uid()
                && folder(other) == folder(self.cache)
                && (same_revision || other.spec.source == self.cache.spec.source)
        };
        self.snapshot.others.iter().filter(is_same).collect()
    }

    /// Nothing is fetched while another cache takes the same files away.
    pub(super) fn wait_for_removal(&self) -> Option<Standing> {
        if attempts::succeeded(&self.plan.status.attempts, JobKind::Fetch).is_some() {
            return None;
        }
        let other = self.sharers().into_iter().find(|other| is_going(other) && is_removing(other))?;
        let line = format!("ModelCache {} is being deleted, and this model's files with it", other.name_any());
        Some(Standing::Waiting(TERMINATING.into(), line))
    }

    /// The volume is of no use without its claim; both wait for the last pod.
    fn delete_volume(&mut self) {
        let name = volume_name(self.cache);
        if self.settings.node_local {
            let volume = self.snapshot.volume.as_ref();
            self.plan.delete.extend(volume.map(|volume| Doomed::new(DoomedKind::Volume, volume)));
        } else if self.snapshot.claim.is_some() {
            let line = format!("volume {name} stays: nodeLocal is switched off; delete it by hand");
            self.plan.notes.push(Note::warning("VolumeLeft", line));
        }
    }
}

/// Whether a cache is being deleted, and not done with it.
fn is_going(cache: &ModelCache) -> bool {
    cache.metadata.deletion_timestamp.is_some() && has_finalizer(cache)
}

fn is_removing(cache: &ModelCache) -> bool {
    cache.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some(REMOVING))
}

fn names(caches: &[&ModelCache]) -> String {
    caches.iter().map(|cache| cache.name_any()).collect::<Vec<_>>().join(", ")
}
