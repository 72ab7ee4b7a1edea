//! Leader election over a Lease: one process writes. A process that loses the Lease ends; its successor starts afresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};

/// A Lease that is not renewed for this long is free.
const DURATION_SECONDS: i32 = 10;
/// The leader stops writing when it could not renew for this long.
const RENEW_DEADLINE_SECONDS: i64 = 7;
/// Time between renewals.
const PERIOD: Duration = Duration::from_secs(2);
/// Name of the Lease.
const NAME: &str = "obelysk-operator";

/// When the Lease was last renewed by this process; shared with everything that writes.
#[derive(Clone, Default)]
pub struct Held(Arc<AtomicI64>);

impl Held {
    /// Whether this process may write now.
    #[must_use]
    pub fn may_write(&self) -> bool {
        Timestamp::now().as_second() - self.0.load(Ordering::Relaxed) < RENEW_DEADLINE_SECONDS
    }

    fn renewed(&self) {
        self.0.store(Timestamp::now().as_second(), Ordering::Relaxed);
    }
}

/// Wait until this process leads.
pub async fn acquire(client: &Client, namespace: &str, identity: &str, held: &Held) {
    loop {
        match renew(client, namespace, identity).await {
            Ok(true) => {
                held.renewed();
                return;
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the lease cannot be read or written"),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Renew until that fails for too long or another process has taken over.
pub async fn keep(client: &Client, namespace: &str, identity: &str, held: &Held) {
    while held.may_write() {
        tokio::time::sleep(PERIOD).await;
        match tokio::time::timeout(PERIOD, renew(client, namespace, identity)).await {
            Ok(Ok(true)) => held.renewed(),
            Ok(Ok(false)) => {
                tracing::error!("another process holds the lease");
                return;
            }
            Ok(Err(error)) => tracing::warn!(%error, "the lease cannot be renewed"),
            Err(_) => tracing::warn!("the lease cannot be renewed in time"),
        }
    }
}

/// Give the Lease back, so that the next process need not wait for its end.
pub async fn release(client: &Client, namespace: &str, identity: &str) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    if let Ok(Some(mut lease)) = leases.get_opt(NAME).await
        && let Some(spec) = &mut lease.spec
        && spec.holder_identity.as_deref() == Some(identity)
    {
        spec.holder_identity = None;
        let _ = leases.replace(NAME, &PostParams::default(), &lease).await;
    }
}

/// Take or renew the Lease. `false` if another process holds it. The resource version makes two takers exclude each other.
async fn renew(client: &Client, namespace: &str, identity: &str) -> Result<bool, kube::Error> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let now = Timestamp::now();
    let spec = |transitions: i32| LeaseSpec {
        holder_identity: Some(identity.into()),
        lease_duration_seconds: Some(DURATION_SECONDS),
        renew_time: Some(MicroTime(now)),
        acquire_time: Some(MicroTime(now)),
        lease_transitions: Some(transitions),
        ..LeaseSpec::default()
    };
    match leases.get_opt(NAME).await? {
        None => {
            let mut lease = Lease { spec: Some(spec(0)), ..Lease::default() };
            lease.metadata.name = Some(NAME.into());
            Ok(accepted(leases.create(&PostParams::default(), &lease).await)?)
        }
        Some(mut lease) => {
            let old = lease.spec.clone().unwrap_or_default();
            let ours = old.holder_identity.as_deref() == Some(identity);
            let renewed = old.renew_time.map_or(0, |time| time.0.as_second());
            let free = old.holder_identity.is_none() || now.as_second() - renewed > i64::from(DURATION_SECONDS);
            if !ours && !free {
                return Ok(false);
            }
            let transitions = old.lease_transitions.unwrap_or(0) + i32::from(!ours);
            lease.spec = Some(spec(transitions));
            if ours && let Some(spec) = &mut lease.spec {
                spec.acquire_time = old.acquire_time;
            }
            let name = lease.name_any();
            Ok(accepted(leases.replace(&name, &PostParams::default(), &lease).await)?)
        }
    }
}

fn accepted(result: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
