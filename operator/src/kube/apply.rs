//! Carries plans out. Children are created once under deterministic names; one of ours that exists already is as good as created.
//! What the API server refuses is not tried harder: it is told, so that a status can say it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::object::HasStatus;
use kube::core::{ApiResource, DynamicObject, NamespaceResourceScope};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

use super::{Context, Error};
use crate::controllers::children::{Obstacle, maker};
use crate::controllers::model_cache::{FINALIZER, plan as cache_plan};
use crate::controllers::proof_job::plan as job_plan;
use crate::controllers::{Note, STEP_STARTED, stalled};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::runtime::events::{Event, EventType};
use obelysk_api::crd::{ModelCache, ProofJob};

/// What came of a plan.
pub struct Applied<K> {
    /// The object as it is after its status was written.
    pub object: K,
    /// The child that the API server refuses; what the plan has after it was not tried.
    pub refused: Option<Obstacle>,
}

/// Carry out the plan of a ProofJob. The status goes first: `startTime` freezes the specification before any child exists.
///
/// # Errors
/// A call to the API server that fails; the next reconcile starts from what it left.
pub async fn proof_job(
    context: &Context,
    object: &ProofJob,
    plan: &job_plan::Plan,
) -> Result<Applied<ProofJob>, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
    let object = report(context, object, &plan.status).await?;
    for name in &plan.delete_jobs {
        delete(context, &jobs, name).await?;
    }
    let mut refused = None;
    for child in &plan.create {
        refused = match child {
            job_plan::Child::Job(job) => create_job(context, &jobs, job, &object).await?,
            job_plan::Child::Claim(claim) => {
                create(context, &Api::namespaced(context.client.clone(), &namespace), claim.as_ref()).await?
            }
            job_plan::Child::Cache(cache) => {
                create(context, &Api::namespaced(context.client.clone(), &namespace), cache.as_ref()).await?
            }
        };
        if refused.is_some() {
            break;
        }
    }
    if plan.delete_self {
        let own: Api<ProofJob> = Api::namespaced(context.client.clone(), &namespace);
        delete(context, &own, &object.name_any()).await?;
    }
    publish(context, &object, &plan.notes, refused.is_some()).await;
    Ok(Applied { object, refused })
}

/// Carry out the plan of a ModelCache.
///
/// # Errors
/// As [`proof_job`].
pub async fn model_cache(
    context: &Context,
    object: &ModelCache,
    plan: &cache_plan::Plan,
) -> Result<Applied<ModelCache>, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), &namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &namespace);
    let volumes: Api<PersistentVolume> = Api::all(context.client.clone());
    let deleting = object.metadata.deletion_timestamp.is_some();
    let mut object = object.clone();
    if !deleting && plan.finalizer && !cache_plan::has_finalizer(&object) {
        set_finalizers(context, &object, true).await?;
    }
    // An object without its finalizer may be gone before its status arrives.
    if !deleting || plan.finalizer {
        object = report(context, &object, &plan.status).await?;
    }
    for name in &plan.delete_jobs {
        delete(context, &jobs, name).await?;
    }
    let mut refused = None;
    if let Some(volume) = &plan.create_volume {
        refused = create(context, &volumes, volume).await?;
    }
    if let Some(claim) = plan.create_claim.as_ref().filter(|_| refused.is_none()) {
        refused = create(context, &claims, claim).await?;
    }
    if let Some(job) = plan.create_job.as_ref().filter(|_| refused.is_none()) {
        refused = create_job(context, &jobs, job, &object).await?;
    }
    if let Some(name) = &plan.delete_claim {
        delete(context, &claims, name).await?;
    }
    if let Some(name) = &plan.delete_volume {
        delete(context, &volumes, name).await?;
    }
    if cache_plan::has_finalizer(&object) && !plan.finalizer {
        set_finalizers(context, &object, false).await?;
    }
    publish(context, &object, &plan.notes, refused.is_some()).await;
    Ok(Applied { object, refused })
}

