//! `ModelCache`: a model on a volume, downloaded, checked, quantised and committed once.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{ClaimRef, KeyRef, NameRef, S3, Toleration};
use crate::job::ProofMemory;

/// What a ModelCache should hold.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, KubeSchema)]
#[kube(
    group = "proving.obelysk.dev", version = "v1alpha1", kind = "ModelCache", plural = "modelcaches", namespaced,
    status = "ModelCacheStatus", shortname = "mc", category = "obelysk",
    selectable = ".status.phase",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress.summary"),
    printcolumn(name = "Model", type_ = "string", json_path = ".status.resolved.modelDigest", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,43}[a-z0-9])?$')")
        .message("metadata.name: at most 45 of a-z, 0-9 and '-', no dots: child Jobs are named after it"),
    validation = Rule::new("self.spec.source == oldSelf.spec.source")
        .message("spec.source cannot change; create a new ModelCache")
        .reason(Reason::FieldValueForbidden).field_path(".spec.source"),
    validation = Rule::new("!has(self.spec.storage.claim) || !has(oldSelf.spec.storage.claim) || self.spec.storage.claim == oldSelf.spec.storage.claim")
        .message("spec.storage.claim cannot change: to grow it, edit the PersistentVolumeClaim NAME-model; for another class or mode create a new ModelCache")
        .reason(Reason::FieldValueForbidden).field_path(".spec.storage.claim"),
    validation = Rule::new("!has(self.spec.storage.existingClaim) || !has(oldSelf.spec.storage.existingClaim) || self.spec.storage.existingClaim == oldSelf.spec.storage.existingClaim")
        .message("spec.storage.existingClaim cannot change: the model is on the claim that it names; create a new ModelCache")
        .reason(Reason::FieldValueForbidden).field_path(".spec.storage.existingClaim"),
    validation = Rule::new("!has(self.spec.storage.nodeLocal) || !has(oldSelf.spec.storage.nodeLocal) || self.spec.storage.nodeLocal.poolRef == oldSelf.spec.storage.nodeLocal.poolRef")
        .message("spec.storage.nodeLocal.poolRef cannot change: the copies are on that pool's nodes; create a new ModelCache")
        .reason(Reason::FieldValueForbidden).field_path(".spec.storage.nodeLocal"),
    validation = Rule::new("has(self.spec.storage.claim) == has(oldSelf.spec.storage.claim) && has(self.spec.storage.existingClaim) == has(oldSelf.spec.storage.existingClaim) && has(self.spec.storage.nodeLocal) == has(oldSelf.spec.storage.nodeLocal)")
        .message("spec.storage cannot change its kind; create a new ModelCache")
        .reason(Reason::FieldValueForbidden).field_path(".spec.storage"),
)]
#[serde(rename_all = "camelCase")]
pub struct ModelCacheSpec {
    /// Where the model comes from.
    pub source: Source,
    /// Where it is kept.
    pub storage: Storage,
    /// Which nodes fetch and prepare it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// How it is quantised and committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<Prepare>,
    /// What happens to the model in the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

/// Source of a model: exactly one.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.preset), has(self.huggingFace), has(self.s3), has(self.existingClaim), has(self.bundled)].exists_one(x, x)")
    .message("source: set exactly one of preset: {name}, huggingFace: {repo}, s3: {bucket}, existingClaim: {name}, bundled: {name}"))]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// A ModelPreset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<NameRef>,
    /// A repository on the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hugging_face: Option<HuggingFace>,
    /// A folder of a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// A folder of a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing_claim: Option<ClaimRef>,
    /// A model that travels inside of the prover image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundled: Option<NameRef>,
}

/// A repository on the hub.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HuggingFace {
    /// `organisation/name`.
    #[schemars(length(min = 3, max = 193))]
    pub repo: String,
    /// Commit, tag or branch; resolved once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub revision: Option<String>,
    /// Another hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub endpoint: Option<String>,
    /// Token for gated repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<KeyRef>,
    /// Only the first layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub layers: Option<i32>,
}

/// Storage of a model: exactly one.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.claim), has(self.existingClaim), has(self.nodeLocal)].exists_one(x, x)")
    .message("storage: set exactly one of claim: {accessMode, size}, existingClaim: {name}, nodeLocal: {poolRef}"))]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// A volume claim to create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<NewClaim>,
    /// A volume claim that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing_claim: Option<ClaimRef>,
    /// Disks of the pool's nodes, where the operator's chart allows them (`nodeLocal.enabled`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_local: Option<NodeLocal>,
}

/// A volume claim to create.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("quantity(self.size).isGreaterThan(quantity('0'))").message("claim.size must be a positive quantity such as 30Gi"))]
#[serde(rename_all = "camelCase")]
pub struct NewClaim {
    /// Storage class; absent for the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// Who may mount it.
    pub access_mode: AccessMode,
    /// Size.
    #[schemars(length(min = 1, max = 32))]
    pub size: String,
}

