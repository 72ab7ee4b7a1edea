//! Carries plans out. Children are created once under deterministic names; one that exists already is as good as created.

use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::core::object::HasStatus;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

use super::{Context, Error};
use crate::controllers::Note;
use crate::controllers::model_cache::{FINALIZER, plan as cache_plan};
use crate::controllers::proof_job::plan as job_plan;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::runtime::events::{Event, EventType};
use obelysk_api::crd::{ModelCache, ProofJob};

/// Carry out the plan of a ProofJob. The status goes first: `startTime` freezes the specification before any child exists.
///
/// # Errors
/// A call to the API server that fails; the next reconcile starts from what it left.
pub async fn proof_job(context: &Context, object: &ProofJob, plan: &job_plan::Plan) -> Result<(), Error> {
    let namespace = object.namespace().unwrap_or_default();
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
    if object.status.as_ref() != Some(&plan.status) {
        write_status(context, object, &plan.status).await?;
    }
    for name in &plan.delete_jobs {
        delete(context, &jobs, name).await?;
    }
    for child in &plan.create {
        match child {
            job_plan::Child::Job(job) => create(context, &jobs, job).await?,
            job_plan::Child::Claim(claim) => {
                create(context, &Api::namespaced(context.client.clone(), &namespace), claim.as_ref()).await?;
            }
            job_plan::Child::Cache(cache) => {
                create(context, &Api::namespaced(context.client.clone(), &namespace), cache.as_ref()).await?;
            }
        }
    }
    if plan.delete_self {
        let own: Api<ProofJob> = Api::namespaced(context.client.clone(), &namespace);
        delete(context, &own, &object.name_any()).await?;
    }
    publish(context, object, &plan.notes).await;
    Ok(())
}

/// Carry out the plan of a ModelCache.
///
/// # Errors
/// As [`proof_job`].
pub async fn model_cache(context: &Context, object: &ModelCache, plan: &cache_plan::Plan) -> Result<(), Error> {
    let namespace = object.namespace().unwrap_or_default();
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &namespace);
    let volumes: Api<PersistentVolume> = Api::all(context.client.clone());
    let deleting = object.metadata.deletion_timestamp.is_some();
    if !deleting && plan.finalizer && !cache_plan::has_finalizer(object) {
        set_finalizers(context, object, true).await?;
    }
    // An object without its finalizer may be gone before its status arrives.
    if (!deleting || plan.finalizer) && object.status.as_ref() != Some(&plan.status) {
        write_status(context, object, &plan.status).await?;
    }
    for name in &plan.delete_jobs {
        delete(context, &jobs, name).await?;
    }
    if let Some(volume) = &plan.create_volume {
        create(context, &volumes, volume).await?;
    }
    if let Some(claim) = &plan.create_claim {
        create(context, &claims, claim).await?;
    }
    if let Some(job) = &plan.create_job {
        create(context, &jobs, job).await?;
    }
    if let Some(name) = &plan.delete_claim {
        delete(context, &claims, name).await?;
    }
    if let Some(name) = &plan.delete_volume {
        delete(context, &volumes, name).await?;
    }
    if cache_plan::has_finalizer(object) && !plan.finalizer {
        set_finalizers(context, object, false).await?;
    }
    publish(context, object, &plan.notes).await;
    Ok(())
}

fn may_write(context: &Context) -> Result<(), Error> {
    if context.lease.may_write() { Ok(()) } else { Err(Error::NotLeading) }
}

/// Write a status against the version that the plan was made from: a stale plan is refused by the server. The whole status is
/// replaced: a merge would keep what the plan has removed.
async fn write_status<K>(context: &Context, object: &K, status: &K::Status) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + HasStatus + Clone + Serialize,
    K: DeserializeOwned + Debug,
    K::Status: Clone,
{
    may_write(context)?;
    let api: Api<K> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let mut object = object.clone();
    *object.status_mut() = Some(status.clone());
    api.replace_status(&object.name_any(), &PostParams::default(), &object).await?;
    context.metrics.status_writes.with_label_values(&[&K::kind(&())]).inc();
    Ok(())
}

async fn create<K>(context: &Context, api: &Api<K>, object: &K) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    may_write(context)?;
    match api.create(&PostParams::default(), object).await {
        Ok(_) => Ok(()),
        // Ours, or another's under the same name: the next plan sees which.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn delete<K>(context: &Context, api: &Api<K>, name: &str) -> Result<(), Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    may_write(context)?;
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn set_finalizers(context: &Context, cache: &ModelCache, present: bool) -> Result<(), Error> {
    may_write(context)?;
    let mut finalizers = cache.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    if present {
        finalizers.push(FINALIZER.into());
    }
    let api: Api<ModelCache> = Api::namespaced(context.client.clone(), &cache.namespace().unwrap_or_default());
    let patch = serde_json::json!({
        "metadata": {"finalizers": finalizers, "resourceVersion": cache.resource_version()}
    });
    match api.patch(&cache.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Events are for people; one that cannot be published holds nothing up.
async fn publish<K>(context: &Context, object: &K, notes: &[Note])
where
    K: Resource<DynamicType = ()>,
{
    for note in notes {
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason.clone(),
            note: Some(crate::controllers::clip(&note.message, 1024)),
            action: note.reason.clone(),
            secondary: None,
        };
        if let Err(error) = context.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::debug!(%error, "an event cannot be published");
        }
    }
}
