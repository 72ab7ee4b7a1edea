//! `ProofJob`: one inference, proven.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model_cache::HuggingFace;
use super::schema::{KeyRef, NameRef, S3, Toleration};
use super::submission::Submission;

pub use super::proof_job_status::ProofJobStatus;

/// What to prove, on which hardware, and what to do with the proof.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[kube(
    group = "proving.obelysk.dev", version = "v1alpha1", kind = "ProofJob", plural = "proofjobs", namespaced,
    status = "ProofJobStatus", shortname = "pj", category = "obelysk",
    selectable = ".status.phase",
    selectable = ".spec.model.cacheRef.name",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Step", type_ = "string", json_path = ".status.progress"),
    printcolumn(name = "Model", type_ = "string", json_path = ".status.model.cacheRef"),
    printcolumn(name = "GPU", type_ = "string", json_path = ".status.placement.gpuClass"),
    printcolumn(name = "Verified", type_ = "string", json_path = ".status.conditions[?(@.type==\"Verified\")].status"),
    printcolumn(name = "Summary", type_ = "string", json_path = ".status.summary", priority = 1),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.placement.nodeName", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,43}[a-z0-9])?$')")
        .message("metadata.name: at most 45 of a-z, 0-9 and '-', no dots: child Jobs are named after it"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.startTime) || self.spec.model == oldSelf.spec.model")
        .message("spec.model is frozen since status.startTime; create a new ProofJob")
        .reason(Reason::FieldValueForbidden).field_path(".spec.model"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.startTime) || self.spec.inference == oldSelf.spec.inference")
        .message("spec.inference is frozen since status.startTime; create a new ProofJob")
        .reason(Reason::FieldValueForbidden).field_path(".spec.inference"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.startTime) || has(self.spec.proof) == has(oldSelf.spec.proof) && (!has(self.spec.proof) || self.spec.proof == oldSelf.spec.proof)")
        .message("spec.proof is frozen since status.startTime; create a new ProofJob")
        .reason(Reason::FieldValueForbidden),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.startTime) || has(self.spec.submission) == has(oldSelf.spec.submission) && (!has(self.spec.submission) || self.spec.submission == oldSelf.spec.submission)")
        .message("spec.submission is frozen since status.startTime; create a new ProofJob")
        .reason(Reason::FieldValueForbidden),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.startTime) || has(self.spec.artifacts) == has(oldSelf.spec.artifacts) && (!has(self.spec.artifacts) || self.spec.artifacts == oldSelf.spec.artifacts)")
        .message("spec.artifacts is frozen since status.startTime: files lie there already; create a new ProofJob")
        .reason(Reason::FieldValueForbidden),
    validation = Rule::new("!(has(oldSelf.spec.cancel) && oldSelf.spec.cancel) || (has(self.spec.cancel) && self.spec.cancel)")
        .message("spec.cancel cannot be taken back; create a new ProofJob"),
    validation = Rule::new("!(has(self.spec.ttl) && has(self.spec.ttl.delete) && self.spec.ttl.delete == 'Self') || !has(self.spec.submission) || !has(self.spec.submission.submit)")
        .message("ttl.delete: Self would delete the record of a submitted transaction; use Children"),
)]
#[serde(rename_all = "camelCase")]
pub struct ProofJobSpec {
    /// The model.
    pub model: Model,
    /// The input.
    pub inference: Inference,
    /// What kind of proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// Where to prove.
    pub hardware: Hardware,
    /// Where to submit; absent for nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submission: Option<Submission>,
    /// Replay of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// Where files go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<Artifacts>,
    /// How often to try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Longest time from start to end, apart from time in which nothing ran: suspended, queued, or between attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub active_deadline_seconds: Option<i64>,
    /// Longest time without progress inside of a pod.
    #[serde(default = "no_progress_timeout_seconds")]
    #[schemars(range(min = 10, max = 604_800))]
    pub no_progress_timeout_seconds: i64,
    /// Stop the current attempt and start none, until unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// End without a result, for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<bool>,
    /// Kueue pass-through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// Clean-up after the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Ttl>,
    /// Additions to every pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_overrides: Option<PodOverrides>,
}

