//! Observations: everything that a plan depends on.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt};
use obelysk_api::crd::proof_job::Model;
use obelysk_api::crd::schema::NameRef;
use obelysk_api::crd::{ModelCache, ModelPreset, PREFIX, ProofJob, ProverPool};
use obelysk_api::job::Progress;
use serde_json::Value;

use super::Error;
use super::server::{Object, Selector, Server};
use crate::controllers::attempt::{Outcome, Surroundings, condition};
use crate::controllers::children::{Children, is_child_of};
use crate::controllers::model_cache::plan::{Snapshot as CacheSnapshot, claim_name, volume_name};
use crate::controllers::plan::Doomed;
use crate::controllers::proof_job::observe::Snapshot as JobSnapshot;
use crate::controllers::proof_job::validate::ModelSource;
use crate::controllers::{conditions, model_cache, proof_job};
use crate::settings::Settings;

/// What a ProofJob's plan depends on.
///
/// # Errors
/// A call to the API server that fails.
pub async fn proof_job<S: Server>(server: &S, object: &ProofJob) -> Result<JobSnapshot, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let model = &object.spec.model;
    let cache_name = ModelSource::of(model).map(|source| source.cache_name());
    let cache: Option<ModelCache> = match &cache_name {
        Some(name) => server.get(&namespace, name).await?,
        None => None,
    };
    let preset = cache.as_ref().and_then(|cache| cache.spec.source.preset.as_ref()).or(model.preset.as_ref());
    let preset: Option<ModelPreset> = named(server, preset).await?;
    let claim: Option<PersistentVolumeClaim> =
        match object.spec.artifacts.as_ref().and_then(|artifacts| artifacts.claim.as_ref()) {
            Some(_) => None,
            None => server.get(&namespace, &format!("{}-artifacts", object.name_any())).await?,
        };
    let (children, around) = children(server, object, proof_job::LABEL).await?;
    let progress = progress(server, &children, &around).await;
    let cluster = object.spec.hardware.gpu.as_ref().map(|_| server.cluster()).unwrap_or_default();
    Ok(JobSnapshot { cache, preset, children, claim, around, cluster, refused: None, progress })
}

/// What a ModelCache's plan depends on.
///
/// # Errors
/// A call to the API server that fails.
pub async fn model_cache<S: Server>(
    server: &S,
    settings: &Settings,
    object: &ModelCache,
) -> Result<CacheSnapshot, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let name = object.name_any();
    let preset: Option<ModelPreset> = named(server, object.spec.source.preset.as_ref()).await?;
    let storage = &object.spec.storage;
    let placement = object.spec.placement.as_ref().and_then(|placement| placement.pool_ref.as_ref());
    let pool_ref = storage.node_local.as_ref().map(|local| &local.pool_ref).or(placement);
    let pool: Option<ProverPool> = named(server, pool_ref).await?;
    let claim: Option<PersistentVolumeClaim> = server.get(&namespace, &claim_name(object)).await?;
    let is_on_disks = storage.node_local.is_some() && settings.node_local;
    let volume: Option<PersistentVolume> = match is_on_disks {
        true => server.get("", &volume_name(object)).await?,
        false => None,
    };
    let others = match storage.existing_claim {
        Some(_) => sharers(server, object).await?,
        None => Vec::new(),
    };
    let is_going = object.metadata.deletion_timestamp.is_some();
    let (children, around) = children(server, object, model_cache::LABEL).await?;
    // As little as possible is read of each, so that one that is odd elsewhere counts too.
    let proof_jobs = server.forms::<ProofJob>(&namespace).await?;
    let uses: Vec<Use> = proof_jobs.iter().filter_map(|job| Use::of(job, &name)).collect();
    let count = |jobs: usize| i32::try_from(jobs).unwrap_or(i32::MAX);
    let consumers = count(uses.len());
    let readers = count(uses.iter().filter(|of| of.has_started).count());
    let progress = progress(server, &children, &around).await;
    let phase = object.status.as_ref().and_then(|status| status.phase.as_deref());
    let holders = match is_going || phase == Some("Evicting") {
        true => holders(server, &namespace, &claim_name(object)).await?,
        false => Vec::new(),
    };
    Ok(CacheSnapshot {
        preset,
        pool,
        children,
        claim,
        volume,
        others,
        around,
        consumers,
        readers,
        holders,
        refused: None,
        progress,
    })
}

