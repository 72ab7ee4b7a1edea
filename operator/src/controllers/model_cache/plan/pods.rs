//! The pods of a ModelCache: what they mount, what they may use, and which secrets they get.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use kube::{Resource, ResourceExt};
use obelysk_api::crd::model_cache::{AccessMode, HuggingFace};
use obelysk_api::crd::schema::{KeyRef, S3};
use obelysk_api::crd::{ModelCache, ModelPreset};
use obelysk_api::job::{Bucket, Hub, JobKind, ModelLocation, Prepare, Remove, Work};

use super::copies::{folder_on_disks, is_on_disks};
use super::{Planner, claim_name};
use crate::controllers::job::{self, MODEL, Mount, SOURCE};
use crate::controllers::model_cache::LABEL;
use crate::controllers::model_cache::validate::{Origin, Place, origin, validate};
use crate::controllers::proof_job::validate::Unsupported;
use crate::scheduling::placement::{Placement, gpu_toleration, of_architectures};

/// Where a pod finds the model, and the volumes for it.
///
/// # Errors
/// A cache that this version does not act upon, or whose preset does not say where the model comes from.
pub fn mounts(
    cache: &ModelCache,
    preset: Option<&ModelPreset>,
    read_only: bool,
) -> Result<(ModelLocation, Vec<Mount>), Unsupported> {
    let valid = validate(&cache.spec)?;
    let mut mounts = vec![home(cache, read_only)];
    let location = match resolve(&valid.origin, preset) {
        Some(Origin::Bundled(name)) => ModelLocation::Bundled(name),
        Some(Origin::Hub(repository)) => ModelLocation::Hub(hub(&repository, revision_of_copies(cache))),
        Some(Origin::Bucket(S3 { bucket, prefix, endpoint, region, .. })) => {
            ModelLocation::Bucket(Bucket { bucket, prefix: prefix.unwrap_or_default(), endpoint, region })
        }
        Some(Origin::Claim(source)) => {
            let same =
                matches!(&valid.place, Place::Existing(claim) if claim.name == source.name && claim.sub_path.is_none());
            if same {
                // One claim for both is mounted once, read-write.
                ModelLocation::Directory(format!("{MODEL}/{}", source.sub_path.unwrap_or_default()).into())
            } else {
                let (claim, sub_path) = (source.name, source.sub_path);
                mounts.push(Mount { claim, sub_path, path: SOURCE, read_only: true, single_node: false });
                ModelLocation::Directory(SOURCE.into())
            }
        }
        Some(Origin::Preset(_)) | None => {
            let advice = "name a ModelPreset that is there and has a source of its own";
            return Err(Unsupported { field: "spec.source.preset", advice });
        }
    };
    Ok((location, mounts))
}

/// The volume of the folder that holds the model.
#[must_use]
pub fn home(cache: &ModelCache, read_only: bool) -> Mount {
    let storage = &cache.spec.storage;
    let sub_path = match (&storage.existing_claim, &storage.node_local) {
        (Some(claim), _) => claim.sub_path.clone(),
        // Caches of one pool share its disks.
        (None, Some(_)) => Some(folder_on_disks(cache)),
        (None, None) => None,
    };
    let single_node = storage.claim.as_ref().is_some_and(|claim| claim.access_mode == AccessMode::ReadWriteOnce);
    Mount { claim: claim_name(cache), sub_path, path: MODEL, read_only, single_node }
}

/// What pods ask of the model's quality.
#[must_use]
pub fn min_top1_agreement(cache: &ModelCache) -> Option<String> {
    cache.spec.prepare.as_ref()?.quantize.as_ref()?.min_top1_agreement.clone()
}

/// A branch means the same files on every node: further copies are of the revision that the first one found.
fn revision_of_copies(cache: &ModelCache) -> Option<String> {
    let resolved = cache.status.as_ref()?.resolved.as_ref()?;
    resolved.revision.clone().filter(|_| is_on_disks(cache))
}

/// A repository as a job file names it.
fn hub(repository: &HuggingFace, pinned: Option<String>) -> Hub {
    let reference = match pinned.as_ref().or(repository.revision.as_ref()) {
        Some(revision) => format!("{}@{revision}", repository.repo),
        None => repository.repo.clone(),
    };
    let layers = repository.layers.and_then(|layers| u32::try_from(layers).ok());
    Hub { reference, endpoint: repository.endpoint.clone(), layers }
}

/// What a preset stands for.
pub(super) fn resolve(of: &Origin, preset: Option<&ModelPreset>) -> Option<Origin> {
    match of {
        Origin::Preset(_) => preset.and_then(|preset| origin(&preset.spec.source).ok()),
        other => Some(other.clone()),
    }
}

