//! `config.json`, in the style of the hub's repositories and in that of newer tools.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{Activation, Architecture, ModelConfig, RotaryConfig, RotaryScaling};
use crate::error::ModelError;

/// Largest of any size. It keeps products of sizes far from overflow; the largest published model has 256,000 tokens.
const LARGEST_SIZE: usize = 1 << 24;
/// Most layers.
const MOST_LAYERS: usize = 1 << 10;

#[derive(Deserialize)]
struct Raw {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: f64,
    max_position_embeddings: usize,
    tie_word_embeddings: Option<bool>,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    hidden_activation: Option<String>,
    #[serde(default)]
    eos_token_id: Value,
    rope_theta: Option<f64>,
    rope_scaling: Option<Rope>,
    rope_parameters: Option<Rope>,
    partial_rotary_factor: Option<f64>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    max_window_layers: Option<usize>,
    layer_types: Option<Vec<String>>,
    query_pre_attn_scalar: Option<f64>,
    attn_logit_softcapping: Option<f64>,
    final_logit_softcapping: Option<f64>,
}

/// `rope_scaling` of the hub's style, `rope_parameters` of the newer one.
#[derive(Deserialize)]
struct Rope {
    rope_theta: Option<f64>,
    #[serde(alias = "type")]
    rope_type: Option<String>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    partial_rotary_factor: Option<f64>,
}

