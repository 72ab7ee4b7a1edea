//! From a specification to what this version can do: unions become enums, and fields whose behaviour comes later are
//! refused by name.

use obelysk_api::crd::ProofJobSpec;
use obelysk_api::crd::proof_job::{Gpu, PodOverrides, ProofMode, Retain, Sharing, WeightBinding};
use obelysk_api::job::Input;

/// A field that this version does not act upon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is not supported by this version: {advice}")]
pub struct Unsupported {
    /// Path of the field.
    pub field: &'static str,
    /// What to write instead.
    pub advice: &'static str,
}

/// Which ModelCache to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// One that someone else keeps.
    Cache(String),
    /// The one of a preset, made if it is not there.
    Preset(String),
}

impl ModelSource {
    /// Name of the ModelCache.
    #[must_use]
    pub fn cache_name(&self) -> &str {
        match self {
            Self::Cache(name) | Self::Preset(name) => name,
        }
    }
}

/// Where to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hardware {
    /// Processors.
    Cpu,
    /// A GPU's node.
    Gpu(Gpu),
}

/// A specification that can be acted upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid {
    /// Model.
    pub model: ModelSource,
    /// Prompt.
    pub input: Input,
    /// Whether the chat template applies.
    pub chat: bool,
    /// Most tokens to generate.
    pub max_new_tokens: u32,
    /// Where to prove.
    pub hardware: Hardware,
    /// Cores of prove pods.
    pub cores: String,
    /// Memory of prove pods.
    pub memory: String,
    /// Whether to audit.
    pub audit: bool,
    /// Artifacts claim that exists.
    pub artifacts_claim: Option<String>,
    /// Additions to pods.
    pub overrides: PodOverrides,
    /// Whether to stay away from nodes on which the GPU failed.
    pub avoid_failed_nodes: bool,
}

/// Cores of a prove pod that asks for none.
const CORES: &str = "1";
/// Memory of a prove pod that asks for none.
const MEMORY: &str = "2Gi";

/// Validate a specification.
///
/// # Errors
/// The first field that this version does not act upon.
pub fn validate(spec: &ProofJobSpec) -> Result<Valid, Unsupported> {
    refuse_later_fields(spec)?;
    let model = match (&spec.model.cache_ref, &spec.model.preset) {
        (Some(cache), _) => ModelSource::Cache(cache.name.clone()),
        (None, Some(preset)) => ModelSource::Preset(preset.name.clone()),
        (None, None) => return refuse("spec.model.huggingFace", "use cacheRef, or preset: {name: tiny-chat}"),
    };
    let inference = &spec.inference;
    let input = match (&inference.prompt, &inference.tokens) {
        (Some(prompt), _) => Input::Prompt(prompt.clone()),
        (None, Some(tokens)) => {
            Input::Tokens(tokens.iter().map(|&token| u32::try_from(token).expect("the schema bounds tokens")).collect())
        }
        (None, None) => return refuse("spec.inference.promptFrom", "write the text into prompt"),
    };
    let cpu = spec.hardware.cpu.clone().unwrap_or_default();
    let hardware = match &spec.hardware.gpu {
        Some(gpu) => Hardware::Gpu(gpu.clone()),
        None => Hardware::Cpu,
    };
    Ok(Valid {
        model,
        input,
        chat: inference.chat,
        max_new_tokens: u32::try_from(inference.max_new_tokens).expect("the schema bounds maxNewTokens"),
        hardware,
        cores: cpu.cores.unwrap_or_else(|| CORES.into()),
        memory: cpu.memory.unwrap_or_else(|| MEMORY.into()),
        audit: spec.audit.as_ref().and_then(|audit| audit.enabled).unwrap_or(true),
        artifacts_claim: spec.artifacts.as_ref().and_then(|a| a.claim.as_ref()).map(|claim| claim.name.clone()),
        overrides: spec.pod_overrides.clone().unwrap_or_default(),
        avoid_failed_nodes: spec.retry.as_ref().and_then(|retry| retry.avoid_failed_nodes).unwrap_or(true),
    })
}

fn refuse<T>(field: &'static str, advice: &'static str) -> Result<T, Unsupported> {
    Err(Unsupported { field, advice })
}