fn no_progress_timeout_seconds() -> i64 {
    1800
}

/// The model: exactly one.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.cacheRef), has(self.preset), has(self.huggingFace)].exists_one(x, x)")
    .message("model: set exactly one of cacheRef: {name}, preset: {name}, huggingFace: {repo}"))]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// A ModelCache of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_ref: Option<NameRef>,
    /// A ModelPreset: its ModelCache is created or adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<NameRef>,
    /// A repository on the hub: its ModelCache is created or adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hugging_face: Option<HuggingFace>,
}

/// The input: exactly one of prompt, prompts, promptFrom and tokens.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, KubeSchema)]
#[x_kube(
    validation = Rule::new("[has(self.prompt), has(self.prompts), has(self.promptFrom), has(self.tokens)].exists_one(x, x)")
        .message("inference: set exactly one of prompt: TEXT, prompts: [TEXT, ...], promptFrom: {configMapKeyRef}, tokens: [ID, ...]"),
    validation = Rule::new("!(has(self.tokens) && self.chat)")
        .message("inference.chat applies a template to text; with tokens leave chat out or set it to false"),
)]
#[serde(rename_all = "camelCase")]
pub struct Inference {
    /// Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub prompt: Option<String>,
    /// Several texts: one proof claims all the answers, and costs less per token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 4096)))]
    pub prompts: Option<Vec<String>>,
    /// Text of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_from: Option<PromptFrom>,
    /// Token ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192), inner(range(min = 0, max = 2_097_151)))]
    pub tokens: Option<Vec<i32>>,
    /// Apply the model's chat template.
    #[serde(default)]
    pub chat: bool,
    /// Most tokens to generate.
    #[serde(default = "max_new_tokens")]
    #[schemars(range(min = 1, max = 8192))]
    pub max_new_tokens: i32,
    /// The log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// A float inference in a pod of its own, before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestInference>,
}

fn max_new_tokens() -> i32 {
    16
}

/// Text of a ConfigMap.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptFrom {
    /// Key of a ConfigMap.
    pub config_map_key_ref: KeyRef,
}

/// The log.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
pub struct Capture {
    /// Inferences in it.
    #[schemars(range(min = 1, max = 1000))]
    pub count: i32,
}

/// A float inference.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestInference {
    /// Text.
    #[schemars(length(min = 1, max = 4096))]
    pub prompt: String,
    /// Most tokens to generate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8192))]
    pub max_new_tokens: Option<i32>,
}

/// What kind of proof.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.entrypoint) || self.entrypoint != 'V1' || !has(self.weightBinding) || self.weightBinding == 'Sequential'")
    .message("proof.entrypoint V1 takes weightBinding Sequential only; use V2 or V3, or leave weightBinding out"))]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Artefact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ProofMode>,
    /// Only the first layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub layers: Option<i32>,
    /// Prove in the profile that the contract checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starknet_ready: Option<bool>,
    /// How weights are opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_binding: Option<WeightBinding>,
    /// Entry point of the contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Entrypoint>,
}

/// Artefact of a proof.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum ProofMode {
    /// One proof of everything.
    Gkr,
    /// One proof per group of layers.
    Direct,
    /// A proof that a proof verifies.
    Recursive,
}

/// How weights are opened.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum WeightBinding {
    /// All claims in one opening.
    Aggregated,
    /// One opening per claim.
    Sequential,
    /// One opening for all, on chain.
    Batched,
}

/// Entry point of the contract.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Entrypoint {
    /// First.
    V1,
    /// Second.
    V2,
    /// Third.
    V3,
}

/// Where to prove: exactly one.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.cpu), has(self.gpu)].exists_one(x, x)")
    .message("hardware: set exactly one of cpu: {} or gpu: {classes: [H100]}"))]