pub(super) fn read(folder: &Path) -> Result<ModelConfig, ModelError> {
    let path = folder.join("config.json");
    let text = fs::read(&path).map_err(|error| ModelError::io(&path, error))?;
    let mut config = parse(&text, &path)?;
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

pub(super) fn parse(text: &[u8], path: &Path) -> Result<ModelConfig, ModelError> {
    let value: Value = serde_json::from_slice(text).map_err(|error| ModelError::corrupt(path, error.to_string()))?;
    let named = value["architectures"][0].as_str().unwrap_or("(none)").to_owned();
    let Some(architecture) = Architecture::ALL.into_iter().find(|known| known.name() == named) else {
        let known: Vec<&str> = Architecture::ALL.iter().map(|known| known.name()).collect();
        return Err(ModelError::Unsupported(format!(
            "architecture {named} in {}; this version runs {}",
            path.display(),
            known.join(", ")
        )));
    };
    let raw: Raw = serde_json::from_value(value).map_err(|error| ModelError::corrupt(path, error.to_string()))?;
    raw.check(architecture, path)
}

impl Raw {
    fn check(self, architecture: Architecture, path: &Path) -> Result<ModelConfig, ModelError> {
        let gemma = architecture == Architecture::Gemma2;
        if self.mlp_bias || (self.attention_bias && !architecture.has_biases()) {
            return Err(unsupported("biases on these projections", path));
        }
        let head_dim = self.check_sizes(path)?;
        let score_divisor = match self.query_pre_attn_scalar {
            Some(scalar) if gemma => scalar,
            _ => head_dim as f64,
        };
        let cap = |value: Option<f64>| value.filter(|_| gemma);
        let (score_cap, logit_cap) = (cap(self.attn_logit_softcapping), cap(self.final_logit_softcapping));
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let numbers = [Some(self.rms_norm_eps), Some(score_divisor), score_cap, logit_cap];
        if let Some(number) = numbers.into_iter().flatten().find(|&number| !positive(number)) {
            return Err(ModelError::corrupt(path, format!("{number} where a positive number belongs")));
        }
        Ok(ModelConfig {
            architecture,
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            head_dim,
            rotary: self.rotary(path)?,
            rms_norm_eps: self.rms_norm_eps,
            max_positions: self.max_position_embeddings,
            tied_embeddings: self.tie_word_embeddings.unwrap_or(gemma),
            eos_token_ids: token_ids(&self.eos_token_id),
            activation: self.activation(path)?,
            score_scale: 1.0 / score_divisor.sqrt(),
            score_cap,
            logit_cap,
            embedding_factor: if gemma { (self.hidden_size as f64).sqrt() } else { 1.0 },
            windows: self.windows(architecture, path)?,
        })
    }

    /// Check all sizes; returns the width of a head.
    fn check_sizes(&self, path: &Path) -> Result<usize, ModelError> {
        let heads = self.num_attention_heads;
        let kv_heads = self.num_key_value_heads.unwrap_or(heads);
        let head_dim = self.head_dim.unwrap_or(self.hidden_size / heads.max(1));
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads", heads),
            ("num_key_value_heads", kv_heads),
            ("max_position_embeddings", self.max_position_embeddings),
            ("head_dim", head_dim),
        ];
        if let Some((name, size)) = sizes.into_iter().find(|(_, size)| !(1..=LARGEST_SIZE).contains(size)) {
            return Err(ModelError::corrupt(path, format!("{name} is {size}; it must be 1 to {LARGEST_SIZE}")));
        }
        if !(1..=MOST_LAYERS).contains(&self.num_hidden_layers) {
            let layers = self.num_hidden_layers;
            return Err(ModelError::corrupt(
                path,
                format!("num_hidden_layers is {layers}; it must be 1 to {MOST_LAYERS}"),
            ));
        }
        if !heads.is_multiple_of(kv_heads) || !head_dim.is_multiple_of(2) {
            return Err(ModelError::corrupt(path, format!("{heads} heads, {kv_heads} key heads of width {head_dim}")));
        }
        Ok(head_dim)
    }

    fn activation(&self, path: &Path) -> Result<Activation, ModelError> {
        match self.hidden_activation.as_deref().or(self.hidden_act.as_deref()) {
            None | Some("silu") => Ok(Activation::Silu),
            Some("gelu_pytorch_tanh") => Ok(Activation::GeluTanh),
            Some(other) => Err(unsupported(&format!("activation {other}"), path)),
        }
    }

    fn rotary(&self, path: &Path) -> Result<RotaryConfig, ModelError> {
        /// What `transformers` takes where a Llama 2 names no base.
        const USUAL_THETA: f64 = 10_000.0;
        let rope = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref());
        let theta = rope.and_then(|rope| rope.rope_theta).or(self.rope_theta).unwrap_or(USUAL_THETA);
        if !(theta.is_finite() && theta >= 1.0) {
            return Err(ModelError::corrupt(path, format!("rope_theta is {theta}")));
        }
        let partial = rope.and_then(|rope| rope.partial_rotary_factor).or(self.partial_rotary_factor);
        if partial.is_some_and(|factor| factor != 1.0) {
            return Err(unsupported("rotary positions on a part of each head", path));
        }
        let scaling = match rope.and_then(|rope| rope.rope_type.as_deref().map(|kind| (rope, kind))) {
            None | Some((_, "default")) => None,
            Some((rope, "llama3")) => {
                let lacks = |name: &str| ModelError::corrupt(path, format!("llama3 rotary scaling without {name}"));
                let scaling = RotaryScaling {
                    factor: rope.factor.ok_or_else(|| lacks("factor"))?,
                    low: rope.low_freq_factor.ok_or_else(|| lacks("low_freq_factor"))?,
                    high: rope.high_freq_factor.ok_or_else(|| lacks("high_freq_factor"))?,
                    original: rope
                        .original_max_position_embeddings
                        .ok_or_else(|| lacks("original_max_position_embeddings"))?,
                };
                let sane = (1.0..=1e4).contains(&scaling.factor)
                    && (0.01..=1e4).contains(&scaling.low)
                    && scaling.low < scaling.high
                    && scaling.high <= 1e4
                    && (1..=LARGEST_SIZE).contains(&scaling.original);
                if !sane {
                    return Err(ModelError::corrupt(path, format!("llama3 rotary scaling out of range: {scaling:?}")));
                }
                Some(scaling)
            }
            Some((_, kind)) => return Err(unsupported(&format!("rotary scaling of type {kind}"), path)),
        };
        Ok(RotaryConfig { theta, scaling })
    }

    /// The window of every layer.
    fn windows(&self, architecture: Architecture, path: &Path) -> Result<Vec<Option<usize>>, ModelError> {
        let layers = self.num_hidden_layers;
        let window = self.sliding_window;
        let is_local: Vec<bool> = match (&self.layer_types, architecture) {
            (Some(types), _) if types.len() < layers => {
                return Err(ModelError::corrupt(path, format!("layer_types has {} entries", types.len())));
            }
            (Some(types), _) => types
                .iter()
                .take(layers)
                .map(|kind| match kind.as_str() {
                    "full_attention" => Ok(false),
                    "sliding_attention" => Ok(true),
                    other => Err(unsupported(&format!("layers of type {other}"), path)),
                })
                .collect::<Result<_, _>>()?,
            (None, Architecture::Llama) => vec![false; layers],
            (None, Architecture::Mistral | Architecture::Phi3) => vec![window.is_some(); layers],
            (None, Architecture::Gemma2) => (0..layers).map(|layer| layer % 2 == 0).collect(),
            (None, Architecture::Qwen2 | Architecture::Qwen3) => {
                let first = if self.use_sliding_window == Some(true) && window.is_some() {
                    self.max_window_layers.unwrap_or(layers)
                } else {
                    layers
                };
                (0..layers).map(|layer| layer >= first).collect()
            }
        };
        is_local
            .into_iter()
            .map(|local| match (local, window) {
                (false, _) => Ok(None),
                (true, Some(window)) if window > 0 => Ok(Some(window)),
                (true, _) => Err(ModelError::corrupt(path, "sliding layers without a sliding_window")),
            })
            .collect()
    }
}

