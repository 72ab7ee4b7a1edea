//! Status of a ProofJob.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::job::JobKind;

/// How far a ProofJob is; at most 16 KiB.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProofJobStatus {
    /// Generation that this status is about; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub phase: Option<String>,
    /// Finished steps of all, as `3/6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub progress: Option<String>,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub summary: Option<String>,
    /// Set immediately before the first child Job; never cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::time")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::time")]
    pub completion_time: Option<Time>,
    /// When the next attempt starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::time")]
    pub next_retry_time: Option<Time>,
    /// Since when nothing has been running; absent while something runs. Not part of `spec.activeDeadlineSeconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::time")]
    pub idle_since: Option<Time>,
    /// Seconds since `startTime` in which nothing ran, up to `idleSince`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<i64>,
    /// The retry annotation that was honoured last; the digest of a long one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub retry_observed: Option<String>,
    /// Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The eight steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub steps: Vec<Step>,
    /// Newest attempts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub attempts: Vec<Attempt>,
    /// Where the proof was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<PlacementStatus>,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelStatus>,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference: Option<InferenceStatus>,
    /// The proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<ProofStatus>,
    /// The audit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditStatus>,
    /// Files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub artifacts: Vec<ArtifactStatus>,
    /// Retries per fault class so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
}

/// Retries per fault class so far, and those that were free of charge.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Retries {
    #[serde(default)]
    pub infra: i32,
    #[serde(default)]
    pub gpu: i32,
    #[serde(default)]
    pub prover: i32,
    #[serde(default)]
    pub chain: i32,
    /// Disruptions.
    #[serde(default)]
    pub free: i32,
}

/// One of the eight steps.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Name.
    pub name: StepName,
    /// State.
    pub state: StepState,
    /// Attempts so far.
    #[serde(default)]
    pub attempts: i32,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::time")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::time")]
    pub completion_time: Option<Time>,
    /// Why it is in its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
    /// Pod that ran it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod_name: Option<String>,
    /// Node that ran it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node_name: Option<String>,
    /// Seconds that it took, as its pod measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub seconds: Option<String>,
}

/// Name of a step.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default, PartialOrd, Ord, JsonSchema)]
#[allow(missing_docs)]
pub enum StepName {
    #[default]
    Model,
    Validate,
    Inference,
    Capture,
    Prove,
    Verify,
    Audit,
    Submit,
}

/// State of a step.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default, JsonSchema)]
#[allow(missing_docs)]
pub enum StepState {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
    Skipped,
}

/// One attempt at a step: one Job.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Kind of Job.
    pub step: JobKind,
    /// Number, from 1.
    pub number: i32,
    /// Fault class; absent for success and disruption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub class: Option<String>,
    /// Why it ended.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
    /// Exit status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node_name: Option<String>,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::time")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::time")]
    pub finished_at: Option<Time>,
}

impl Attempt {
    /// Reason of an attempt that did what it was for.
    pub const SUCCEEDED: &str = "Succeeded";

    /// Whether it did what it was for.
    #[must_use]
    pub fn has_succeeded(&self) -> bool {
        self.reason == Self::SUCCEEDED
    }
}

/// Where the proof was made.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementStatus {
    /// ProverPool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub pool: Option<String>,
    /// Node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node_name: Option<String>,
    /// Class of the GPU that the pod says it proved on, or `CPU`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub gpu_class: Option<String>,
    /// GPU product, as the pod's driver names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub gpu_product: Option<String>,
}

/// The model.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// ModelCache.
    #[schemars(length(max = 63))]
    pub cache_ref: String,
    /// Revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub revision: Option<String>,
    /// SHA-256 of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub manifest_digest: Option<String>,
    /// Digest `D`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub model_digest: Option<String>,
    /// What the model misses that is used because its quality was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub quality_note: Option<String>,
}

/// The answer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InferenceStatus {
    /// Number of prompt tokens, of all inferences, in the verified statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<i32>,
    /// Number of output tokens, of all inferences, in the verified statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<i32>,
    /// Text of the first answer in the verified statement; absent until it is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub text: Option<String>,
    /// Head of the log's chain.
    #[schemars(length(max = 64))]
    pub log_head: String,
    /// Entries of the log.
    pub log_entries: i32,
    /// Output tokens on which both engines agree, as the prove pod counted them: no proof is about the float engine.
    #[schemars(length(max = 16))]
    pub integer_matches_float: String,
}

/// The proof.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProofStatus {
    /// Where it lies.
    #[schemars(length(max = 512))]
    pub uri: String,
    /// SHA-256 of `proof.bin`.
    #[schemars(length(max = 64))]
    pub sha256: String,
    /// Length.
    pub size_bytes: i64,
    /// Mode.
    #[schemars(length(max = 16))]
    pub mode: String,
    /// Hash profile.
    #[schemars(length(max = 32))]
    pub profile: String,
    /// Composed security, in bits.
    #[schemars(length(max = 16))]
    pub security_bits: String,
    /// Whether a fresh process verified it.
    pub verified: bool,
    /// Seconds of proving, as the prove pod measured them.
    #[schemars(length(max = 16))]
    pub proving_seconds: String,
    /// Whether it can go on chain.
    pub submission_ready: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub not_ready_reason: Option<String>,
}

/// The audit.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditStatus {
    /// `Passed` or `Failed`.
    #[schemars(length(max = 16))]
    pub verdict: String,
    /// Where the report lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub report_uri: Option<String>,
    /// SHA-256 of the report.
    #[schemars(length(max = 64))]
    pub report_sha256: String,
}

/// A file.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactStatus {
    /// Name.
    #[schemars(length(max = 128))]
    pub name: String,
    /// Where it lies.
    #[schemars(length(max = 512))]
    pub uri: String,
    /// Length.
    pub size_bytes: i64,
    /// SHA-256.
    #[schemars(length(max = 64))]
    pub sha256: String,
}
