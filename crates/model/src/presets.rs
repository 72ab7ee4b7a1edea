//! Named models. Sizes are estimates to show before a download; what counts comes from the hub.

use crate::error::ModelError;

/// A named model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Name on the command line and of the `ModelPreset`.
    pub name: &'static str,
    /// Repository on the hub, or `bundled`.
    pub repository: &'static str,
    /// Architecture, as `config.json` names it.
    pub architecture: &'static str,
    /// Parameters, in millions, about.
    pub million_parameters: u64,
    /// Whether this version runs it.
    pub supported: bool,
}

/// All presets.
pub const PRESETS: [Preset; 7] = [
    preset("tiny-chat", "bundled", "Qwen3ForCausalLM", 1, true),
    preset("phi3-mini", "microsoft/Phi-3-mini-4k-instruct", "Phi3ForCausalLM", 3_821, false),
    preset("mistral-7b", "mistralai/Mistral-7B-Instruct-v0.3", "MistralForCausalLM", 7_248, false),
    preset("llama3-8b", "meta-llama/Llama-3.1-8B-Instruct", "LlamaForCausalLM", 8_030, false),
    preset("gemma2-9b", "google/gemma-2-9b-it", "Gemma2ForCausalLM", 9_242, false),
    preset("qwen3-14b", "Qwen/Qwen3-14B", "Qwen3ForCausalLM", 14_768, false),
    preset("llama3-70b", "meta-llama/Llama-3.1-70B-Instruct", "LlamaForCausalLM", 70_554, false),
];

const fn preset(
    name: &'static str,
    repository: &'static str,
    architecture: &'static str,
    million_parameters: u64,
    supported: bool,
) -> Preset {
    Preset { name, repository, architecture, million_parameters, supported }
}

/// The preset of a name that this version runs.
///
/// # Errors
/// [`ModelError::BadInput`] for an unknown name, [`ModelError::Unsupported`] for a known one that is not run yet.
pub fn find(name: &str) -> Result<&'static Preset, ModelError> {
    let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) else {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        return Err(ModelError::BadInput(format!("no preset `{name}`; there are {}", names.join(", "))));
    };
    if preset.supported {
        Ok(preset)
    } else {
        Err(ModelError::Unsupported(format!(
            "preset `{name}` ({}, {}): this version does not download models",
            preset.repository, preset.architecture
        )))
    }
}