/// Finished Jobs of ProofJobs whose pods mount a claim. What came of them is on record. One that still runs may belong to
/// another cache on the same claim.
async fn holders<S: Server>(server: &S, namespace: &str, claim: &str) -> Result<Vec<Doomed>, Error> {
    let of_proof_jobs = Selector::Labelled(format!("{PREFIX}{}", proof_job::LABEL));
    let jobs: Vec<Job> = all(server.list(namespace, of_proof_jobs).await?)?;
    let mounts = |job: &&Job| {
        let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let volumes = pod.and_then(|pod| pod.volumes.as_deref()).unwrap_or_default();
        let of_volume = |volume: &Volume| volume.persistent_volume_claim.as_ref().map(|of| of.claim_name.clone());
        volumes.iter().filter_map(of_volume).any(|name| name == claim)
    };
    let has_finished = |job: &&Job| ["Complete", "Failed"].iter().any(|kind| condition(job, kind).is_some());
    let is_ours = |job: &&Job| is_child_of::<ProofJob>(job.meta());
    Ok(jobs.iter().filter(is_ours).filter(has_finished).filter(mounts).map(Doomed::job).collect())
}

/// The progress page of the pod that runs, if there is one.
async fn progress<S: Server>(server: &S, children: &Children, around: &Surroundings) -> Option<Progress> {
    let running = children.attempts(around).into_iter().find(|attempt| attempt.outcome == Outcome::Running);
    server.progress(&running?.pod_ip?).await
}

/// An object of the cluster, where one is named and there.
async fn named<K: Object, S: Server>(server: &S, name: Option<&NameRef>) -> Result<Option<K>, Error> {
    match name {
        Some(name) => server.get("", &name.name).await,
        None => Ok(None),
    }
}

/// Objects without which nothing can be said.
fn all<K>(found: Vec<Result<K, Error>>) -> Result<Vec<K>, Error> {
    found.into_iter().collect()
}

/// ModelCaches that may keep a model on the same claim. One that cannot be read may keep the very files that are to be removed.
async fn sharers<S: Server>(server: &S, object: &ModelCache) -> Result<Vec<ModelCache>, Error> {
    let found = server.list(&object.namespace().unwrap_or_default(), Selector::All).await?;
    match object.metadata.deletion_timestamp {
        Some(_) => all(found),
        None => Ok(found.into_iter().flatten().collect()),
    }
}

/// An unfinished ProofJob's use of a ModelCache.
struct Use {
    has_started: bool,
}

impl Use {
    fn of(job: &Value, cache: &str) -> Option<Self> {
        let model: Model = serde_json::from_value(job["spec"]["model"].clone()).ok()?;
        let status = &job["status"];
        let of: Vec<Condition> = serde_json::from_value(status["conditions"].clone()).unwrap_or_default();
        let has_ended = ["Complete", "Failed"].iter().any(|kind| conditions::is_true(&of, kind));
        let named = ModelSource::of(&model)?.cache_name() == cache;
        (named && !has_ended).then(|| Self { has_started: !status["startTime"].is_null() })
    }
}

/// Jobs and pods of an object, the nodes, and why pods could not be created.
async fn children<K, S>(server: &S, owner: &K, label: &str) -> Result<(Children, Surroundings), Error>
where
    K: Resource<DynamicType = ()>,
    S: Server,
{
    let namespace = owner.meta().namespace.clone().unwrap_or_default();
    let name = owner.meta().name.clone().unwrap_or_default();
    let labelled = Selector::Label(format!("{PREFIX}{label}"), name);
    let jobs: Vec<Job> = all(server.list(&namespace, labelled.clone()).await?)?;
    let pods: Vec<Pod> = all(server.list(&namespace, labelled).await?)?;
    let children = Children::sort(owner, jobs, pods);
    let nodes = server.nodes().into_iter().map(|node| (node.name_any(), node)).collect();
    let mut around = Surroundings { nodes, ..Surroundings::default() };
    for job in children.jobs().iter().filter(|job| children.pods_of(job).is_empty()) {
        let about = Selector::FailedCreates(job.uid().unwrap_or_default());
        let events: Vec<Event> = server.list(&namespace, about).await?.into_iter().flatten().collect();
        if let Some(message) = events.last().and_then(|event| event.message.clone()) {
            around.failed_creates.insert(job.name_any(), message);
        }
    }
    Ok((children, around))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_that_is_odd_elsewhere_still_holds_the_model_that_it_reads() {
        let mut job = json!({
            "spec": {"model": {"cacheRef": {"name": "m"}}, "proof": {"mode": "of a later version"}},
            "status": {"startTime": "2026-01-01T00:00:00Z"},
        });
        assert!(Use::of(&job, "m").is_some_and(|of| of.has_started));
        assert!(Use::of(&job, "other").is_none());
        let ended = json!({
            "type": "Failed", "status": "True", "reason": "", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        job["status"] = json!({"conditions": [ended]});
        assert!(Use::of(&job, "m").is_none());
        assert!(Use::of(&json!({"spec": 1}), "m").is_none());
    }
}
