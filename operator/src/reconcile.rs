//! One reconcile, of either kind: observe, plan, apply, and say what the API server refuses.

use std::panic::{AssertUnwindSafe, catch_unwind};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt};

use crate::controllers::children::Obstacle;
use crate::controllers::kind::Kind;
use crate::kube::apply::{self, Applied};
use crate::kube::server::Server;
use crate::kube::{Context, Error};

/// Seconds between looks at an object about which nothing can be done.
const STALLED_SECONDS: i64 = 30;

/// Look at an object once. Returns the seconds until the next look, `None` if nothing but an event is worth one.
///
/// # Errors
/// A call to the API server that fails; the next reconcile starts from what it left.
pub async fn reconcile<K: Kind, S: Server>(
    context: &Context<S>,
    object: &DeserializeGuard<K>,
    now: Timestamp,
) -> Result<Option<i64>, Error> {
    if object.meta().deletion_timestamp.is_some() && !K::HAS_FINALIZER {
        return Ok(None);
    }
    let result = match &object.0 {
        Ok(object) => bring_on(context, object, now).await,
        Err(invalid) => Err(Error::undecodable::<K>(invalid)),
    };
    match result {
        Ok(seconds) => Ok(Some(seconds)),
        Err(error) => stall::<K, S>(context, object.meta(), error, now).await.map(Some),
    }
}

async fn bring_on<K: Kind, S: Server>(context: &Context<S>, object: &K, now: Timestamp) -> Result<i64, Error> {
    let mut snapshot = object.observe(&context.server, &context.settings).await?;
    let make = |object: &K, snapshot: &K::Snapshot| planned(|| object.plan(snapshot, &context.settings, now));
    let plan = make(object, &snapshot)?;
    let Applied { object, refused } = apply::apply(context, object, &plan).await?;
    if let Some(refused) = refused.filter(|refused| is_news(&object, refused, K::conditions(&plan.status))) {
        log_refusal(&object, &refused);
        K::tell(&mut snapshot, refused);
        let told = make(&object, &snapshot)?;
        apply::report(context, &object, &told.status).await?;
        apply::publish(context, &object, &told.notes, false).await;
    }
    Ok(plan.look_again_seconds)
}

/// A plan. A defect of planning concerns the object that it is about, and no other.
fn planned<P>(plan: impl FnOnce() -> P) -> Result<P, Error> {
    catch_unwind(AssertUnwindSafe(plan)).map_err(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|&words| words.to_owned()));
        Error::Defect(words.unwrap_or_else(|| "it panicked without a word".into()))
    })
}

/// Whether a refusal is not on record yet. What is being deleted has no conditions to record it in.
fn is_news<K: Kind>(
    object: &K,
    refused: &Obstacle,
    conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
) -> bool {
    object.meta().deletion_timestamp.is_none() && Obstacle::on_record(conditions).as_ref() != Some(refused)
}

/// The server's words stay in the status: they may quote what nobody else should read.
fn log_refusal<K: Kind>(object: &K, refused: &Obstacle) {
    let (kind, namespace, name) = (K::kind(&()), object.namespace().unwrap_or_default(), object.name_any());
    let reason = &refused.reason;
    tracing::info!(%kind, namespace, name, reason, "the API server refuses a write; the status says why");
}

/// An object about which nothing can be done says so itself.
async fn stall<K: Kind, S: Server>(
    context: &Context<S>,
    object: &ObjectMeta,
    error: Error,
    now: Timestamp,
) -> Result<i64, Error> {
    let Some(reason) = error.stalls() else { return Err(error) };
    apply::stall::<K, S>(context, object, reason, &error.to_string(), now).await?;
    Ok(STALLED_SECONDS)
}
