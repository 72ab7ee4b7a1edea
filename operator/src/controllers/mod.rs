//! One controller per kind: observe, validate, plan, apply, report. Plans are pure; `crate::kube` does the talking.

pub mod attempt;
pub mod attempts;
pub mod children;
pub mod conditions;
pub mod job;
pub mod job_file;
pub mod kind;
pub mod model_cache;
mod placed;
pub mod plan;
pub mod proof_job;
pub mod prover_pool;
pub mod stalled;

use k8s_openapi::jiff::Timestamp;

/// Reason of the Event that an attempt begins.
pub const STEP_STARTED: &str = "StepStarted";

/// Something worth an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// One word.
    pub reason: String,
    /// One line.
    pub message: String,
    /// Whether it is a warning.
    pub warning: bool,
}

impl Note {
    /// Normal.
    #[must_use]
    pub fn normal(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into(), warning: false }
    }

    /// Warning.
    #[must_use]
    pub fn warning(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into(), warning: true }
    }
}

/// The first `bytes` bytes of a text; characters stay whole.
#[must_use]
pub fn clip(text: &str, bytes: usize) -> String {
    let end = (0..=bytes.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text[..end].to_owned()
}

/// Seconds from `from` to `to`.
#[must_use]
pub fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.as_second().saturating_sub(from.as_second())
}