#[serde(rename_all = "camelCase")]
pub struct Hardware {
    /// Processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Gpu>,
}

/// Processors.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, KubeSchema)]
#[x_kube(
    validation = Rule::new("!has(self.cores) || quantity(self.cores).isGreaterThan(quantity('0'))").message("cpu.cores must be a positive quantity such as 2 or 500m"),
    validation = Rule::new("!has(self.memory) || quantity(self.memory).isGreaterThan(quantity('0'))").message("cpu.memory must be a positive quantity such as 4Gi"),
)]
pub struct Cpu {
    /// Cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub cores: Option<String>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub memory: Option<String>,
}

/// GPUs.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.minMemory) || quantity(self.minMemory).isGreaterThan(quantity('0'))").message("gpu.minMemory must be a positive quantity such as 80Gi"))]
#[serde(rename_all = "camelCase")]
pub struct Gpu {
    /// Classes, the preferred one first; empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 9))]
    pub classes: Vec<GpuClass>,
    /// Memory of each GPU, by its nominal size: a card of 80 GB has `80Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub min_memory: Option<String>,
    /// Number of GPUs.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub count: i32,
    /// Fail rather than fall back to the CPU; yes unless this says no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_only: Option<bool>,
    /// Whether others may use the GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
    /// A ProverPool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_ref: Option<NameRef>,
}

fn one() -> i32 {
    1
}

/// Class of a GPU.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[allow(missing_docs)]
pub enum GpuClass {
    RTX4090,
    A100,
    H100,
    GH200,
    H200,
    B200,
    GB200,
    B300,
    GB300,
}

/// Whether others may use the GPU.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Sharing {
    /// Nobody else: whole GPUs.
    Exclusive,
    /// Whole GPUs, and those that are time-sliced or shared by MPS.
    AllowShared,
    /// Whole GPUs, and MIG slices.
    AllowMig,
}

/// Replay of the log.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
pub struct Audit {
    /// Whether to do it; yes unless this says no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Where files go.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.claim) || !has(self.size) && !has(self.storageClassName)")
    .message("artifacts: size and storageClassName are for a new claim; with claim: {name} leave them out"))]
#[serde(rename_all = "camelCase")]
pub struct Artifacts {
    /// A claim that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<NameRef>,
    /// Storage class of a new claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// Size of a new claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub size: Option<String>,
    /// Also upload here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// What is kept at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain: Option<Retain>,
}

/// What is kept at the end.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(missing_docs)]
pub enum Retain {
    Always,
    OnSuccess,
}

/// How often to try.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Retries per fault class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RetryLimits>,
    /// Time between attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// Keep away from nodes on which the GPU failed; yes unless this says no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avoid_failed_nodes: Option<bool>,
}

/// Retries per fault class.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[allow(missing_docs)]
pub struct RetryLimits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub infra: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub gpu: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub prover: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub chain: Option<i32>,
}

/// Time between attempts: doubling from the first to the last.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// Before the second attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub initial_seconds: Option<i64>,
    /// At most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 86_400))]
    pub max_seconds: Option<i64>,
}

/// Kueue pass-through.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Kueue's LocalQueue, which admits every attempt: Jobs are made suspended, with its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// PriorityClass of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
}

/// Clean-up after the end.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ttl {
    /// How long after the end.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub seconds_after_finished: i64,
    /// What goes; child Jobs unless this says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<TtlDelete>,
}

/// What a time to live deletes.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum TtlDelete {
    /// Child Jobs.
    Children,
    /// The ProofJob too.
    #[serde(rename = "Self")]
    Itself,
}

/// Additions to every pod.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodOverrides {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::string_map")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::string_map")]
    pub annotations: BTreeMap<String, String>,
    /// Tolerations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
    /// Node selector.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::string_map")]
    pub node_selector: BTreeMap<String, String>,
    /// Secrets to pull the image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub image_pull_secrets: Vec<NameRef>,
}
