//! Counters of the operator, and its pages for probes. Never an object's name in a label.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

/// All metrics.
pub struct Metrics {
    registry: Registry,
    /// ProofJobs by phase.
    pub proof_jobs: IntGaugeVec,
    /// ProofJobs for which nothing runs, by reason.
    pub unscheduled: IntGaugeVec,
    /// Retries by fault class.
    pub retries: IntCounterVec,
    /// Ended ProofJobs.
    pub proofs: IntCounterVec,
    /// Reconciles.
    pub reconciles: HistogramVec,
    /// Status writes by kind.
    pub status_writes: IntCounterVec,
    ready: AtomicBool,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels).expect("a fixed metric is valid");
            registry.register(Box::new(counter.clone())).expect("names are unique");
            counter
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels).expect("a fixed metric is valid");
            registry.register(Box::new(gauge.clone())).expect("names are unique");
            gauge
        };
        let reconciles = HistogramVec::new(
            HistogramOpts::new("obelysk_reconcile_duration_seconds", "Time of one reconcile"),
            &["controller"],
        )
        .expect("a fixed metric is valid");
        registry.register(Box::new(reconciles.clone())).expect("names are unique");
        Self {
            proof_jobs: gauge("obelysk_proofjobs", "ProofJobs by phase", &["phase"]),
            unscheduled: gauge("obelysk_proofjobs_unscheduled", "ProofJobs that wait, by reason", &["reason"]),
            retries: counter("obelysk_retries_total", "Retries by fault class", &["class"]),
            proofs: counter("obelysk_proofs_total", "Ended ProofJobs", &["mode", "gpu_class", "result"]),
            status_writes: counter("obelysk_status_writes_total", "Status writes by kind", &["kind"]),
            reconciles,
            registry,
            ready: AtomicBool::new(false),
        }
    }
}

impl Metrics {
    /// Say that the controllers run.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// The text page.
    ///
    /// # Panics
    /// Never: the metrics are valid.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut page).expect("memory does not fail");
        String::from_utf8(page).expect("the format is text")
    }
}

/// Serve `/metrics`, `/healthz` and `/readyz`.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(metrics: Arc<Metrics>, address: SocketAddr) -> std::io::Result<()> {
    let (page, ready) = (Arc::clone(&metrics), metrics);
    let router = Router::new()
        .route("/metrics", get(move || async move { page.page() }))
        .route("/healthz", get(|| async { "ok" }))
        .route(
            "/readyz",
            get(move || async move {
                // A process that waits for the lease is ready to take over.
                let role = if ready.ready.load(Ordering::Relaxed) { "leading" } else { "waiting for the lease" };
                (StatusCode::OK, role)
            }),
        );
    axum::serve(tokio::net::TcpListener::bind(address).await?, router).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_metric_that_has_a_value() {
        let metrics = Metrics::default();
        metrics.retries.with_label_values(&["Gpu"]).inc();
        metrics.proof_jobs.with_label_values(&["Proving"]).set(3);
        let page = metrics.page();
        assert!(page.contains("obelysk_retries_total{class=\"Gpu\"} 1"), "{page}");
        assert!(page.contains("obelysk_proofjobs{phase=\"Proving\"} 3"), "{page}");
    }
}
