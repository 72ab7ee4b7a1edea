//! What the operator counts, and its pages for probes. Names and labels are a contract; no label ever holds an object's name.

mod changes;
mod reasons;
mod requests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use kube::Resource;
use kube::core::object::HasStatus;
use obelysk_api::crd::ProofJobStatus;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub use changes::Counted;
pub use requests::client;

use crate::kube::Error;

/// Phases of a ProofJob, all of which have a value from the start.
const PHASES: [&str; 12] = [
    "Pending",
    "Queued",
    "Preparing",
    "Capturing",
    "Proving",
    "Verifying",
    "Submitting",
    "Confirming",
    "Succeeded",
    "Failed",
    "Cancelled",
    "Suspended",
];
/// States of a transaction. This version makes none: `spec.submission` is refused.
const TRANSACTION_STATES: [&str; 7] = ["built", "sent", "received", "accepted", "verified", "reverted", "rejected"];
/// Upper bounds of how long work takes, in seconds: from a small proof on a CPU to a night.
const WORK_SECONDS: [f64; 14] =
    [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 28800.0];
/// Upper bounds of a reconcile, in seconds.
const RECONCILE_SECONDS: [f64; 11] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];

/// All metrics.
pub struct Metrics {
    registry: Registry,
    proof_jobs: IntGaugeVec,
    unscheduled: IntGaugeVec,
    step_seconds: HistogramVec,
    queue_seconds: Histogram,
    retries: IntCounterVec,
    proofs: IntCounterVec,
    gpu_seconds: IntCounterVec,
    download_bytes: IntCounter,
    transactions: IntGaugeVec,
    reconciles: HistogramVec,
    failed_reconciles: IntCounterVec,
    requests: IntCounterVec,
    status_writes: IntCounterVec,
    leader: IntGauge,
    ready: AtomicBool,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self())).expect("names are unique");
        let of = Maker(&registry);
        let metrics = Self {
            proof_jobs: of.gauges("obelysk_proofjobs", "ProofJobs by phase", &["phase"]),
            unscheduled: of.gauges(
                "obelysk_proofjobs_unscheduled",
                "ProofJobs for which nothing runs, by reason",
                &["reason"],
            ),
            step_seconds: of.histograms(
                "obelysk_step_duration_seconds",
                "Time of a step that succeeded, by the device that proved",
                &WORK_SECONDS,
                &["step", "gpu_class"],
            ),
            queue_seconds: of.add(
                Histogram::with_opts(
                    HistogramOpts::new(
                        "obelysk_queue_wait_seconds",
                        "Time from the creation of a ProofJob until its first prover ran",
                    )
                    .buckets(WORK_SECONDS.into()),
                )
                .expect("a fixed metric is valid"),
            ),
            retries: of.counters("obelysk_retries_total", "Retries by fault class", &["class"]),
            proofs: of.counters("obelysk_proofs_total", "Ended ProofJobs", &["mode", "gpu_class", "result"]),
            gpu_seconds: of.counters(
                "obelysk_gpu_seconds_total",
                "Seconds for which prove pods held GPUs, counted when an attempt ends",
                &["gpu_class"],
            ),
            download_bytes: of.add(
                IntCounter::new("obelysk_download_bytes_total", "Bytes of models that were fetched")
                    .expect("a fixed metric is valid"),
            ),
            transactions: of.gauges("obelysk_transactions", "Transactions by state", &["state"]),
            reconciles: of.histograms(
                "obelysk_reconcile_duration_seconds",
                "Time of a reconcile, failed ones included",
                &RECONCILE_SECONDS,
                &["controller"],
            ),
            failed_reconciles: of.counters(
                "obelysk_reconcile_errors_total",
                "Reconciles that failed, by reason",
                &["controller", "reason"],
            ),
            requests: of.counters("obelysk_api_requests_total", "Requests to the API server", &["verb"]),
            status_writes: of.counters("obelysk_status_writes_total", "Status writes by kind", &["kind"]),
            leader: of.add(
                IntGauge::new("obelysk_leader", "1 where this process holds the lease")
                    .expect("a fixed metric is valid"),
            ),
            registry: registry.clone(),
            ready: AtomicBool::new(false),
        };
        metrics.set_proof_jobs(std::iter::empty());
        for state in TRANSACTION_STATES {
            metrics.transactions.with_label_values(&[state]).set(0);
        }
        metrics
    }
}

/// Makes metrics of one registry.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn add<C: Collector + Clone + 'static>(&self, metric: C) -> C {
        self.0.register(Box::new(metric.clone())).expect("names are unique");
        metric
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels).expect("a fixed metric is valid"))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels).expect("a fixed metric is valid"))
    }

    fn histograms(&self, name: &str, help: &str, bounds: &[f64], labels: &[&str]) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(bounds.into());
        self.add(HistogramVec::new(options, labels).expect("a fixed metric is valid"))
    }
}

impl Metrics {
    /// Say that this process leads and the controllers run.
    pub fn set_ready(&self) {
        self.leader.set(1);
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Count the ProofJobs that there are by phase, and those that wait by reason.
    pub fn set_proof_jobs<'a>(&self, statuses: impl Iterator<Item = Option<&'a ProofJobStatus>>) {
        let mut phases: BTreeMap<&str, i64> = PHASES.map(|phase| (phase, 0)).into();
        let mut waiting: BTreeMap<&str, i64> = BTreeMap::new();
        for status in statuses {
            let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
            // What another version wrote has no place of its own.
            *phases.entry(PHASES.iter().find(|known| **known == phase).unwrap_or(&"Pending")).or_default() += 1;
            if let Some(reason) = status.and_then(changes::waiting_for) {
                *waiting.entry(reasons::fold(reason)).or_default() += 1;
            }
        }
        for (phase, count) in phases {
            self.proof_jobs.with_label_values(&[phase]).set(count);
        }
        for reason in reasons::known() {
            let count = waiting.get(reason).copied().unwrap_or_default();
            self.unscheduled.with_label_values(&[reason]).set(count);
        }
    }

    /// A status was written: count the write, and what it says that the object did not say before.
    pub fn written<K>(&self, before: &K, after: &K::Status)
    where
        K: Resource<DynamicType = ()> + HasStatus + Counted<K::Status>,
    {
        self.wrote::<K>();
        before.count(after, self);
    }

    /// A status was written of which nothing else follows.
    pub fn wrote<K>(&self)
    where
        K: Resource<DynamicType = ()>,
    {
        self.status_writes.with_label_values(&[&K::kind(&())]).inc();
    }

    /// A reconcile ended.
    pub fn reconciled<T>(&self, controller: &str, started: Instant, result: &Result<T, Error>) {
        self.reconciles.with_label_values(&[controller]).observe(started.elapsed().as_secs_f64());
        if let Err(error) = result {
            self.failed_reconciles.with_label_values(&[controller, reasons::of_error(error)]).inc();
        }
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
