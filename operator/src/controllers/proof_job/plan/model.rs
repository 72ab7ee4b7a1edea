//! The model that a job waits for.

use kube::ResourceExt;
use obelysk_api::crd::ModelCache;
use obelysk_api::crd::model_cache::{AccessMode, ModelCacheSpec, NewClaim, Source, Storage};
use obelysk_api::crd::proof_job_status::{StepName, StepState};
use obelysk_api::crd::schema::NameRef;
use serde_json::json;

use super::super::report::{Standing, move_step};
use super::super::validate::{ModelSource, Valid};
use super::Planner;
use crate::controllers::children::NAME_CONFLICT;
use crate::controllers::conditions;
use crate::controllers::plan::Child;

impl Planner<'_> {
    /// Where the job stands until its ModelCache is ready; the cache of a preset or a repository is created.
    pub(super) fn wait_for_model(&mut self, valid: &Valid) -> Option<Standing> {
        let waiting = |reason: &str, message: String| Some(Standing::Waiting(reason.into(), message));
        let name = valid.model.cache_name();
        let asked = match &valid.model {
            ModelSource::Cache(_) => None,
            ModelSource::Preset(preset) => {
                Some(Source { preset: Some(NameRef { name: preset.clone() }), ..Source::default() })
            }
            ModelSource::Hub(repository) => {
                Some(Source { hugging_face: Some(repository.clone()), ..Source::default() })
            }
        };
        let Some(cache) = &self.snapshot.cache else {
            let Some(source) = asked else {
                return waiting("ModelCacheNotFound", format!("no ModelCache {name} in this namespace"));
            };
            let storage = match (&source.preset, &self.snapshot.preset) {
                (Some(preset), None) => {
                    return waiting("ModelPresetNotFound", format!("no ModelPreset {} in this cluster", preset.name));
                }
                (_, preset) => preset.as_ref().and_then(|preset| preset.spec.storage.clone()),
            };
            let cache = self.new_cache(&name, source, storage);
            self.plan.create.push(Child::Cache(Box::new(cache)));
            if let Some(refused) = self.refused() {
                return Some(refused);
            }
            return waiting("ModelCacheCreated", format!("ModelCache {name} is being created"));
        };
        // A name is no evidence of what a cache holds.
        if let Some(asked) = asked.filter(|asked| !self.holds(cache, asked)) {
            let line = format!(
                "ModelCache {name} is of {}, not of {}: delete it, or name one with model.cacheRef",
                json!(cache.spec.source),
                json!(asked)
            );
            return waiting(NAME_CONFLICT, line);
        }
        // A job that has started keeps its cache.
        if cache.metadata.deletion_timestamp.is_some() && self.plan.status.start_time.is_none() {
            return waiting("ModelCacheTerminating", format!("ModelCache {name} is being deleted"));
        }
        // Pods read what the preset names; it may have gone after the model was prepared.
        if let (Some(preset), None) = (&cache.spec.source.preset, &self.snapshot.preset) {
            return waiting("ModelPresetNotFound", format!("no ModelPreset {} in this cluster", preset.name));
        }
        let status = cache.status.clone().unwrap_or_default();
        if conditions::is_true(&status.conditions, "Ready") {
            return None;
        }
        move_step(&mut self.plan.status, StepName::Model, StepState::Running, self.now);
        let stalled = status.conditions.iter().find(|c| c.type_ == "Stalled" && c.status == "True");
        if let Some(stalled) = stalled {
            return waiting("ModelCacheFailed", format!("ModelCache {name}: {}", stalled.message));
        }
        let line = status.progress.and_then(|progress| progress.summary).unwrap_or_else(|| "not ready".into());
        waiting("WaitingForModel", format!("ModelCache {name}: {line}"))
    }

    /// Whether a cache is of the source that is asked for, by name or by what the preset of that name says.
    fn holds(&self, cache: &ModelCache, asked: &Source) -> bool {
        let source = &cache.spec.source;
        let preset = self
            .snapshot
            .preset
            .as_ref()
            .filter(|preset| asked.preset.as_ref().is_some_and(|asked| asked.name == preset.name_any()));
        source == asked || preset.is_some_and(|preset| preset.spec.source == *source)
    }

    fn new_cache(&self, name: &str, source: Source, storage: Option<Storage>) -> ModelCache {
        let storage = storage.unwrap_or_else(|| Storage {
            claim: Some(NewClaim {
                storage_class_name: self.settings.storage_class(),
                access_mode: AccessMode::ReadWriteOnce,
                size: self.settings.model_size.clone(),
            }),
            ..Storage::default()
        });
        let mut cache =
            ModelCache::new(name, ModelCacheSpec { source, storage, placement: None, prepare: None, retention: None });
        cache.metadata.namespace = Some(self.namespace());
        cache
    }
}
