//! Copies of a model on the disks of nodes, made one after the other. A round is a fetch and a prepare on one node that has
//! no copy yet; when it is done, `status.nodes` has its node, and its Jobs go. The status is written before Jobs are
//! deleted, so a Job whose node is in the list is of a round that has ended.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    LocalVolumeSource, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, ObjectReference, PersistentVolume,
    PersistentVolumeClaim, PersistentVolumeSpec, VolumeNodeAffinity,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use obelysk_api::crd::model_cache::{NodeLocal, Resolved};
use obelysk_api::crd::{ModelCache, PREFIX, ProverPoolSpec};
use obelysk_api::exit::FaultClass;
use obelysk_api::job::JobKind;

use super::{Planner, Standing, claim_name};
use crate::controllers::attempt::{Attempt, Outcome, judge};
use crate::controllers::attempts;
use crate::controllers::children::TERMINATING;
use crate::controllers::job::{self, HOSTNAME};
use crate::controllers::model_cache::LABEL;
use crate::controllers::plan::{Child, Doomed, DoomedKind};
use crate::controllers::{Note, clip};

/// The only mode that local volumes have. Nobody enforces it between nodes: a local volume is never attached to one.
const ACCESS_MODE: &str = "ReadWriteOnce";
/// Reason of a fetch that found another revision than the copies are of.
const SOURCE_CHANGED: &str = "SourceChanged";
/// Most nodes that the status lists.
const NODES: usize = 1000;

/// Name of the volume of a cache on the disks of nodes.
#[must_use]
pub fn volume_name(cache: &ModelCache) -> String {
    format!("obelysk-{}", cache.uid().unwrap_or_default())
}

/// Whether a cache keeps its model on the disks of nodes.
pub(super) fn is_on_disks(cache: &ModelCache) -> bool {
    cache.spec.storage.node_local.is_some()
}

/// The folder of a cache on a disk that the caches of a pool share.
pub(super) fn folder_on_disks(cache: &ModelCache) -> String {
    format!("{}/{}", cache.namespace().unwrap_or_default(), cache.name_any())
}

