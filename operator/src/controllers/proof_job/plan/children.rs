//! The children of a job: Jobs, their claims of devices, the claim for artifacts.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements};
use k8s_openapi::api::resource::v1::ResourceClaimTemplate;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};
use obelysk_api::crd::ModelCache;
use obelysk_api::job::{Finish, JobKind, Prove, Question, Work};

use super::super::LABEL;
use super::super::memory::memory_for;
use super::super::report::Standing;
use super::super::validate::Valid;
use super::Planner;
use crate::controllers::job::{self, ARTIFACTS, Mount};
use crate::controllers::model_cache::plan::{min_top1_agreement, mounts};
use crate::scheduling::placement::Placement;

impl Planner<'_> {
    /// The Job of an attempt, and the template of its claim if it has one.
    pub(super) fn job(
        &self,
        step: JobKind,
        number: i32,
        valid: &Valid,
        cache: &ModelCache,
        placement: Placement,
        artifacts: String,
    ) -> Result<(Option<ResourceClaimTemplate>, Job), Standing> {
        let waiting = |reason: &str, line: String| Standing::Waiting(reason.into(), line);
        let Some(owner) = self.proof_job.controller_owner_ref(&()) else {
            return Err(waiting("Unidentified", "the object has no uid: it does not come from an API server".into()));
        };
        let (location, mut mounts) = mounts(cache, self.snapshot.preset.as_ref(), true).map_err(|unsupported| {
            waiting("ModelCacheFailed", format!("ModelCache {}: {unsupported}", cache.name_any()))
        })?;
        mounts.push(Mount { claim: artifacts, sub_path: None, path: ARTIFACTS, read_only: false, single_node: false });
        let digest = self.plan.status.model.as_ref().and_then(|model| model.model_digest.clone()).unwrap_or_default();
        let question = Question {
            model_digest: digest,
            inputs: valid.inputs.clone(),
            chat: valid.chat,
            day: self.day(),
            max_new_tokens: valid.max_new_tokens,
            count: valid.count,
            mode: "gkr".into(),
            nonce: self.nonce(),
        };
        let work = match step {
            JobKind::Prove => Work::Prove(Prove {
                question,
                min_top1_agreement: min_top1_agreement(cache),
                gpu: valid.hardware.gpu_use(),
                gpus: 1,
            }),
            _ => Work::Finish(Finish { question, audit: valid.audit }),
        };
        let mut spec = job::file(&self.namespace(), &self.name(), number, location, work);
        spec.artifacts = Some(format!("{ARTIFACTS}/{}", self.folder()).into());
        if let Ok(seconds) = u64::try_from(self.proof_job.spec.no_progress_timeout_seconds) {
            spec.no_progress_timeout_seconds = seconds;
        }
        let attempt = job::Attempt {
            namespace: &self.namespace(),
            owner_name: &self.name(),
            owner,
            owner_label: LABEL,
            step,
            number,
            spec,
            mounts,
            cores: valid.cores.clone(),
            memory: valid.memory.clone().unwrap_or_else(|| memory_for(step, cache, valid)),
            secrets: Vec::new(),
            placement,
            queue: valid.queue.clone(),
            overrides: valid.overrides.clone(),
        };
        Ok((job::claim_template(&attempt), job::build(attempt, self.settings)))
    }

    /// The day on which the job was made, for templates: the same for every attempt.
    pub(super) fn day(&self) -> String {
        let made = self.proof_job.metadata.creation_timestamp.as_ref().map_or(self.now, |time| time.0);
        made.strftime("%F").to_string()
    }

    /// The job's folder on the artifacts volume: several jobs may share a claim.
    pub(super) fn folder(&self) -> String {
        let uid = self.proof_job.uid().unwrap_or_default();
        format!("{}-{}", self.name(), uid.split('-').next().unwrap_or_default())
    }

    pub(super) fn folder_uri(&self) -> String {
        let claim =
            self.proof_job.spec.artifacts.as_ref().and_then(|a| a.claim.as_ref()).map(|claim| claim.name.clone());
        let claim = claim.unwrap_or_else(|| format!("{}-artifacts", self.name()));
        format!("pvc://{}/{claim}/{}", self.namespace(), self.folder())
    }

    /// The uid as a nonce: the same for every attempt, so that finished work is found again.
    pub(super) fn nonce(&self) -> String {
        let uid = self.proof_job.uid().unwrap_or_default().replace('-', "");
        format!("{uid:0<64}").to_ascii_lowercase()
    }

    pub(super) fn artifacts_claim(&self) -> PersistentVolumeClaim {
        let artifacts = self.proof_job.spec.artifacts.clone().unwrap_or_default();
        let size = artifacts.size.unwrap_or_else(|| self.settings.artifacts_size.clone());
        PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(format!("{}-artifacts", self.name())),
                namespace: Some(self.namespace()),
                labels: Some(job::labels(LABEL, &self.name())),
                owner_references: self.proof_job.controller_owner_ref(&()).map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: Some(vec!["ReadWriteOnce".into()]),
                storage_class_name: artifacts.storage_class_name.or_else(|| self.settings.storage_class()),
                resources: Some(VolumeResourceRequirements {
                    requests: Some([("storage".to_owned(), Quantity(size))].into()),
                    limits: None,
                }),
                ..PersistentVolumeClaimSpec::default()
            }),
            status: None,
        }
    }
}
