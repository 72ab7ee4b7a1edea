//! Named models. Sizes are estimates to show before a download; what counts comes from the hub.

use crate::error::ModelError;

/// A named model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Name on the command line and of the `ModelPreset`.
    pub name: &'static str,
    /// Where it comes from.
    pub origin: Origin,
    /// Architecture, as `config.json` names it.
    pub architecture: &'static str,
    /// Parameters, in millions, about.
    pub million_parameters: u64,
}

/// Where a preset comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This program.
    Bundled,
    /// A repository of the hub.
    Hub(&'static str),
}

/// All presets.
pub const PRESETS: [Preset; 8] = [
    preset("tiny-chat", Origin::Bundled, "Qwen3ForCausalLM", 1),
    preset("smollm2-135m", Origin::Hub("HuggingFaceTB/SmolLM2-135M-Instruct"), "LlamaForCausalLM", 135),
    preset("phi3-mini", Origin::Hub("microsoft/Phi-3-mini-4k-instruct"), "Phi3ForCausalLM", 3_821),
    preset("mistral-7b", Origin::Hub("mistralai/Mistral-7B-Instruct-v0.3"), "MistralForCausalLM", 7_248),
    preset("llama3-8b", Origin::Hub("meta-llama/Llama-3.1-8B-Instruct"), "LlamaForCausalLM", 8_030),
    preset("gemma2-9b", Origin::Hub("google/gemma-2-9b-it"), "Gemma2ForCausalLM", 9_242),
    preset("qwen3-14b", Origin::Hub("Qwen/Qwen3-14B"), "Qwen3ForCausalLM", 14_768),
    preset("llama3-70b", Origin::Hub("meta-llama/Llama-3.1-70B-Instruct"), "LlamaForCausalLM", 70_554),
];

const fn preset(name: &'static str, origin: Origin, architecture: &'static str, million_parameters: u64) -> Preset {
    Preset { name, origin, architecture, million_parameters }
}

impl Preset {
    /// The repository, or `bundled`.
    #[must_use]
    pub fn repository(&self) -> &'static str {
        match self.origin {
            Origin::Bundled => "bundled",
            Origin::Hub(repository) => repository,
        }
    }
}

/// The preset of a name.
///
/// # Errors
/// [`ModelError::UnknownPreset`].
pub fn find(name: &str) -> Result<&'static Preset, ModelError> {
    PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        ModelError::UnknownPreset(format!("no preset `{name}`; there are {}", names.join(", ")))
    })
}