impl Planner<'_> {
    /// One volume stands for the folder of that name on every node of the pool.
    pub(super) fn reserve_disks(&mut self) -> Option<Standing> {
        let waiting = |reason: &str, message: String| Some(Standing::Waiting(reason.into(), message));
        let name = volume_name(self.cache);
        if let Some(volume) = &self.snapshot.volume {
            // Its claim was deleted by hand. A volume is bound once.
            let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
            if volume.metadata.deletion_timestamp.is_none() && phase != Some("Released") {
                return None;
            }
            self.plan.delete.push(Doomed::new(DoomedKind::Volume, volume));
            return waiting(TERMINATING, format!("volume {name} is being deleted"));
        }
        let pool = self.snapshot.pool.as_ref()?;
        let Some(path) = &pool.spec.cache_root else {
            let pool = pool.name_any();
            let line = format!("ProverPool {pool} has no cacheRoot: make a folder on its nodes and name it there");
            return waiting("PoolWithoutCacheRoot", line);
        };
        let volume = self.new_volume(&pool.spec, path);
        self.plan.create.push(Child::Volume(Box::new(volume)));
        None
    }

    fn new_volume(&self, pool: &ProverPoolSpec, path: &str) -> PersistentVolume {
        let requirement = |key: &str, operator: &str, values: Option<Vec<String>>| NodeSelectorRequirement {
            key: key.into(),
            operator: operator.into(),
            values,
        };
        let of_pool = pool.node_selector.iter().map(|(key, value)| requirement(key, "In", Some(vec![value.clone()])));
        let mut expressions: Vec<NodeSelectorRequirement> = of_pool.collect();
        if expressions.is_empty() {
            expressions.push(requirement(HOSTNAME, "Exists", None));
        }
        let mut labels = job::labels(LABEL, &self.cache.name_any());
        labels.extend(self.cache.namespace().map(|namespace| (format!("{PREFIX}namespace"), namespace)));
        PersistentVolume {
            metadata: ObjectMeta { name: Some(volume_name(self.cache)), labels: Some(labels), ..ObjectMeta::default() },
            spec: Some(PersistentVolumeSpec {
                access_modes: Some(vec![ACCESS_MODE.into()]),
                capacity: Some([("storage".to_owned(), Quantity(self.settings.model_size.clone()))].into()),
                claim_ref: Some(ObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("PersistentVolumeClaim".into()),
                    name: Some(claim_name(self.cache)),
                    namespace: self.cache.namespace(),
                    ..ObjectReference::default()
                }),
                local: Some(LocalVolumeSource { path: path.into(), fs_type: None }),
                node_affinity: Some(VolumeNodeAffinity {
                    required: Some(NodeSelector {
                        node_selector_terms: vec![NodeSelectorTerm {
                            match_expressions: Some(expressions),
                            match_fields: None,
                        }],
                    }),
                }),
                persistent_volume_reclaim_policy: Some("Retain".into()),
                storage_class_name: Some(String::new()),
                ..PersistentVolumeSpec::default()
            }),
            status: None,
        }
    }

    /// The claim of the volume. Its size means nothing: the files share a disk with others.
    pub(super) fn claim_on_disks(&self) -> PersistentVolumeClaim {
        let mut claim = self.new_claim(ACCESS_MODE, Some(String::new()), &self.settings.model_size);
        if let Some(spec) = &mut claim.spec {
            spec.volume_name = Some(volume_name(self.cache));
        }
        claim
    }

    /// Bring copies to as many nodes as are asked for. One is enough for the cache to be ready.
    pub(super) fn copies(&mut self, local: &NodeLocal) -> Standing {
        let selector = self.node_selector();
        let nodes = &self.snapshot.around.nodes;
        let is_of_pool =
            |labels: &BTreeMap<String, String>| selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        let of_pool = nodes.values().filter(|node| is_of_pool(node.labels())).count();
        let replicas = local.replicas.and_then(|replicas| usize::try_from(replicas).ok()).unwrap_or(1);
        let wanted = replicas.min(of_pool).max(1);
        self.forget_lost_copies();
        let standing = if self.end_earlier_round() {
            self.plan.look_again_seconds = 2;
            Standing::Waiting(TERMINATING.into(), "Jobs of an earlier copy are being deleted".into())
        } else if let Some(changed) = self.plan.status.attempts.iter().find(|a| a.reason == SOURCE_CHANGED) {
            let line = changed.message.clone().unwrap_or_default();
            self.plan.delete = self.snapshot.children.doomed();
            Standing::Stalled(SOURCE_CHANGED.into(), line)
        } else if self.plan.status.nodes.len() >= wanted {
            Standing::Ready(String::new())
        } else {
            let known = self.plan.status.resolved.clone();
            match self
                .run(JobKind::Fetch)
                .and_then(|()| self.require_same(known))
                .and_then(|()| self.run(JobKind::Prepare))
            {
                Err(standing) => standing,
                Ok(()) => self.end_round(),
            }
        };
        let copies = self.plan.status.nodes.len();
        let summary = format!("ready on {copies} of {} nodes", wanted.max(copies));
        match standing {
            standing if copies == 0 => standing,
            Standing::Waiting(_, line) | Standing::Working(_, line) => {
                Standing::Ready(clip(&format!("{summary}; a further copy: {line}"), 256))
            }
            Standing::Stalled(_, line) => Standing::Ready(clip(&format!("{summary}; no further copy: {line}"), 256)),
            Standing::Ready(_) | Standing::Evicting(_) => Standing::Ready(summary),
        }
    }

    /// Copies are of one revision, or proofs on one node would be of another model than on the next. What a bucket or a
    /// volume holds may have changed since the first copy.
    fn require_same(&mut self, known: Option<Resolved>) -> Result<(), Standing> {
        let Some(before) = known.as_ref().and_then(|known| known.revision.clone()) else { return Ok(()) };
        let now = self.revision().unwrap_or_default();
        if self.plan.status.nodes.is_empty() || now == before {
            return Ok(());
        }
        self.plan.status.resolved = known;
        let line =
            format!("the source is now revision {now}, its copies are of {before}: make a new ModelCache for it");
        if let Some(fetch) = self.plan.status.attempts.iter_mut().find(|a| a.step == JobKind::Fetch) {
            fetch.class = Some(FaultClass::User.name().into());
            fetch.reason = SOURCE_CHANGED.into();
            fetch.message = Some(line.clone());
        }
        self.plan.notes.push(Note::warning(SOURCE_CHANGED, line.clone()));
        Err(Standing::Stalled(SOURCE_CHANGED.into(), line))
    }

    /// A copy goes with its node.
    fn forget_lost_copies(&mut self) {
        let around = &self.snapshot.around;
        let known: BTreeSet<String> = around.nodes.keys().map(|name| around.hostname(name)).collect();
        let nodes = std::mem::take(&mut self.plan.status.nodes);
        let (kept, lost): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|node| known.contains(node));
        self.plan.status.nodes = kept;
        for node in lost {
            let line = format!("node {node} is gone, and the copy on it");
            self.plan.notes.push(Note::warning("CopyLost", line));
        }
    }

    /// Whether something of an earlier round is there. Nothing of the next one begins before it is gone.
    fn end_earlier_round(&mut self) -> bool {
        let around = &self.snapshot.around;
        let is_stale = |attempt: &Attempt| {
            let Some(node) = &attempt.node_name else { return false };
            // What is on a node that is gone counts for nothing.
            let is_lost = matches!(attempt.outcome, Outcome::Succeeded(_)) && !around.nodes.contains_key(node);
            is_lost || self.plan.status.nodes.contains(&around.hostname(node))
        };
        let children = &self.snapshot.children;
        let is_stale = |job: &Job| judge(job, children.pods_of(job), around).as_ref().is_some_and(is_stale);
        let fetched = attempts::succeeded(&self.plan.status.attempts, JobKind::Fetch);
        let fetched_on = fetched.and_then(|fetched| fetched.node_name.as_ref());
        let is_lost = fetched_on.is_some_and(|node| !around.nodes.contains_key(node));
        // Without a copy there is nothing that a further one could differ from.
        let is_first = self.plan.status.nodes.is_empty();
        let differs = self.plan.status.attempts.iter().any(|attempt| attempt.reason == SOURCE_CHANGED);
        if is_lost || is_first && differs || children.jobs().iter().any(is_stale) {
            // Those that show that the round is over go last.
            let mut jobs: Vec<_> = children.jobs().iter().collect();
            jobs.sort_by_key(|job| is_stale(job));
            self.plan.delete = jobs.into_iter().map(Doomed::job).collect();
            self.forget_attempts();
            return true;
        }
        // Jobs of the next round have the same names, and write to the same folder.
        children.jobs().is_empty() && children.has_pods_left()
    }

    /// The node has a copy.
    fn end_round(&mut self) -> Standing {
        if let Some(node) = self.fetched_on() {
            self.plan.notes.push(Note::normal("CopyReady", format!("node {node} has a copy of the model")));
            self.add_node(node);
        }
        self.forget_attempts();
        self.plan.delete = self.snapshot.children.doomed();
        self.plan.look_again_seconds = 2;
        Standing::Ready(String::new())
    }

    fn forget_attempts(&mut self) {
        self.plan.status.attempts.clear();
        self.plan.status.next_retry_time = None;
        self.plan.status.retries = None;
    }

    /// The node of this round's download.
    pub(super) fn fetched_on(&self) -> Option<String> {
        let fetched = attempts::succeeded(&self.plan.status.attempts, JobKind::Fetch)?;
        Some(self.snapshot.around.hostname(fetched.node_name.as_ref()?))
    }

    /// Nodes that an unfinished round has left files on count as copies from now on: they are removed like them.
    pub(super) fn count_unfinished_copies(&mut self) {
        let of_attempts =
            self.plan.status.attempts.iter().filter(|a| [JobKind::Fetch, JobKind::Prepare].contains(&a.step));
        let of_jobs = self.snapshot.children.attempts(&self.snapshot.around).into_iter();
        let of_jobs = of_jobs.filter(|attempt| [JobKind::Fetch, JobKind::Prepare].contains(&attempt.kind));
        let nodes = of_attempts.filter_map(|a| a.node_name.clone()).chain(of_jobs.filter_map(|of| of.node_name));
        for node in nodes.collect::<Vec<_>>() {
            self.add_node(self.snapshot.around.hostname(&node));
        }
        self.plan.status.attempts.retain(|attempt| ![JobKind::Fetch, JobKind::Prepare].contains(&attempt.step));
    }

    fn add_node(&mut self, node: String) {
        let nodes = &mut self.plan.status.nodes;
        if nodes.len() < NODES && !nodes.contains(&node) {
            nodes.push(node);
        }
    }
}