fn refuse_later_fields(spec: &ProofJobSpec) -> Result<(), Unsupported> {
    let proof = spec.proof.clone().unwrap_or_default();
    let inference = &spec.inference;
    let artifacts = spec.artifacts.clone().unwrap_or_default();
    let gpu = spec.hardware.gpu.clone().unwrap_or_default();
    let queue = spec.queue.clone().unwrap_or_default();
    let later = [
        (spec.submission.is_some(), "spec.submission", "leave it out; the proof is kept in the artifacts"),
        (proof.mode.is_some_and(|mode| mode != ProofMode::Gkr), "spec.proof.mode", "use Gkr"),
        (proof.layers.is_some(), "spec.proof.layers", "leave it out to prove all layers"),
        (proof.starknet_ready == Some(true), "spec.proof.starknetReady", "leave it out or set it to false"),
        (
            proof.weight_binding.is_some_and(|binding| binding != WeightBinding::Aggregated),
            "spec.proof.weightBinding",
            "use Aggregated",
        ),
        (proof.entrypoint.is_some(), "spec.proof.entrypoint", "leave it out"),
        (inference.capture.as_ref().is_some_and(|c| c.count != 1), "spec.inference.capture.count", "use 1"),
        (inference.test.is_some(), "spec.inference.test", "leave it out; the float engine's answer is compared anyway"),
        (artifacts.s3.is_some(), "spec.artifacts.s3", "leave it out; files are kept on the artifacts volume"),
        (artifacts.retain == Some(Retain::OnSuccess), "spec.artifacts.retain", "use Always"),
        (
            gpu.gpu_only == Some(true),
            "spec.hardware.gpu.gpuOnly",
            "leave it out: this version proves on the CPU of the GPU's node",
        ),
        (gpu.count > 1, "spec.hardware.gpu.count", "use 1"),
        (
            gpu.sharing.is_some_and(|sharing| sharing != Sharing::Exclusive),
            "spec.hardware.gpu.sharing",
            "use Exclusive",
        ),
        (gpu.pool_ref.is_some(), "spec.hardware.gpu.poolRef", "leave it out; use podOverrides.nodeSelector"),
        (queue.name.is_some(), "spec.queue.name", "leave it out"),
        (queue.priority_class_name.is_some(), "spec.queue.priorityClassName", "leave it out"),
    ];
    match later.into_iter().find(|(used, _, _)| *used) {
        Some((_, field, advice)) => refuse(field, advice),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(extra: &str) -> ProofJobSpec {
        let mut value = serde_json::json!({
            "model": {"cacheRef": {"name": "tiny-chat"}},
            "inference": {"prompt": "What is 7 + 5?"},
            "hardware": {"cpu": {}},
        });
        let extra: serde_json::Value = serde_json::from_str(extra).unwrap();
        for (key, field) in extra.as_object().unwrap() {
            value[key] = field.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_plain_job_is_valid() {
        let valid = validate(&spec("{}")).unwrap();
        assert_eq!(valid.model, ModelSource::Cache("tiny-chat".into()));
        assert_eq!((valid.cores.as_str(), valid.memory.as_str(), valid.audit), ("1", "2Gi", true));
    }

    #[test]
    fn every_later_field_is_refused_by_name() {
        for (extra, field) in [
            (r#"{"model":{"huggingFace":{"repo":"Qwen/Qwen3-14B"}}}"#, "spec.model.huggingFace"),
            (r#"{"submission":{"dryRun":{"network":"Sepolia"}}}"#, "spec.submission"),
            (r#"{"proof":{"mode":"Recursive"}}"#, "spec.proof.mode"),
            (r#"{"proof":{"layers":2}}"#, "spec.proof.layers"),
            (r#"{"proof":{"starknetReady":true}}"#, "spec.proof.starknetReady"),
            (r#"{"proof":{"weightBinding":"Batched"}}"#, "spec.proof.weightBinding"),
            (r#"{"proof":{"entrypoint":"V2"}}"#, "spec.proof.entrypoint"),
            (r#"{"inference":{"prompt":"x","capture":{"count":5}}}"#, "spec.inference.capture.count"),
            (r#"{"inference":{"prompt":"x","test":{"prompt":"y"}}}"#, "spec.inference.test"),
            (r#"{"inference":{"promptFrom":{"configMapKeyRef":{"name":"a","key":"b"}}}}"#, "spec.inference.promptFrom"),
            (r#"{"artifacts":{"s3":{"bucket":"proofs"}}}"#, "spec.artifacts.s3"),
            (r#"{"artifacts":{"retain":"OnSuccess"}}"#, "spec.artifacts.retain"),
            (r#"{"hardware":{"gpu":{"gpuOnly":true}}}"#, "spec.hardware.gpu.gpuOnly"),
            (r#"{"hardware":{"gpu":{"count":2}}}"#, "spec.hardware.gpu.count"),
            (r#"{"hardware":{"gpu":{"sharing":"AllowMig"}}}"#, "spec.hardware.gpu.sharing"),
            (r#"{"hardware":{"gpu":{"poolRef":{"name":"a"}}}}"#, "spec.hardware.gpu.poolRef"),
            (r#"{"queue":{"name":"a"}}"#, "spec.queue.name"),
        ] {
            assert_eq!(validate(&spec(extra)).unwrap_err().field, field, "{extra}");
        }
    }
}
