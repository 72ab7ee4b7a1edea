//! `config.json`, in the style of the hub's repositories and in that of newer tools. What a key means, and what its absence
//! means, is a matter of the family: a key of another family is none.

use std::path::Path;

use serde_json::{Map, Value};

use super::defaults::Defaults;
use super::keys::Keys;
use super::{Activation, Architecture, LARGEST_SIZE, ModelConfig, rotary};
use crate::error::ModelError;
use crate::generation::GenerationConfig;
use crate::json_file::read_object;

/// Most layers.
const MOST_LAYERS: usize = 1 << 10;
/// Largest `rms_norm_eps`, some thousand times that of published models: the integer engine has no format for more.
const LARGEST_EPSILON: f64 = 0.01;

pub(super) fn read(folder: &Path) -> Result<ModelConfig, ModelError> {
    let path = folder.join("config.json");
    let object = read_object(&path)?.ok_or_else(|| ModelError::Missing(path.clone()))?;
    let mut config = parse_object(&object, &path)?;
    if let Some(ids) = GenerationConfig::read(folder)?.eos_token_ids {
        config.eos_token_ids = ids;
    }
    Ok(config)
}

pub(super) fn parse(text: &[u8], path: &Path) -> Result<ModelConfig, ModelError> {
    let object: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| ModelError::corrupt(path, error.to_string()))?;
    parse_object(&object, path)
}

fn parse_object(object: &Map<String, Value>, path: &Path) -> Result<ModelConfig, ModelError> {
    let keys = Keys::new(object, path);
    let architecture = architecture(keys)?;
    Reader { keys, architecture, defaults: Defaults::of(architecture) }.config()
}

/// The family. `architectures` names it, else `model_type`.
fn architecture(keys: Keys) -> Result<Architecture, ModelError> {
    let named = keys.list("architectures")?.and_then(|names| names.first()).and_then(Value::as_str);
    let kind = keys.text("model_type")?;
    let by_name = Architecture::ALL.into_iter().find(|known| Some(known.name()) == named);
    let by_kind = Architecture::ALL.into_iter().find(|known| Some(known.model_type()) == kind);
    match (named, kind) {
        (Some(named), Some(kind)) if by_name.is_some() && by_name != by_kind => {
            Err(keys
                .corrupt(format!("`architectures` is {named}, and `model_type` is {kind}: which of the two is it?")))
        }
        (Some(_), _) if by_name.is_some() => Ok(by_name.expect("just looked at")),
        (None, Some(_)) if by_kind.is_some() => Ok(by_kind.expect("just looked at")),
        _ => {
            let known: Vec<&str> = Architecture::ALL.iter().map(|known| known.name()).collect();
            let named = named.or(kind).unwrap_or("(none)");
            Err(keys.unsupported(&format!("architecture {named} (this version runs {})", known.join(", "))))
        }
    }
}

struct Reader<'a> {
    keys: Keys<'a>,
    architecture: Architecture,
    defaults: Defaults,
}