fn may_write(context: &Context) -> Result<(), Error> {
    if context.lease.may_write() { Ok(()) } else { Err(Error::NotLeading) }
}

/// Write a status, if it differs, against the version that the plan was made from: a stale plan is refused by the server. The whole
/// status is replaced: a merge would keep what the plan has removed.
///
/// # Errors
/// As [`proof_job`].
pub async fn report<K>(context: &Context, object: &K, status: &K::Status) -> Result<K, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + HasStatus + Clone + Serialize,
    K: DeserializeOwned + Debug,
    K::Status: Clone + PartialEq,
{
    if object.status() == Some(status) {
        return Ok(object.clone());
    }
    may_write(context)?;
    let api: Api<K> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let mut object = object.clone();
    *object.status_mut() = Some(status.clone());
    let written = api.replace_status(&object.name_any(), &PostParams::default(), &object).await?;
    context.metrics.status_writes.with_label_values(&[&K::kind(&())]).inc();
    Ok(written)
}

/// Let an object say that nothing can be done about it. It is read anew, in whatever form it has.
///
/// # Errors
/// As [`proof_job`].
pub async fn stall<K>(context: &Context, object: &ObjectMeta, reason: &str, message: &str) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    let (name, namespace) = (object.name.clone().unwrap_or_default(), object.namespace.clone().unwrap_or_default());
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &namespace, &resource);
    let Some(there) = api.get_opt(&name).await? else { return Ok(()) };
    let generation = there.metadata.generation.unwrap_or_default();
    let mut form = there.data;
    form["kind"] = K::kind(&()).into();
    let Some(mut patch) = stalled::patch(&form, generation, reason, message, Timestamp::now()) else {
        return Ok(());
    };
    patch["metadata"] = serde_json::json!({"resourceVersion": there.metadata.resource_version});
    may_write(context)?;
    tracing::warn!(kind = %K::kind(&()), namespace, name, reason, "nothing can be done about an object; its status says why");
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    context.metrics.status_writes.with_label_values(&[&K::kind(&())]).inc();
    Ok(())
}

/// The server's answer to a request for a child.
enum Answer {
    Made,
    Exists,
    Refused(Obstacle),
}

async fn ask_for<K>(context: &Context, api: &Api<K>, child: &K) -> Result<Answer, Error>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    may_write(context)?;
    match api.create(&PostParams::default(), child).await {
        Ok(_) => Ok(Answer::Made),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Answer::Exists),
        Err(kube::Error::Api(status)) => {
            let refused = Obstacle::of_answer(&K::kind(&()), &child.name_any(), status.code, &status.message);
            refused.map(Answer::Refused).ok_or_else(|| kube::Error::Api(status).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Create a child that plans see by its name: whose it is if it exists already, the next plan decides.
async fn create<K>(context: &Context, api: &Api<K>, child: &K) -> Result<Option<Obstacle>, Error>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    match ask_for(context, api, child).await? {
        Answer::Made | Answer::Exists => Ok(None),
        Answer::Refused(obstacle) => Ok(Some(obstacle)),
    }
}

/// Create a Job. Plans see those with their labels alone; any other of its name is found here.
async fn create_job<K>(context: &Context, api: &Api<Job>, job: &Job, owner: &K) -> Result<Option<Obstacle>, Error>
where
    K: Resource<DynamicType = ()>,
{
    match ask_for(context, api, job).await? {
        Answer::Made => Ok(None),
        Answer::Exists => {
            let there = api.get_metadata_opt(&job.name_any()).await?;
            Ok(there.and_then(|there| Obstacle::of(maker(&there.metadata, owner), "Job", &there.name_any())))
        }
        Answer::Refused(obstacle) => Ok(Some(obstacle)),
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

/// Events are for people; one that cannot be published holds nothing up. No attempt begins with a child that is `refused`.
pub async fn publish<K>(context: &Context, object: &K, notes: &[Note], refused: bool)
where
    K: Resource<DynamicType = ()>,
{
    for note in notes.iter().filter(|note| !refused || note.reason != STEP_STARTED) {
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
