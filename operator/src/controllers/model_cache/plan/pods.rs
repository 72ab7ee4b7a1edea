//! The pods of a ModelCache: what they mount, what they may use, and which secrets they get.

use k8s_openapi::api::batch::v1::Job;
use kube::{Resource, ResourceExt};
use obelysk_api::crd::model_cache::{AccessMode, HuggingFace};
use obelysk_api::crd::schema::{KeyRef, S3};
use obelysk_api::crd::{ModelCache, ModelPreset};
use obelysk_api::job::{Bucket, Hub, JOB_VERSION, JobSpec, ModelLocation, Work};

use super::{Planner, claim_name};
use crate::controllers::job::{self, MODEL, Mount, SOURCE, TERMINATION_MESSAGE};
use crate::controllers::model_cache::validate::{Origin, Place, origin, validate};
use crate::controllers::model_cache::{FETCH, LABEL, PREPARE};

/// Where a pod finds the model, and the volumes for it.
///
/// # Panics
/// If the cache is not valid: only pods of valid caches are built.
#[must_use]
pub fn mounts(cache: &ModelCache, preset: Option<&ModelPreset>, read_only: bool) -> (ModelLocation, Vec<Mount>) {
    let valid = validate(&cache.spec).expect("pods belong to valid caches");
    let (sub_path, single_node) = match &valid.place {
        Place::Existing(claim) => (claim.sub_path.clone(), false),
        Place::New(claim) => (None, claim.access_mode == AccessMode::ReadWriteOnce),
    };
    let mut mounts = vec![Mount { claim: claim_name(cache), sub_path, path: MODEL, read_only, single_node }];
    let location = match resolve(&valid.origin, preset) {
        Some(Origin::Bundled(name)) => ModelLocation::Bundled(name),
        Some(Origin::Hub(repository)) => ModelLocation::Hub(hub(&repository)),
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
        Some(Origin::Preset(_)) | None => unreachable!("a ready preset names a source"),
    };
    (location, mounts)
}

/// A repository as a job file names it.
fn hub(repository: &HuggingFace) -> Hub {
    let reference = match &repository.revision {
        Some(revision) => format!("{}@{revision}", repository.repo),
        None => repository.repo.clone(),
    };
    let layers = repository.layers.and_then(|layers| u32::try_from(layers).ok());
    Hub { reference, endpoint: repository.endpoint.clone(), layers }
}

/// What a preset stands for.
fn resolve(of: &Origin, preset: Option<&ModelPreset>) -> Option<Origin> {
    match of {
        Origin::Preset(_) => preset.and_then(|preset| origin(&preset.spec.source).ok()),
        other => Some(other.clone()),
    }
}

impl Planner<'_> {
    /// The Job of an attempt.
    pub(super) fn job(&self, step: &'static str, number: i32) -> Job {
        let (mut model, mounts) = mounts(self.cache, self.snapshot.preset.as_ref(), false);
        if let ModelLocation::Hub(hub) = &mut model {
            let default = Some(self.settings.hub_endpoint.clone()).filter(|endpoint| !endpoint.is_empty());
            hub.endpoint = hub.endpoint.take().or(default);
        }
        let namespace = self.cache.namespace().unwrap_or_default();
        let name = self.cache.name_any();
        let spec = JobSpec {
            version: JOB_VERSION,
            owner: format!("{namespace}/{name}"),
            attempt: u32::try_from(number).unwrap_or(1),
            home: MODEL.into(),
            model,
            artifacts: None,
            termination_message: TERMINATION_MESSAGE.into(),
            progress_address: Some(format!("0.0.0.0:{}", job::PROGRESS_PORT)),
            no_progress_timeout_seconds: 1800,
            work: if step == FETCH { Work::Fetch } else { Work::Prepare },
        };
        let placement = self.cache.spec.placement.clone().unwrap_or_default();
        let pool = self.snapshot.pool.as_ref().map(|pool| pool.spec.clone()).unwrap_or_default();
        let attempt = job::Attempt {
            namespace: &namespace,
            owner_name: &name,
            owner: self.cache.controller_owner_ref(&()).expect("a ModelCache from the server has a uid"),
            owner_label: LABEL,
            step,
            number,
            spec,
            mounts,
            cores: "500m".into(),
            memory: self.memory(step),
            secrets: self.secrets(step),
            gpus: None,
            avoid: Vec::new(),
            node_selector: pool.node_selector.into_iter().chain(placement.node_selector).collect(),
            overrides: Default::default(),
            tolerations: pool.tolerations.into_iter().chain(placement.tolerations).collect(),
        };
        job::build(attempt, self.settings)
    }

    /// Memory of a pod: fetching streams, preparing commits.
    fn memory(&self, step: &str) -> String {
        const LEAST_MEBIBYTES: i64 = 1024;
        let bytes = self.plan.status.resolved.as_ref().and_then(|resolved| resolved.bytes).unwrap_or_default();
        job::memory_for_commitment(if step == PREPARE { bytes } else { 0 }, LEAST_MEBIBYTES)
    }

    /// The token for the hub or the key for the bucket, for the only pod that talks to it.
    fn secrets(&self, step: &str) -> Vec<(&'static str, KeyRef)> {
        if step != FETCH {
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
