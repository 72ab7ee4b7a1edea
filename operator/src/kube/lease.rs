//! Leader election over a Lease: one process writes. A process that loses the Lease ends; its successor starts afresh. No two clocks are
//! compared: a Lease is free when it has not changed for its duration while this process looked on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};

/// A Lease that is not renewed for this long is free.
const DURATION_SECONDS: i32 = 10;
const DURATION: Duration = Duration::from_secs(DURATION_SECONDS as u64);
/// The leader stops writing when its last renewal was asked for this long ago. A write that begins then still ends before the Lease is free.
const RENEW_DEADLINE: Duration = Duration::from_secs(7);
/// Time between renewals.
const PERIOD: Duration = Duration::from_secs(2);
/// Name of the Lease.
const NAME: &str = "obelysk-operator";

/// When this process asked for the renewal of the Lease that it got last; shared with everything that writes.
#[derive(Clone)]
pub struct Held {
    start: Instant,
    /// Milliseconds after `start`; 0 for never.
    renewed: Arc<AtomicU64>,
}

impl Default for Held {
    fn default() -> Self {
        Self { start: Instant::now(), renewed: Arc::default() }
    }
}

impl Held {
    /// Whether this process may write now.
    #[must_use]
    pub fn may_write(&self) -> bool {
        let renewed = Duration::from_millis(self.renewed.load(Ordering::Relaxed));
        !renewed.is_zero() && self.start.elapsed().saturating_sub(renewed) < RENEW_DEADLINE
    }

    fn renewed(&self, at: Instant) {
        let after = at.saturating_duration_since(self.start).as_millis();
        self.renewed.store(u64::try_from(after).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }
}

/// The Lease of another process as it was seen last, and since when it has been so.
#[derive(Default)]
struct Seen(Option<(LeaseSpec, Instant)>);

impl Seen {
    /// Whether nobody holds a Lease that looks like this now.
    fn is_free(&mut self, lease: &LeaseSpec, now: Instant) -> bool {
        if lease.holder_identity.as_ref().is_none_or(String::is_empty) {
            return true;
        }
        match &self.0 {
            Some((before, since)) if before == lease => now.saturating_duration_since(*since) > DURATION,
            _ => {
                self.0 = Some((lease.clone(), now));
                false
            }
        }
    }
}

/// Wait until this process leads.
pub async fn acquire(client: &Client, namespace: &str, identity: &str, held: &Held) {
    let mut seen = Seen::default();
    loop {
        let asked = Instant::now();
        match tokio::time::timeout(PERIOD, renew(client, namespace, identity, &mut seen)).await {
            Ok(Ok(true)) => return held.renewed(asked),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease cannot be read or written"),
            Err(_) => tracing::warn!("the lease cannot be read or written in time"),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Renew until that fails for too long or another process has taken over.
pub async fn keep(client: &Client, namespace: &str, identity: &str, held: &Held) {
    while held.may_write() {
        tokio::time::sleep(PERIOD).await;
        let asked = Instant::now();
        match tokio::time::timeout(PERIOD, renew(client, namespace, identity, &mut Seen::default())).await {
            Ok(Ok(true)) => held.renewed(asked),
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
async fn renew(client: &Client, namespace: &str, identity: &str, seen: &mut Seen) -> Result<bool, kube::Error> {
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
            if !ours && !seen.is_free(&old, Instant::now()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewed_at: i64) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.into()),
            renew_time: Some(MicroTime(Timestamp::from_second(renewed_at).unwrap())),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_lease_is_free_when_it_has_not_changed_for_its_duration_whatever_clocks_say() {
        let (start, after) = (Instant::now(), |seconds| Duration::from_secs(seconds));
        let mut seen = Seen::default();
        // The holder's clock is a day behind, then a day ahead.
        assert!(!seen.is_free(&lease("a", 0), start));
        assert!(!seen.is_free(&lease("a", 0), start + after(9)));
        assert!(!seen.is_free(&lease("a", 2), start + after(11)), "it was renewed");
        assert!(!seen.is_free(&lease("b", 200_000), start + after(22)), "another has it");
        assert!(!seen.is_free(&lease("b", 200_000), start + after(32)));
        assert!(seen.is_free(&lease("b", 200_000), start + after(33)));
        assert!(seen.is_free(&LeaseSpec::default(), start + after(33)), "nobody has it");
    }

    #[test]
    fn nobody_writes_before_the_lease_is_theirs() {
        let held = Held::default();
        assert!(!held.may_write());
        held.renewed(Instant::now());
        assert!(held.may_write());
    }
}
