//! Checkpoints of any shape with random weights.

use std::collections::HashMap;
use std::fs;

use obelysk_model::config::ModelConfig;
use obelysk_model::decoder::expected_tensors;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::derived::write;
use crate::subject::fixture;

/// The shape of a decoder.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Name of the architecture, without `ForCausalLM`.
    pub architecture: &'static str,
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside of the feed-forward block.
    pub intermediate: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Query heads per key head.
    pub group: usize,
    /// Half the width of a head.
    pub half_head: usize,
    /// Tokens, not fewer than the fixtures' tokenizer has.
    pub vocabulary: usize,
    /// Positions that windowed layers see.
    pub window: usize,
    /// Whether the output head is the embedding.
    pub tied: bool,
    /// Spread of the weights.
    pub spread: f32,
    /// Of the weights.
    pub seed: u64,
}

impl Shape {
    fn is(&self, architecture: &str) -> bool {
        self.architecture == architecture
    }

    fn config(&self) -> Value {
        json!({
            "architectures": [format!("{}ForCausalLM", self.architecture)],
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.kv_heads * self.group,
            "num_key_value_heads": self.kv_heads,
            "head_dim": 2 * self.half_head,
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 128,
            "tie_word_embeddings": self.tied,
            "hidden_act": if self.is("Gemma2") { "gelu_pytorch_tanh" } else { "silu" },
            "rope_theta": 10_000.0,
            "sliding_window": self.window,
            "use_sliding_window": true,
            "max_window_layers": 1,
            "query_pre_attn_scalar": 2 * self.half_head,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        })
    }

    /// A checkpoint of this shape, with the fixtures' tokenizer. Gains of norms are near one, or near zero where the
    /// architecture adds one.
    ///
    /// # Panics
    /// If there is no room for it.
    #[must_use]
    pub fn checkpoint(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder for a test");
        fs::copy(fixture("llama31").join("tokenizer.json"), folder.path().join("tokenizer.json")).expect("a tokenizer");
        fs::write(folder.path().join("config.json"), self.config().to_string()).expect("a folder for a test");
        let mut state = self.seed | 1;
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        let middle = if self.is("Gemma2") { 0.0 } else { 1.0 };
        let config = ModelConfig::read(folder.path()).expect("a config that is written as others are");
        let tensors: HashMap<String, (Vec<usize>, Vec<u8>)> = expected_tensors(&config)
            .into_iter()
            .map(|(name, shape)| {
                let is_gain = name.contains("norm");
                let mut entry = || if is_gain { middle + 0.3 * uniform() } else { self.spread * uniform() };
                let bytes = (0..shape.iter().product()).flat_map(|_| entry().to_le_bytes()).collect();
                (name, (shape, bytes))
            })
            .collect();
        let views = tensors.iter().map(|(name, (shape, bytes))| {
            (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).expect("as many entries"))
        });
        write(folder.path(), views);
        folder
    }
}
