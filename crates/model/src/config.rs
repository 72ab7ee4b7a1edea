//! `config.json`, in the style of the hub's repositories and in that of newer tools.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::ModelError;

/// The architectures that this version runs, as `config.json` names them.
const SUPPORTED: [&str; 1] = ["Qwen3ForCausalLM"];

/// What the engines need to know of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Name of the architecture.
    pub architecture: String,
    /// Number of tokens.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads, a divisor of `heads`.
    pub kv_heads: usize,
    /// Width of a head, even.
    pub head_dim: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Added to the mean square in norms.
    pub rms_norm_eps: f64,
    /// Longest sequence.
    pub max_positions: usize,
    /// Whether the head shares the embedding's weights.
    pub tied_embeddings: bool,
    /// Tokens that end a generation.
    pub eos_token_ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    architectures: Vec<String>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: f64,
    max_position_embeddings: usize,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    hidden_act: Option<String>,
    #[serde(default)]
    eos_token_id: Value,
    rope_theta: Option<f64>,
    rope_scaling: Option<Value>,
    rope_parameters: Option<RopeParameters>,
    #[serde(default)]
    use_sliding_window: bool,
}

#[derive(Deserialize)]
struct RopeParameters {
    rope_theta: f64,
    #[serde(default)]
    rope_type: Option<String>,
}

impl ModelConfig {
    /// Read `config.json` of a folder, and `generation_config.json` for its end tokens.
    ///
    /// # Errors
    /// [`ModelError::Missing`], [`ModelError::Corrupt`] and [`ModelError::Unsupported`].
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let text = fs::read(&path).map_err(|error| ModelError::io(&path, error))?;
        let mut config = Self::parse(&text, &path)?;
        if let Ok(text) = fs::read(folder.join("generation_config.json"))
            && let Ok(value) = serde_json::from_slice::<Value>(&text)
        {
            for id in token_ids(&value["eos_token_id"]) {
                if !config.eos_token_ids.contains(&id) {
                    config.eos_token_ids.push(id);
                }
            }
        }
        Ok(config)
    }

    /// Parse the text of `config.json`; `path` is for messages.
    ///
    /// # Errors
    /// As [`ModelConfig::read`].
    pub fn parse(text: &[u8], path: &Path) -> Result<Self, ModelError> {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| ModelError::corrupt(path, error.to_string()))?;
        let named = value["architectures"][0].as_str().unwrap_or("(none)").to_owned();
        if !SUPPORTED.contains(&named.as_str()) {
            return Err(ModelError::Unsupported(format!(
                "architecture {named} in {}; this version runs {}",
                path.display(),
                SUPPORTED.join(", ")
            )));
        }
        let raw: Raw = serde_json::from_value(value).map_err(|error| ModelError::corrupt(path, error.to_string()))?;
        raw.check(path)
    }
}

impl Raw {
    fn check(self, path: &Path) -> Result<ModelConfig, ModelError> {
        let unsupported = |what: &str| Err(ModelError::Unsupported(format!("{what} in {}", path.display())));
        let rope_theta = match (&self.rope_parameters, self.rope_theta) {
            (Some(parameters), _) => parameters.rope_theta,
            (None, Some(theta)) => theta,
            (None, None) => return Err(ModelError::corrupt(path, "neither rope_theta nor rope_parameters")),
        };
        let scaled = self.rope_scaling.as_ref().is_some_and(|scaling| !scaling.is_null())
            || self
                .rope_parameters
                .as_ref()
                .is_some_and(|p| p.rope_type.as_deref().is_some_and(|kind| kind != "default"));
        if scaled {
            return unsupported("scaled rotary positions");
        }
        if self.attention_bias {
            return unsupported("attention biases");
        }
        if self.use_sliding_window {
            return unsupported("sliding windows");
        }
        if self.hidden_act.as_deref().is_some_and(|activation| activation != "silu") {
            return unsupported("an activation other than silu");
        }
        let heads = self.num_attention_heads;
        let kv_heads = self.num_key_value_heads.unwrap_or(heads);
        let sizes = [
            self.vocab_size,
            self.hidden_size,
            self.intermediate_size,
            self.num_hidden_layers,
            heads,
            kv_heads,
            self.max_position_embeddings,
        ];
        if sizes.contains(&0) {
            return Err(ModelError::corrupt(path, "a size is zero"));
        }
        let head_dim = self.head_dim.unwrap_or(self.hidden_size / heads);
        if !heads.is_multiple_of(kv_heads) || head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Err(ModelError::corrupt(path, format!("{heads} heads, {kv_heads} key heads of width {head_dim}")));
        }
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if !positive(rope_theta) || !positive(self.rms_norm_eps) {
            return Err(ModelError::corrupt(path, "rope_theta or rms_norm_eps is not positive"));
        }
        Ok(ModelConfig {
            architecture: self.architectures.into_iter().next().unwrap_or_default(),
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads,
            kv_heads,
            head_dim,
            rope_theta,
            rms_norm_eps: self.rms_norm_eps,
            max_positions: self.max_position_embeddings,
            tied_embeddings: self.tie_word_embeddings,
            eos_token_ids: token_ids(&self.eos_token_id),
        })
    }
}

/// One id, a list of ids, or null.
fn token_ids(value: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Value::Array(ids) => ids.iter().filter_map(id).collect(),
        other => id(other).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HUB: &[u8] = include_bytes!("../bundle/tiny-chat/config.json");
    const NEWER: &[u8] = include_bytes!("../../../tests/fixtures/models/tiny-chat/config.v5.json");

    #[test]
    fn both_styles_of_config_describe_the_same_model() {
        let path = Path::new("config.json");
        assert_eq!(ModelConfig::parse(HUB, path).unwrap(), ModelConfig::parse(NEWER, path).unwrap());
    }

    #[test]
    fn an_unknown_architecture_is_named_beside_the_known_ones() {
        let text = String::from_utf8(HUB.to_vec()).unwrap().replace("Qwen3ForCausalLM", "RwkvForCausalLM");
        let error = ModelConfig::parse(text.as_bytes(), Path::new("config.json")).unwrap_err();
        assert!(matches!(error, ModelError::Unsupported(_)));
        assert!(error.to_string().contains("RwkvForCausalLM") && error.to_string().contains("Qwen3ForCausalLM"));
    }

    proptest! {
        #[test]
        fn a_damaged_config_is_an_error_and_no_panic(place in 0..HUB.len(), byte: u8) {
            let mut text = HUB.to_vec();
            text[place] = byte;
            let _ = ModelConfig::parse(&text, Path::new("config.json"));
        }
    }
}