/// Access mode of a claim.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum AccessMode {
    /// Many nodes.
    ReadWriteMany,
    /// One node at a time.
    ReadWriteOnce,
}

/// Disks of the pool's nodes.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeLocal {
    /// A ProverPool with `cacheRoot`.
    pub pool_ref: NameRef,
    /// Number of nodes that keep a copy; 1 if absent, and never more than the pool has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<i32>,
}

/// Nodes for fetch and prepare pods.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// A ProverPool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_ref: Option<NameRef>,
    /// Labels that the node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::schema::string_map")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
}

/// How a model is prepared.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prepare {
    /// Quantisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantize: Option<Quantize>,
    /// Hash profiles to commit under.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub profiles: Vec<Profile>,
}

/// Quantisation.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quantize {
    /// Calibration text of one's own. Not supported: the model's digest would depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Least share of positions at which the integer engine prefers the float engine's token, such as `"0.99"`, in place of
    /// 0.95. A model below it is not used, nor one that misses another bound of the quality gate; `"0"` accepts any quality,
    /// and whatever is made with the model says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"))]
    pub min_top1_agreement: Option<String>,
}

/// Calibration text.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Calibration {
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<NameRef>,
}

/// A hash profile.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum Profile {
    /// Blake2s-256, which every proof of specification 2 is hashed with.
    Blake2s,
    /// What specification 1 hashed with. Manifests that ask for it get proofs of specification 2, whose status names Blake2s.
    Blake3,
    /// Poseidon2 over Mersenne-31.
    Poseidon2M31,
    /// Poseidon over Starknet's field.
    StarknetPoseidon,
}

/// What happens to the model in the end.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// Whether the model outlives the ModelCache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<RetentionPolicy>,
    /// Evict after this long without use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 31_536_000))]
    pub evict_after_unused_seconds: Option<i64>,
}

/// Whether a model outlives its ModelCache. Absent: `Delete` for a claim that was made for it and for the disks of nodes,
/// `Retain` for a claim that existed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum RetentionPolicy {
    /// It stays.
    Retain,
    /// It is deleted: a claim that was made for it; else the model's files, on an existing claim when no other ModelCache
    /// holds the same model there.
    Delete,
}

/// What a ModelCache holds.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelCacheStatus {
    /// Generation that this status is about; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub phase: Option<String>,
    /// Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// What the source turned out to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Resolved>,
    /// Progress of the current work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<CacheProgress>,
    /// Integer engine against float engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualityStatus>,
    /// Claim that holds the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub claim_name: Option<String>,
    /// Nodes whose disks have a copy of the model, by their label `kubernetes.io/hostname`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::nodes")]
    pub nodes: Vec<String>,
    /// Number of ProofJobs that name this cache and are not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumers: Option<i32>,
    /// Last time a ProofJob used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::time")]
    pub last_used_time: Option<Time>,
    /// Newest attempts of fetch and prepare.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub attempts: Vec<super::proof_job_status::Attempt>,
    /// When the attempt after a failed one may start, or might have; absent after one that was the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::time")]
    pub next_retry_time: Option<Time>,
    /// Retries per fault class since something succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<super::proof_job_status::Retries>,
    /// Uid of the claim that the model was brought to: another of its name does not hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub claim_uid: Option<String>,
}

/// What the source turned out to be.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolved {
    /// Revision of the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub revision: Option<String>,
    /// Number of files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<i64>,
    /// Bytes of all files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// SHA-256 of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub manifest_digest: Option<String>,
    /// Digest `D` of the quantised model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub model_digest: Option<String>,
    /// What proofs with the quantised model take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_memory: Option<ProofMemory>,
}

/// Progress of fetch or prepare.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheProgress {
    /// 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<i32>,
    /// Bytes so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// Bytes in total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// Rate, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub rate: Option<String>,
    /// Time left, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub eta: Option<String>,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub summary: Option<String>,
}

/// Quality on the texts on which the engines agree less often, as decimal texts: floating-point numbers do not survive every client.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QualityStatus {
    /// Perplexity of the float engine.
    #[schemars(length(max = 32))]
    pub perplexity_float: String,
    /// Perplexity of the integer engine.
    #[schemars(length(max = 32))]
    pub perplexity_int: String,
    /// Share of positions with the same best token.
    #[schemars(length(max = 32))]
    pub top1_agreement: String,
    /// Mean divergence, in nats.
    #[serde(rename = "meanKL")]
    #[schemars(length(max = 32))]
    pub mean_kl: String,
    /// Share of clamped values.
    #[schemars(length(max = 32))]
    pub saturation_rate: String,
    /// What the model misses that is used because its quality was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub note: Option<String>,
}
