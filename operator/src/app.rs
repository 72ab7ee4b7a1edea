//! The process: wait for the lease, run the controllers, end when the lease is lost.

use std::fmt::Display;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Client, Config, Resource, ResourceExt};
use obelysk_api::crd::{ModelCache, PREFIX, ProofJob, ProofJobStatus, ProverPool};

use crate::controllers::kind::Kind;
use crate::controllers::proof_job::validate::ModelSource;
use crate::controllers::{model_cache, proof_job};
use crate::kube::kubernetes::Kubernetes;
use crate::kube::{Context, Error, lease};
use crate::metrics::{self, Metrics};
use crate::reconcile::reconcile;
use crate::settings::Settings;

/// A reconcile that takes longer is given up.
const RECONCILE_SECONDS: u64 = 15;
/// A pool is looked at so long after a change: jobs come in crowds.
const POOL_DEBOUNCE: Duration = Duration::from_millis(500);
/// Time between two counts of ProofJobs for the metrics: less than any scrape's.
const COUNT_PERIOD: Duration = Duration::from_secs(5);
/// Reconciles of one kind that run at a time.
const CONCURRENCY: u16 = 8;

/// Run until the lease is lost or the process is told to stop.
///
/// # Errors
/// The API server cannot be reached at all, or the metrics' address is taken.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::default());
    let client = metrics::client(Config::infer().await?, &metrics)?;
    let pages = tokio::spawn(metrics::serve(Arc::clone(&metrics), settings.metrics_address));
    let held = lease::Held::default();
    let (namespace, identity) = (settings.namespace.clone(), settings.identity.clone());
    tracing::info!(%identity, "waiting for the lease");
    tokio::select! {
        () = lease::acquire(&client, &namespace, &identity, &held) => {}
        () = told_to_stop() => return Ok(()),
        served = pages => anyhow::bail!("the metrics page cannot be served: {served:?}"),
    }
    tracing::info!(%identity, "leading");
    metrics.set_ready();
    let server = Kubernetes::new(client.clone(), &identity, held.clone());
    let context = Arc::new(Context { server, settings, metrics });
    tokio::select! {
        () = control(client.clone(), context) => anyhow::bail!("the controllers ended"),
        () = lease::keep(&client, &namespace, &identity, &held) => anyhow::bail!("the lease is lost"),
        () = told_to_stop() => {
            lease::release(&client, &namespace, &identity).await;
            Ok(())
        }
    }
}

async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be handled");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Run the controllers, for ever.
pub async fn control(client: Client, context: Arc<Context<Kubernetes>>) {
    let fleet = &context.server.fleet;
    let controllers = async {
        fleet.ready().await;
        run_controllers(client.clone(), Arc::clone(&context)).await;
    };
    tokio::join!(fleet.follow(client.clone()), controllers);
}

async fn run_controllers(client: Client, context: Arc<Context<Kubernetes>>) {
    let config = watcher::Config::default;
    let settings = kube::runtime::controller::Config::default().concurrency(CONCURRENCY);

    // One object that cannot be read must not end a list of all.
    let proof_jobs = Controller::new(Api::<DeserializeGuard<ProofJob>>::all(client.clone()), config());
    let store = proof_jobs.store();
    let of_cache = concerned(proof_jobs.store(), |cache: &DeserializeGuard<ModelCache>, job| {
        let names = |source: ModelSource| source.cache_name() == cache.name_any();
        job.namespace() == cache.namespace() && ModelSource::of(&job.spec.model).is_some_and(names)
    });
    let of_pool = concerned(proof_jobs.store(), |pool: &DeserializeGuard<ProverPool>, job| {
        let has_ended = job.status.as_ref().is_some_and(|status| status.completion_time.is_some());
        pool_name(job).is_some_and(|name| name == pool.name_any()) && !has_ended
    });
    context.server.fleet.share_proof_jobs(proof_jobs.store());
    let proof_jobs = proof_jobs
        .with_config(settings.clone())
        .owns(Api::<Job>::all(client.clone()), labelled(proof_job::LABEL))
        .owns(Api::<PersistentVolumeClaim>::all(client.clone()), labelled(proof_job::LABEL))
        .watches(Api::<Pod>::all(client.clone()), labelled(proof_job::LABEL), |pod| owner_of(&pod, proof_job::LABEL))
        .watches(Api::<DeserializeGuard<ModelCache>>::all(client.clone()), config(), of_cache)
        .watches(Api::<DeserializeGuard<ProverPool>>::all(client.clone()), config(), of_pool)
        .run(look, retry, Arc::clone(&context))
        .for_each(log);

    let model_caches = Controller::new(Api::<DeserializeGuard<ModelCache>>::all(client.clone()), config())
        .with_config(settings.clone())
        .owns(Api::<Job>::all(client.clone()), labelled(model_cache::LABEL))
        .watches(Api::<Pod>::all(client.clone()), labelled(model_cache::LABEL), |pod| {
            owner_of(&pod, model_cache::LABEL)
        })
        .watches(Api::<DeserializeGuard<ProofJob>>::all(client.clone()), config(), cache_of)
        .run(look, retry, Arc::clone(&context))
        .for_each(log);

    let pools = Controller::new(Api::<DeserializeGuard<ProverPool>>::all(client.clone()), config())
        .with_config(settings.debounce(POOL_DEBOUNCE))
        .watches(Api::<DeserializeGuard<ProofJob>>::all(client.clone()), config(), pool_of)
        .run(look, retry, Arc::clone(&context))
        .for_each(log);

    tokio::join!(proof_jobs, model_caches, pools, count_phases(store, context));
}