impl Planner<'_> {
    /// The Job of an attempt.
    ///
    /// # Errors
    /// As [`mounts`].
    pub(super) fn job(&self, step: JobKind, number: i32) -> Result<Job, Unsupported> {
        let (mut model, mounts) = match step {
            JobKind::Remove => (self.location_to_remove()?, vec![home(self.cache, false)]),
            _ => mounts(self.cache, self.snapshot.preset.as_ref(), false)?,
        };
        let Some(owner) = self.cache.controller_owner_ref(&()) else {
            return Err(Unsupported { field: "metadata.uid", advice: "objects of an API server have one" });
        };
        if let ModelLocation::Hub(hub) = &mut model {
            let default = Some(self.settings.hub_endpoint.clone()).filter(|endpoint| !endpoint.is_empty());
            hub.endpoint = hub.endpoint.take().or(default);
        }
        let namespace = self.cache.namespace().unwrap_or_default();
        let name = self.cache.name_any();
        let work = match step {
            JobKind::Fetch => Work::Fetch,
            JobKind::Prepare => Work::Prepare(Prepare { min_top1_agreement: min_top1_agreement(self.cache) }),
            _ => Work::Remove(self.what_to_remove()?),
        };
        let spec = job::file(&namespace, &name, number, model, work);
        let nodes = &self.plan.status.nodes;
        let (avoid, only_on) = match step {
            JobKind::Fetch => (nodes.clone(), Vec::new()),
            JobKind::Prepare if is_on_disks(self.cache) => (Vec::new(), self.fetched_on().into_iter().collect()),
            JobKind::Prepare => (Vec::new(), Vec::new()),
            _ => (Vec::new(), nodes.first().cloned().into_iter().collect()),
        };
        // A pod that belongs to one node goes there whatever its labels say by now.
        let node_selector = if only_on.is_empty() { self.node_selector() } else { BTreeMap::new() };
        let of_pool = self.snapshot.pool.as_ref().map(|pool| pool.spec.tolerations.clone());
        let of_placement = self.cache.spec.placement.as_ref().map(|placement| placement.tolerations.clone());
        // Nodes of a pool may be kept for GPUs.
        let of_gpus = self.snapshot.pool.as_ref().map(|_| vec![gpu_toleration()]);
        let attempt = job::Attempt {
            namespace: &namespace,
            owner_name: &name,
            owner,
            owner_label: LABEL,
            step,
            number,
            spec,
            mounts,
            cores: "500m".into(),
            memory: self.memory(step),
            secrets: self.secrets(step),
            placement: Placement {
                terms: of_architectures(&self.settings.image_architectures),
                node_selector,
                avoid,
                only_on,
                tolerations: of_gpus.into_iter().chain(of_pool).chain(of_placement).flatten().collect(),
                ..Placement::default()
            },
            queue: Default::default(),
            overrides: Default::default(),
        };
        Ok(job::build(attempt, self.settings))
    }

    /// Labels of the nodes that will do.
    pub(super) fn node_selector(&self) -> BTreeMap<String, String> {
        let of_pool = self.snapshot.pool.as_ref().map(|pool| pool.spec.node_selector.clone());
        let of_placement = self.cache.spec.placement.as_ref().map(|placement| placement.node_selector.clone());
        of_pool.into_iter().chain(of_placement).flatten().collect()
    }

    /// A folder on the disks of nodes is the cache's own, and what is in it does not matter.
    fn what_to_remove(&self) -> Result<Remove, Unsupported> {
        if is_on_disks(self.cache) {
            return Ok(Remove::Everything);
        }
        let advice = "a model of a shared volume is removed by its revision";
        let revision = self.revision().ok_or(Unsupported { field: "status.resolved.revision", advice })?;
        Ok(Remove::Revision(revision))
    }

    fn location_to_remove(&self) -> Result<ModelLocation, Unsupported> {
        match is_on_disks(self.cache) {
            true => Ok(ModelLocation::Directory(MODEL.into())),
            false => mounts(self.cache, self.snapshot.preset.as_ref(), false).map(|(location, _)| location),
        }
    }

    /// Memory of a pod: fetching streams, preparing commits, removing takes next to nothing.
    fn memory(&self, step: JobKind) -> String {
        const LEAST_MEBIBYTES: i64 = 1024;
        if step == JobKind::Remove {
            return "256Mi".into();
        }
        let bytes = self.plan.status.resolved.as_ref().and_then(|resolved| resolved.bytes).unwrap_or_default();
        job::memory_for_commitment(if step == JobKind::Prepare { bytes } else { 0 }, LEAST_MEBIBYTES)
    }

    /// The token for the hub or the key for the bucket, for the only pod that talks to it.
    fn secrets(&self, step: JobKind) -> Vec<(&'static str, KeyRef)> {
        if step != JobKind::Fetch {
            return Vec::new();
        }
        let origin = validate(&self.cache.spec).ok().map(|valid| valid.origin);
        match origin.and_then(|origin| resolve(&origin, self.snapshot.preset.as_ref())) {
            Some(Origin::Hub(repository)) => {
                repository.token_secret_ref.into_iter().map(|token| ("HF_TOKEN", token)).collect()
            }
            Some(Origin::Bucket(S3 { secret_ref: Some(secret), .. })) => {
                let key = |key: &str| KeyRef { name: secret.name.clone(), key: key.into() };
                vec![("AWS_ACCESS_KEY_ID", key("accessKeyId")), ("AWS_SECRET_ACCESS_KEY", key("secretAccessKey"))]
            }
            _ => Vec::new(),
        }
    }
}