fn unsupported(what: &str, path: &Path) -> ModelError {
    ModelError::Unsupported(format!("{what}, which {} calls for", path.display()))
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

    const HUB: &[u8] = include_bytes!("../../bundle/tiny-chat/config.json");

    #[test]
    fn both_styles_of_config_describe_the_same_model() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models");
        for name in ["tiny-chat", "qwen3", "llama31", "mistral", "phi3", "gemma2"] {
            let parse = |file: &str| {
                let path = match (name, file) {
                    ("tiny-chat", "config.json") => return parse(HUB, Path::new(file)).unwrap(),
                    _ => fixtures.join(name).join(file),
                };
                super::parse(&fs::read(&path).unwrap(), &path).unwrap()
            };
            assert_eq!(parse("config.json"), parse("config.v5.json"), "{name}");
        }
    }

    #[test]
    fn an_unknown_architecture_is_named_beside_the_known_ones() {
        let text = String::from_utf8(HUB.to_vec()).unwrap().replace("Qwen3ForCausalLM", "RwkvForCausalLM");
        let error = parse(text.as_bytes(), Path::new("config.json")).unwrap_err();
        assert!(matches!(error, ModelError::Unsupported(_)));
        assert!(error.to_string().contains("RwkvForCausalLM") && error.to_string().contains("Qwen3ForCausalLM"));
    }

    #[test]
    fn a_size_that_no_model_has_is_named_and_computed_with_nowhere() {
        for name in ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "head_dim"] {
            for size in [0u64, u64::MAX / 2, 1 << 40] {
                let mut config: Value = serde_json::from_slice(HUB).unwrap();
                config[name] = size.into();
                let error = parse(config.to_string().as_bytes(), Path::new("config.json")).unwrap_err();
                assert!(matches!(error, ModelError::Corrupt { .. }) && error.to_string().contains(name), "{error}");
            }
        }
    }

    #[test]
    fn what_is_not_run_is_refused_and_not_ignored() {
        let cases = [
            (r#"{"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}"#, "yarn"),
            (r#"{"attention_bias": true}"#, "biases"),
            (r#"{"hidden_act": "relu2"}"#, "relu2"),
            (r#"{"partial_rotary_factor": 0.75}"#, "part of each head"),
            (r#"{"layer_types": ["linear_attention", "a", "b", "c"]}"#, "linear_attention"),
        ];
        for (change, named) in cases {
            let mut config: Value = serde_json::from_slice(HUB).unwrap();
            let change: Value = serde_json::from_str(change).unwrap();
            config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let error = parse(config.to_string().as_bytes(), Path::new("config.json")).unwrap_err();
            assert!(matches!(error, ModelError::Unsupported(_)) && error.to_string().contains(named), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_damaged_config_is_an_error_and_no_panic(place in 0..HUB.len(), byte: u8) {
            let mut text = HUB.to_vec();
            text[place] = byte;
            let _ = parse(&text, Path::new("config.json"));
        }
    }
}
