//! Carries plans out. Children are created once under deterministic names; one of ours that exists already is as good as created.
//! What the API server refuses is not tried harder: it is told, so that a status can say it.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use obelysk_api::crd::ProofJob;
use serde_json::json;

use super::server::{Object, Server};
use super::{Context, Error};
use crate::controllers::children::{Maker, Obstacle, maker};
use crate::controllers::kind::Kind;
use crate::controllers::plan::{Child, Doomed, DoomedKind, Plan};
use crate::controllers::{Note, STEP_STARTED, model_cache, stalled};

/// What came of a plan.
pub struct Applied<K> {
    /// The object as it is after its status was written.
    pub object: K,
    /// The first thing that the API server refuses; what the plan makes after it was not tried.
    pub refused: Option<Obstacle>,
}

/// Carry out a plan. The status goes before anything is made or deleted: `startTime` freezes the specification before any child
/// exists.
///
/// # Errors
/// A call to the API server that fails; the next reconcile starts from what it left.
pub async fn apply<K: Kind, S: Server>(
    context: &Context<S>,
    object: &K,
    plan: &Plan<K::State>,
) -> Result<Applied<K>, Error> {
    let server = &context.server;
    let namespace = object.namespace().unwrap_or_default();
    let is_going = object.meta().deletion_timestamp.is_some();
    let mut object = object.clone();
    if plan.finalizer && !is_going && !model_cache::has_finalizer(&object) {
        object = set_finalizers(server, &object, true).await?;
    }
    // An object without its finalizer may be gone before its status arrives.
    if !is_going || plan.finalizer {
        let is_confirmed = object.status() != Some(&plan.status);
        object = report(context, &object, &plan.status).await?;
        let changes_nothing = plan.create.is_empty() && plan.delete.is_empty();
        if !is_confirmed && !changes_nothing {
            confirm(server, &object).await?;
        }
    }
    let (jobs, others): (Vec<_>, Vec<_>) = plan.delete.iter().partition(|doomed| doomed.kind == DoomedKind::Job);
    let mut refused = None;
    for doomed in jobs {
        refused = refused.or(delete(server, &namespace, doomed).await?);
    }
    for child in &plan.create {
        if refused.is_some() {
            break;
        }
        refused = make(server, child, &object).await?;
    }
    for doomed in others {
        refused = refused.or(delete(server, &namespace, doomed).await?);
    }
    if model_cache::has_finalizer(&object) && !plan.finalizer {
        match set_finalizers(server, &object, false).await {
            Ok(_) => {}
            Err(Error::Api(kube::Error::Api(status))) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    publish(context, &object, &plan.notes, refused.is_some()).await;
    Ok(Applied { object, refused })
}

/// Write a status, if it differs, against the version that the plan was made from: a stale plan is refused by the server. The whole
/// status is replaced: a merge would keep what the plan has removed.
///
/// # Errors
/// As [`apply`].
pub async fn report<K: Kind, S: Server>(context: &Context<S>, object: &K, status: &K::State) -> Result<K, Error> {
    if object.status() == Some(status) {
        return Ok(object.clone());
    }
    let mut next = object.clone();
    *next.status_mut() = Some(status.clone());
    let written = context.server.replace_status(&next).await?;
    context.metrics.written(object, status);
    Ok(written)
}

/// Let an object say that nothing can be done about it. It is read anew, in whatever form it has.
///
/// # Errors
/// As [`apply`].
pub async fn stall<K: Kind, S: Server>(
    context: &Context<S>,
    object: &ObjectMeta,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let (name, namespace) = (object.name.clone().unwrap_or_default(), object.namespace.clone().unwrap_or_default());
    let Some(mut form) = context.server.form::<K>(&namespace, &name).await? else { return Ok(()) };
    let generation = form["metadata"]["generation"].as_i64().unwrap_or_default();
    form["kind"] = K::kind(&()).into();
    let Some(mut patch) = stalled::patch(&form, generation, reason, message, now) else {
        return Ok(());
    };
    patch["metadata"] = json!({"resourceVersion": form["metadata"]["resourceVersion"]});
    tracing::warn!(kind = %K::kind(&()), namespace, name, reason, "nothing can be done about an object; its status says why");
    context.server.patch_status::<K>(&namespace, &name, patch).await?;
    context.metrics.wrote::<K>();
    Ok(())
}

/// A plan that has no status to write may be of an object that has moved on, and would make children that had their time. What is read
/// from a cache is read again before.
async fn confirm<K: Kind, S: Server>(server: &S, object: &K) -> Result<(), Error> {
    let there = server.form::<K>(&object.namespace().unwrap_or_default(), &object.name_any()).await?;
    let version = there.as_ref().and_then(|there| there["metadata"]["resourceVersion"].as_str());
    if version == object.resource_version().as_deref() { Ok(()) } else { Err(Error::Stale) }
}

async fn make<K: Kind, S: Server>(server: &S, child: &Child, owner: &K) -> Result<Option<Obstacle>, Error> {
    match child {
        Child::File(file) => create_file(server, file, owner).await,
        Child::Job(job) => create_owned(server, job.as_ref(), owner).await,
        Child::Claim(claim) => create(server, claim.as_ref()).await,
        Child::ClaimTemplate(template) => create_owned(server, template.as_ref(), owner).await,
        Child::Volume(volume) => create(server, volume.as_ref()).await,
        Child::Cache(cache) => create(server, cache.as_ref()).await,
    }
}

/// The server's answer to a request for a child.
enum Answer {
    Made,
    Exists,
    Refused(Obstacle),
}

async fn ask_for<K: Object, S: Server>(server: &S, child: &K) -> Result<Answer, Error> {
    match server.create(child).await {
        Ok(()) => Ok(Answer::Made),
        Err(Error::Api(kube::Error::Api(status))) if status.is_already_exists() => Ok(Answer::Exists),
        Err(Error::Api(kube::Error::Api(status))) => {
            let refused = Obstacle::of_answer(&K::kind(&()), &child.name_any(), status.code, &status.message);
            refused.map(Answer::Refused).ok_or_else(|| kube::Error::Api(status).into())
        }
        Err(error) => Err(error),
    }
}

/// Create a child that plans see by its name: whose it is if it exists already, the next plan decides.
async fn create<K: Object, S: Server>(server: &S, child: &K) -> Result<Option<Obstacle>, Error> {
    match ask_for(server, child).await? {
        Answer::Made | Answer::Exists => Ok(None),
        Answer::Refused(obstacle) => Ok(Some(obstacle)),
    }
}

/// Create a child of which plans see those with their labels, or none; any other of its name is found here.
async fn create_owned<C: Object, K: Kind, S: Server>(
    server: &S,
    child: &C,
    owner: &K,
) -> Result<Option<Obstacle>, Error> {
    match ask_for(server, child).await? {
        Answer::Made => Ok(None),
        Answer::Exists => {
            let name = child.name_any();
            let there = server.form::<C>(&child.namespace().unwrap_or_default(), &name).await?;
            let metadata = there.and_then(|there| serde_json::from_value::<ObjectMeta>(there["metadata"].clone()).ok());
            Ok(metadata.and_then(|metadata| Obstacle::of(maker(&metadata, owner), &C::kind(&()), &name)))
        }
        Answer::Refused(obstacle) => Ok(Some(obstacle)),
    }
}

/// Create the file of a Job. A pod must not read what somebody else wrote.
async fn create_file<K: Kind, S: Server>(server: &S, file: &ConfigMap, owner: &K) -> Result<Option<Obstacle>, Error> {
    match ask_for(server, file).await? {
        Answer::Made => Ok(None),
        Answer::Exists => {
            let (namespace, name) = (file.namespace().unwrap_or_default(), file.name_any());
            let there: Option<ConfigMap> = server.get(&namespace, &name).await?;
            let whose = |there: &ConfigMap| match maker(there.meta(), owner) {
                Maker::This if there.data != file.data => Maker::Stranger,
                maker => maker,
            };
            Ok(there.and_then(|there| Obstacle::of(whose(&there), "ConfigMap", &name)))
        }
        Answer::Refused(obstacle) => Ok(Some(obstacle)),
    }
}

async fn delete<S: Server>(server: &S, namespace: &str, doomed: &Doomed) -> Result<Option<Obstacle>, Error> {
    let Doomed { kind, name, uid } = doomed;
    let uid = uid.as_deref();
    let (answer, kind) = match kind {
        DoomedKind::Job => (server.delete::<Job>(namespace, name, uid).await, "Job"),
        DoomedKind::Claim => (server.delete::<PersistentVolumeClaim>(namespace, name, uid).await, "claim"),
        DoomedKind::Volume => (server.delete::<PersistentVolume>("", name, uid).await, "volume"),
        DoomedKind::ProofJob => (server.delete::<ProofJob>(namespace, name, uid).await, "ProofJob"),
    };
    match answer {
        Ok(()) => Ok(None),
        // It is gone, and so it is if the name is another object's by now.
        Err(Error::Api(kube::Error::Api(status))) if [404, 409].contains(&status.code) => Ok(None),
        Err(Error::Api(kube::Error::Api(status))) => {
            let refused = Obstacle::of_deletion(kind, name, status.code, &status.message);
            refused.map(Some).ok_or_else(|| kube::Error::Api(status).into())
        }
        Err(error) => Err(error),
    }
}

async fn set_finalizers<K: Kind, S: Server>(server: &S, object: &K, present: bool) -> Result<K, Error> {
    let mut finalizers = object.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != model_cache::FINALIZER);
    if present {
        finalizers.push(model_cache::FINALIZER.into());
    }
    let patch = json!({
        "metadata": {"finalizers": finalizers, "resourceVersion": object.resource_version()}
    });
    server.patch::<K>(&object.namespace().unwrap_or_default(), &object.name_any(), patch).await
}

/// Publish Events. No attempt begins with a child that is `refused`.
pub async fn publish<K: Kind, S: Server>(context: &Context<S>, object: &K, notes: &[Note], refused: bool) {
    for note in notes.iter().filter(|note| !refused || note.reason != STEP_STARTED) {
        context.server.publish(note, &object.object_ref(&())).await;
    }
}
