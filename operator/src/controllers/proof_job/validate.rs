//! From a specification to what this version can do: unions become enums, and fields whose behaviour comes later are
//! refused by name.

use obelysk_api::crd::ProofJobSpec;
use obelysk_api::crd::model_cache::HuggingFace;
use obelysk_api::crd::proof_job::{Gpu, Model, PodOverrides, ProofMode, Queue, Retain, WeightBinding};
use obelysk_api::job::{GpuUse, Input};

use super::hardware;

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
    /// The one of a repository of a hub, made if it is not there.
    Hub(HuggingFace),
}

impl ModelSource {
    /// Name of the ModelCache.
    #[must_use]
    pub fn cache_name(&self) -> String {
        match self {
            Self::Cache(name) => name.clone(),
            Self::Preset(name) if is_name_of_cache(name) => name.clone(),
            Self::Preset(name) => readable_name(name, name.as_bytes()),
            Self::Hub(repository) => name_of_hub_cache(repository),
        }
    }

    /// The model of a specification.
    #[must_use]
    pub fn of(model: &Model) -> Option<Self> {
        match (&model.cache_ref, &model.preset, &model.hugging_face) {
            (Some(cache), ..) => Some(Self::Cache(cache.name.clone())),
            (_, Some(preset), _) => Some(Self::Preset(preset.name.clone())),
            (.., Some(repository)) => Some(Self::Hub(repository.clone())),
            (None, None, None) => None,
        }
    }
}

/// Name of the ModelCache of a repository: readable, and different for every way to ask for it.
fn name_of_hub_cache(repository: &HuggingFace) -> String {
    let text = serde_json::to_vec(repository).unwrap_or_default();
    readable_name(repository.repo.rsplit('/').next().unwrap_or_default(), &text)
}

/// Longest name of a ModelCache: child Jobs are named after it.
const NAME_BYTES: usize = 45;

/// Whether a ModelCache may have this name.
fn is_name_of_cache(name: &str) -> bool {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    is_plain && name.len() <= NAME_BYTES
}

/// A name of a ModelCache that shows where the model comes from, and is another for every content.
fn readable_name(name: &str, content: &[u8]) -> String {
    /// With the digest and a dash no longer than a name may be.
    const READABLE: usize = 32;
    let digest = blake3::hash(content).to_hex();
    let name = name.to_ascii_lowercase();
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(READABLE).collect();
    let plain = plain.trim_matches('-');
    let readable = if plain.is_empty() { "model" } else { plain };
    format!("{readable}-{}", &digest[..10])
}

/// Where to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hardware {
    /// Processors.
    Cpu,
    /// A GPU.
    Gpu(Gpu),
}

impl Hardware {
    /// Whether a GPU proves; the CPU may step in only for who says so.
    #[must_use]
    pub fn gpu_use(&self) -> GpuUse {
        match self {
            Self::Cpu => GpuUse::None,
            Self::Gpu(gpu) if gpu.gpu_only == Some(false) => GpuUse::Preferred,
            Self::Gpu(_) => GpuUse::Required,
        }
    }
}

/// A specification that can be acted upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valid {
    /// Model.
    pub model: ModelSource,
    /// Prompts, at least one.
    pub inputs: Vec<Input>,
    /// Whether the chat template applies.
    pub chat: bool,
    /// Most tokens to generate.
    pub max_new_tokens: u32,
    /// Inferences in the log.
    pub count: u32,
    /// Where to prove.
    pub hardware: Hardware,
    /// Cores of prove pods.
    pub cores: String,
    /// Memory of prove pods; absent for what the model needs.
    pub memory: Option<String>,
    /// Whether to audit.
    pub audit: bool,
    /// Artifacts claim that exists.
    pub artifacts_claim: Option<String>,
    /// Who admits the job's pods, and before whom.
    pub queue: Queue,
    /// Additions to pods.
    pub overrides: PodOverrides,
    /// Whether to stay away from nodes on which the GPU failed.
    pub avoid_failed_nodes: bool,
}