fn labelled(label: &str) -> watcher::Config {
    watcher::Config::default().labels(&format!("{PREFIX}{label}"))
}

/// The object that a pod's label names.
fn owner_of<K>(pod: &Pod, label: &str) -> Option<ObjectRef<K>>
where
    K: Resource<DynamicType = ()>,
{
    let name = pod.labels().get(&format!("{PREFIX}{label}"))?;
    Some(ObjectRef::new(name).within(&pod.namespace()?))
}

/// The ProofJobs that an object concerns; one that cannot be read is concerned by none.
fn concerned<O>(
    store: Store<DeserializeGuard<ProofJob>>,
    concerns: fn(&O, &ProofJob) -> bool,
) -> impl Fn(O) -> Vec<ObjectRef<DeserializeGuard<ProofJob>>> + Send + Sync + 'static
where
    O: 'static,
{
    move |object| {
        let jobs = store.state();
        let concerned = jobs.iter().filter(|job| job.0.as_ref().is_ok_and(|job| concerns(&object, job)));
        concerned.map(|job| ObjectRef::from_obj(job.as_ref())).collect()
    }
}

/// The ModelCache that a ProofJob waits for or has read. Between its start and its end nothing changes for the cache.
fn cache_of(job: DeserializeGuard<ProofJob>) -> Option<ObjectRef<DeserializeGuard<ModelCache>>> {
    let job = job.0.ok()?;
    let is_under_way = |status: &ProofJobStatus| status.start_time.is_some() && status.completion_time.is_none();
    if job.status.as_ref().is_some_and(is_under_way) {
        return None;
    }
    let source = ModelSource::of(&job.spec.model)?;
    Some(ObjectRef::new(&source.cache_name()).within(&job.namespace()?))
}

fn pool_name(job: &ProofJob) -> Option<&str> {
    let pool = job.spec.hardware.gpu.as_ref()?.pool_ref.as_ref()?;
    Some(&pool.name)
}

/// The ProverPool that a ProofJob names.
fn pool_of(job: DeserializeGuard<ProofJob>) -> Option<ObjectRef<DeserializeGuard<ProverPool>>> {
    let job = job.0.ok()?;
    pool_name(&job).map(ObjectRef::new)
}

/// One reconcile within its time.
async fn look<K: Kind>(object: Arc<DeserializeGuard<K>>, context: Arc<Context<Kubernetes>>) -> Result<Action, Error> {
    let started = Instant::now();
    let work = reconcile(&*context, object.as_ref(), Timestamp::now());
    let result = match tokio::time::timeout(Duration::from_secs(RECONCILE_SECONDS), work).await {
        Ok(result) => result,
        Err(_) => Err(Error::Slow(RECONCILE_SECONDS)),
    };
    context.metrics.reconciled(K::CONTROLLER, started, &result);
    Ok(match result? {
        Some(seconds) => Action::requeue(Duration::from_secs(u64::try_from(seconds.max(1)).unwrap_or(1))),
        None => Action::await_change(),
    })
}

fn retry<K>(_: Arc<K>, error: &Error, _: Arc<Context<Kubernetes>>) -> Action {
    let wait = if error.is_conflict() { Duration::from_millis(200) } else { Duration::from_secs(2) };
    Action::requeue(wait)
}

fn log<K: reflector::Lookup, E: Display>(result: Result<(ObjectRef<K>, Action), E>) -> Ready<()> {
    match result {
        Ok((object, _)) => tracing::debug!(object = object.name, "reconciled"),
        // An object that is gone needs nothing.
        Err(error) => tracing::debug!(%error, "not reconciled"),
    }
    ready(())
}

/// Keep the gauges of phases and waiting reasons.
async fn count_phases(store: Store<DeserializeGuard<ProofJob>>, context: Arc<Context<Kubernetes>>) {
    loop {
        let jobs = store.state();
        let readable = jobs.iter().filter_map(|job| job.0.as_ref().ok());
        context.metrics.set_proof_jobs(readable.map(|job| job.status.as_ref()));
        tokio::time::sleep(COUNT_PERIOD).await;
    }
}