impl Reader<'_> {
    fn config(&self) -> Result<ModelConfig, ModelError> {
        let (keys, architecture, defaults) = (self.keys, self.architecture, &self.defaults);
        self.refuse_other_kinds()?;
        let size = |name: &str, default: usize| self.size(name, Some(default));
        let hidden_size = size("hidden_size", defaults.hidden_size)?;
        let heads = size("num_attention_heads", defaults.heads)?;
        let kv_heads = match keys.has("num_key_value_heads") {
            // Null is what older tools wrote for as many as query heads.
            true => self.size("num_key_value_heads", Some(heads))?,
            false => defaults.kv_heads.unwrap_or(heads),
        };
        let head_dim = self.size("head_dim", Some(defaults.head_dim.unwrap_or(hidden_size / heads)))?;
        if !heads.is_multiple_of(kv_heads) || !head_dim.is_multiple_of(2) {
            return Err(keys.corrupt(format!("{heads} heads, {kv_heads} key heads of width {head_dim}")));
        }
        let layers = size("num_hidden_layers", defaults.layers)?;
        if layers > MOST_LAYERS {
            return Err(keys.corrupt(format!("`num_hidden_layers` is {layers}; it must be 1 to {MOST_LAYERS}")));
        }
        let max_positions = size("max_position_embeddings", defaults.max_positions)?;
        let score_divisor = match defaults.query_pre_attn_scalar {
            Some(scalar) => self.positive("query_pre_attn_scalar", Some(scalar))?.unwrap_or(scalar),
            None => head_dim as f64,
        };
        let is_gemma = architecture == Architecture::Gemma2;
        Ok(ModelConfig {
            architecture,
            vocab_size: size("vocab_size", defaults.vocab_size)?,
            hidden_size,
            intermediate_size: size("intermediate_size", defaults.intermediate_size)?,
            layers,
            heads,
            kv_heads,
            head_dim,
            rotary: rotary::read(keys, architecture, max_positions)?,
            rms_norm_eps: self.epsilon()?,
            max_positions,
            tied_embeddings: match keys.value("tie_word_embeddings") {
                Some(_) => keys.flag("tie_word_embeddings")?,
                None => defaults.tied_embeddings,
            },
            eos_token_ids: match keys.has("eos_token_id") {
                true => keys.token_ids("eos_token_id")?.unwrap_or_default(),
                false => defaults.eos_token_id.into_iter().collect(),
            },
            activation: self.activation()?,
            score_scale: 1.0 / score_divisor.sqrt(),
            score_cap: self.cap("attn_logit_softcapping", defaults.score_cap)?,
            logit_cap: self.cap("final_logit_softcapping", defaults.logit_cap)?,
            embedding_factor: if is_gemma { (hidden_size as f64).sqrt() } else { 1.0 },
            windows: self.windows(layers)?,
        })
    }

    /// Refuse what the family has and this version does not run.
    fn refuse_other_kinds(&self) -> Result<(), ModelError> {
        use Architecture::{Gemma2, Llama, Qwen3};
        let (keys, architecture) = (self.keys, self.architecture);
        for name in ["quantization_config", "compression_config"] {
            if let Some(settings) = keys.value(name) {
                let method = settings["quant_method"].as_str().unwrap_or("of some kind");
                let what = format!("quantised weights (`{name}`, {method}; take the model's bf16, f16 or f32 weights)");
                return Err(keys.unsupported(&what));
            }
        }
        let biased = (matches!(architecture, Llama | Gemma2 | Qwen3) && keys.flag("attention_bias")?)
            || (architecture == Llama && keys.flag("mlp_bias")?);
        if biased {
            return Err(keys.unsupported("biases on these projections"));
        }
        if architecture == Gemma2 && keys.flag("use_bidirectional_attention")? {
            return Err(keys.unsupported("attention to later tokens"));
        }
        if keys.value("per_layer_config").is_some() {
            return Err(keys.unsupported("layers of different sizes"));
        }
        Ok(())
    }

    fn size(&self, name: &str, default: Option<usize>) -> Result<usize, ModelError> {
        let size = self.keys.size(name)?.or(default).unwrap_or_default();
        if !(1..=LARGEST_SIZE).contains(&size) {
            return Err(self.keys.corrupt(format!("`{name}` is {size}; it must be 1 to {LARGEST_SIZE}")));
        }
        Ok(size)
    }

    /// A positive number; null is the absence of one.
    fn positive(&self, name: &str, default: Option<f64>) -> Result<Option<f64>, ModelError> {
        if !self.keys.has(name) {
            return Ok(default);
        }
        match self.keys.number(name)? {
            Some(number) if !(number.is_finite() && number > 0.0) => {
                Err(self.keys.corrupt(format!("`{name}` is {number}, and a positive number belongs there")))
            }
            number => Ok(number),
        }
    }

    fn cap(&self, name: &str, default: Option<f64>) -> Result<Option<f64>, ModelError> {
        default.map_or(Ok(None), |cap| self.positive(name, Some(cap)))
    }

    fn epsilon(&self) -> Result<f64, ModelError> {
        let default = self.defaults.rms_norm_eps;
        let epsilon = self.positive("rms_norm_eps", Some(default))?.unwrap_or(default);
        if epsilon > LARGEST_EPSILON {
            return Err(self.keys.unsupported(&format!("an `rms_norm_eps` of {epsilon}, above {LARGEST_EPSILON}")));
        }
        Ok(epsilon)
    }

    fn activation(&self) -> Result<Activation, ModelError> {
        let key = if self.architecture == Architecture::Gemma2 { "hidden_activation" } else { "hidden_act" };
        match self.keys.text(key)?.unwrap_or(self.defaults.activation) {
            "silu" | "swish" => Ok(Activation::Silu),
            "gelu_pytorch_tanh" | "gelu_new" => Ok(Activation::GeluTanh),
            other => Err(self.keys.unsupported(&format!("activation {other} (`{key}`)"))),
        }
    }

    /// The window of every layer.
    fn windows(&self, layers: usize) -> Result<Vec<Option<usize>>, ModelError> {
        use Architecture::{Gemma2, Llama, Mistral, Phi3, Qwen2, Qwen3};
        let (keys, defaults) = (self.keys, &self.defaults);
        let is_used = match self.architecture {
            Llama => false,
            Qwen2 | Qwen3 => keys.flag("use_sliding_window")?,
            Mistral | Phi3 | Gemma2 => true,
        };
        let window = match (is_used, keys.has("sliding_window")) {
            (false, _) => None,
            (true, true) => keys.size("sliding_window")?,
            (true, false) => defaults.window,
        };
        let first = keys.size("max_window_layers")?.unwrap_or(defaults.max_window_layers);
        let usual = |layer: usize| match self.architecture {
            Llama => false,
            Mistral | Phi3 => window.is_some(),
            Gemma2 => layer.is_multiple_of(2),
            Qwen2 | Qwen3 => window.is_some() && layer >= first,
        };
        let stated = self.layer_types(layers)?;
        // Families whose layers are all alike do not read the list: one that says otherwise is of another family.
        if matches!(self.architecture, Llama | Mistral | Phi3)
            && stated.as_ref().is_some_and(|stated| (0..layers).any(|layer| stated[layer] != usual(layer)))
        {
            return Err(keys.unsupported("`layer_types` other than those of its family"));
        }
        (0..layers)
            .map(|layer| match (stated.as_ref().map_or_else(|| usual(layer), |stated| stated[layer]), window) {
                (false, _) => Ok(None),
                (true, Some(window)) if window > 0 => Ok(Some(window)),
                (true, _) => Err(keys.corrupt("sliding layers without a `sliding_window`")),
            })
            .collect()
    }

    /// Whether each layer has a window, where `layer_types` says so.
    fn layer_types(&self, layers: usize) -> Result<Option<Vec<bool>>, ModelError> {
        let Some(types) = self.keys.list("layer_types")? else { return Ok(None) };
        if types.len() < layers {
            return Err(self.keys.corrupt(format!("`layer_types` has {} entries for {layers} layers", types.len())));
        }
        let is_local = |kind: &Value| match kind.as_str() {
            Some("full_attention") => Ok(false),
            Some("sliding_attention") => Ok(true),
            _ => Err(self.keys.unsupported(&format!("layers of type {kind}"))),
        };
        types.iter().take(layers).map(is_local).collect::<Result<_, _>>().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use proptest::prelude::*;

    const HUB: &[u8] = include_bytes!("../../bundle/tiny-chat/config.json");

    #[test]
    fn both_styles_of_config_describe_the_same_model() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models");
        for name in ["tiny-chat", "qwen2", "qwen3", "llama31", "mistral", "phi3", "gemma2"] {
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