/// Validate a specification.
///
/// # Errors
/// The first field that this version does not act upon.
pub fn validate(spec: &ProofJobSpec) -> Result<Valid, Unsupported> {
    refuse_later_fields(spec)?;
    let Some(model) = ModelSource::of(&spec.model) else {
        return refuse("spec.model", "use cacheRef, preset: {name: tiny-chat} or huggingFace: {repo}");
    };
    let inference = &spec.inference;
    let Ok(max_new_tokens) = u32::try_from(inference.max_new_tokens) else {
        return refuse("spec.inference.maxNewTokens", "write a number from 1 to 8192");
    };
    let Ok(count) = u32::try_from(inference.capture.as_ref().map_or(1, |capture| capture.count)) else {
        return refuse("spec.inference.capture.count", "write a number from 1 to 1000");
    };
    let ids = |tokens: &[i32]| tokens.iter().map(|&token| u32::try_from(token)).collect::<Result<Vec<_>, _>>();
    let inputs = match (&inference.prompt, &inference.prompts, &inference.tokens) {
        (Some(prompt), ..) => vec![Input::Prompt(prompt.clone())],
        (_, Some(prompts), _) => prompts.iter().cloned().map(Input::Prompt).collect(),
        (.., Some(tokens)) => match ids(tokens) {
            Ok(tokens) => vec![Input::Tokens(tokens)],
            Err(_) => return refuse("spec.inference.tokens", "write ids from 0 on"),
        },
        (None, None, None) => return refuse("spec.inference.promptFrom", "write the text into prompt"),
    };
    let hardware::Resources { hardware, cores, memory } = hardware::validate(&spec.hardware)?;
    Ok(Valid {
        model,
        inputs,
        chat: inference.chat,
        max_new_tokens,
        count,
        hardware,
        cores,
        memory,
        audit: spec.audit.as_ref().and_then(|audit| audit.enabled).unwrap_or(true),
        artifacts_claim: spec.artifacts.as_ref().and_then(|a| a.claim.as_ref()).map(|claim| claim.name.clone()),
        queue: spec.queue.clone().unwrap_or_default(),
        overrides: spec.pod_overrides.clone().unwrap_or_default(),
        avoid_failed_nodes: spec.retry.as_ref().and_then(|retry| retry.avoid_failed_nodes).unwrap_or(true),
    })
}

pub(super) fn refuse<T>(field: &'static str, advice: &'static str) -> Result<T, Unsupported> {
    Err(Unsupported { field, advice })
}

fn refuse_later_fields(spec: &ProofJobSpec) -> Result<(), Unsupported> {
    let proof = spec.proof.clone().unwrap_or_default();
    let inference = &spec.inference;
    let artifacts = spec.artifacts.clone().unwrap_or_default();
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
        (inference.test.is_some(), "spec.inference.test", "leave it out; the float engine's answer is compared anyway"),
        (artifacts.s3.is_some(), "spec.artifacts.s3", "leave it out; files are kept on the artifacts volume"),
        (artifacts.retain == Some(Retain::OnSuccess), "spec.artifacts.retain", "use Always"),
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
        assert_eq!((valid.cores.as_str(), valid.memory, valid.audit), ("1", None, true));
    }

    #[test]
    fn the_cache_of_a_repository_has_a_name_of_its_own_that_kubernetes_takes() {
        let name = |source: &str| {
            let spec = spec(&format!(r#"{{"model":{{"huggingFace":{source}}}}}"#));
            validate(&spec).unwrap().model.cache_name()
        };
        let plain = name(r#"{"repo":"Qwen/Qwen3-14B"}"#);
        assert!(plain.starts_with("qwen3-14b-") && plain.len() <= 45, "{plain}");
        assert_eq!(plain, name(r#"{"repo":"Qwen/Qwen3-14B"}"#));
        for other in [r#"{"repo":"Qwen/Qwen3-14B","layers":2}"#, r#"{"repo":"Qwen/Qwen3-14B","revision":"v1"}"#] {
            assert_ne!(plain, name(other));
        }
        let long = name(&format!(r#"{{"repo":"a/_{}_"}}"#, "X.y".repeat(30)));
        assert!(long.len() <= 45 && long.starts_with("x-y"), "{long}");
    }

    #[test]
    fn every_later_field_is_refused_by_name() {
        for (extra, field) in [
            (r#"{"submission":{"dryRun":{"network":"Sepolia"}}}"#, "spec.submission"),
            (r#"{"proof":{"mode":"Recursive"}}"#, "spec.proof.mode"),
            (r#"{"proof":{"layers":2}}"#, "spec.proof.layers"),
            (r#"{"proof":{"starknetReady":true}}"#, "spec.proof.starknetReady"),
            (r#"{"proof":{"weightBinding":"Batched"}}"#, "spec.proof.weightBinding"),
            (r#"{"proof":{"entrypoint":"V2"}}"#, "spec.proof.entrypoint"),
            (r#"{"inference":{"prompt":"x","test":{"prompt":"y"}}}"#, "spec.inference.test"),
            (r#"{"inference":{"promptFrom":{"configMapKeyRef":{"name":"a","key":"b"}}}}"#, "spec.inference.promptFrom"),
            (r#"{"artifacts":{"s3":{"bucket":"proofs"}}}"#, "spec.artifacts.s3"),
            (r#"{"artifacts":{"retain":"OnSuccess"}}"#, "spec.artifacts.retain"),
            (r#"{"hardware":{"gpu":{"gpuOnly":false,"count":2}}}"#, "spec.hardware.gpu.count"),
            (r#"{"inference":{"prompt":"x","maxNewTokens":-1}}"#, "spec.inference.maxNewTokens"),
            (r#"{"inference":{"prompt":"x","capture":{"count":-1}}}"#, "spec.inference.capture.count"),
            (r#"{"inference":{"tokens":[-1]}}"#, "spec.inference.tokens"),
            (r#"{"hardware":{"gpu":{"minMemory":"80Pi"}}}"#, "spec.hardware.gpu.minMemory"),
        ] {
            assert_eq!(validate(&spec(extra)).unwrap_err().field, field, "{extra}");
        }
    }
}
