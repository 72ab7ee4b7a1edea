//! Which tensors of a checkpoint a decoder is made of: names, shapes, and where one matrix serves several projections.

use std::ops::Range;

use crate::checkpoint::Checkpoint;
use crate::config::{Architecture, ModelConfig};
use crate::error::ModelError;

/// Token embeddings.
pub const EMBEDDING: &str = "model.embed_tokens.weight";
/// Output head; absent where it shares the embedding's weights.
pub const HEAD: &str = "lm_head.weight";
/// Gain of the last norm.
pub const LAST_NORM: &str = "model.norm.weight";

/// A matrix of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projection {
    /// To queries, shape [heads x head_dim, hidden].
    Query,
    /// To keys, shape [kv heads x head_dim, hidden].
    Key,
    /// To values, shape [kv heads x head_dim, hidden].
    Value,
    /// From mixed values, shape [hidden, heads x head_dim].
    Output,
    /// To gates, shape [intermediate, hidden].
    Gate,
    /// To what gates multiply, shape [intermediate, hidden].
    Up,
    /// From products, shape [hidden, intermediate].
    Down,
}

/// A norm of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerNorm {
    /// Before attention.
    Attention,
    /// Of query heads.
    Query,
    /// Of key heads.
    Key,
    /// After attention, before its output joins the stream.
    AttentionOutput,
    /// Before the feed-forward block.
    FeedForward,
    /// After the feed-forward block, before its output joins the stream.
    FeedForwardOutput,
}

impl Projection {
    const ALL: [Self; 7] = [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    /// Shape [rows, columns].
    #[must_use]
    pub fn shape(self, config: &ModelConfig) -> [usize; 2] {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        match self {
            Self::Query => [queries, hidden],
            Self::Key | Self::Value => [keys, hidden],
            Self::Output => [hidden, queries],
            Self::Gate | Self::Up => [inner, hidden],
            Self::Down => [hidden, inner],
        }
    }

    /// Name of its matrix in a layer, and its rows there.
    fn place(self, config: &ModelConfig) -> (&'static str, Range<usize>) {
        let [rows, _] = self.shape(config);
        if config.architecture.has_fused_projections() {
            let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
            let fused = match self {
                Self::Query => Some(("self_attn.qkv_proj", 0)),
                Self::Key => Some(("self_attn.qkv_proj", queries)),
                Self::Value => Some(("self_attn.qkv_proj", queries + keys)),
                Self::Gate => Some(("mlp.gate_up_proj", 0)),
                Self::Up => Some(("mlp.gate_up_proj", config.intermediate_size)),
                Self::Output | Self::Down => None,
            };
            if let Some((name, first)) = fused {
                return (name, first..first + rows);
            }
        }
        let name = match self {
            Self::Query => "self_attn.q_proj",
            Self::Key => "self_attn.k_proj",
            Self::Value => "self_attn.v_proj",
            Self::Output => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        };
        (name, 0..rows)
    }

    fn has_bias(self, config: &ModelConfig) -> bool {
        config.architecture.has_biases() && matches!(self, Self::Query | Self::Key | Self::Value)
    }

    /// The tensor that holds its matrix of a layer, and its rows there.
    #[must_use]
    pub fn location(self, config: &ModelConfig, layer: usize) -> (String, Range<usize>) {
        let (name, rows) = self.place(config);
        (of_layer(layer, name, "weight"), rows)
    }

    /// Read its matrix of a layer, last axis contiguous.
    ///
    /// # Errors
    /// What reading the tensor reports.
    pub fn read(self, config: &ModelConfig, checkpoint: &Checkpoint, layer: usize) -> Result<Vec<f32>, ModelError> {
        let (name, rows) = self.location(config, layer);
        checkpoint.rows(&name, self.shape(config)[1], rows)
    }

    /// Read its bias of a layer, `None` where it has none.
    ///
    /// # Errors
    /// What reading the tensor reports.
    pub fn read_bias(
        self,
        config: &ModelConfig,
        checkpoint: &Checkpoint,
        layer: usize,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        let name = of_layer(layer, self.place(config).0, "bias");
        self.has_bias(config).then(|| checkpoint.tensor(&name)).transpose()
    }
}

impl LayerNorm {
    const ALL: [Self; 6] =
        [Self::Attention, Self::Query, Self::Key, Self::AttentionOutput, Self::FeedForward, Self::FeedForwardOutput];

    fn exists(self, architecture: Architecture) -> bool {
        match self {
            Self::Attention | Self::FeedForward => true,
            Self::Query | Self::Key => architecture.has_head_norms(),
            Self::AttentionOutput | Self::FeedForwardOutput => architecture.has_branch_norms(),
        }
    }

    fn name(self, architecture: Architecture) -> &'static str {
        match self {
            Self::Attention => "input_layernorm",
            Self::Query => "self_attn.q_norm",
            Self::Key => "self_attn.k_norm",
            Self::AttentionOutput => "post_attention_layernorm",
            // Where nothing follows attention, the norm before the feed-forward block is named after its place.
            Self::FeedForward if !architecture.has_branch_norms() => "post_attention_layernorm",
            Self::FeedForward => "pre_feedforward_layernorm",
            Self::FeedForwardOutput => "post_feedforward_layernorm",
        }
    }

    fn width(self, config: &ModelConfig) -> usize {
        if matches!(self, Self::Query | Self::Key) { config.head_dim } else { config.hidden_size }
    }

    /// Read its gain of a layer: what a normalised entry is multiplied by.
    ///
    /// # Errors
    /// What reading the tensor reports.
    pub fn read(self, config: &ModelConfig, checkpoint: &Checkpoint, layer: usize) -> Result<Vec<f32>, ModelError> {
        let name = of_layer(layer, self.name(config.architecture), "weight");
        Ok(gain(config, checkpoint.tensor(&name)?))
    }
}

/// Read the gain of the last norm.
///
/// # Errors
/// What reading the tensor reports.
pub fn last_gain(config: &ModelConfig, checkpoint: &Checkpoint) -> Result<Vec<f32>, ModelError> {
    Ok(gain(config, checkpoint.tensor(LAST_NORM)?))
}

fn gain(config: &ModelConfig, mut weight: Vec<f32>) -> Vec<f32> {
    if config.architecture.norms_add_one() {
        weight.iter_mut().for_each(|entry| *entry += 1.0);
    }
    weight
}

fn of_layer(layer: usize, name: &str, what: &str) -> String {
    format!("model.layers.{layer}.{name}.{what}")
}

/// The tensor of the output head, or of the embedding that stands in for it, shape [vocabulary, hidden].
#[must_use]
pub fn head(config: &ModelConfig) -> &'static str {
    if config.tied_embeddings { EMBEDDING } else { HEAD }
}

/// Name and shape of every tensor that a configuration calls for.
#[must_use]
pub fn expected_tensors(config: &ModelConfig) -> Vec<(String, Vec<usize>)> {
    let hidden = config.hidden_size;
    let mut tensors =
        vec![(EMBEDDING.to_owned(), vec![config.vocab_size, hidden]), (LAST_NORM.to_owned(), vec![hidden])];
    if !config.tied_embeddings {
        tensors.push((HEAD.to_owned(), vec![config.vocab_size, hidden]));
    }
    for layer in 0..config.layers {
        for norm in LayerNorm::ALL {
            if norm.exists(config.architecture) {
                let name = of_layer(layer, norm.name(config.architecture), "weight");
                tensors.push((name, vec![norm.width(config)]));
            }
        }
        let mut matrices: Vec<(&str, Vec<usize>)> = Vec::new();
        for projection in Projection::ALL {
            let (name, rows) = projection.place(config);
            let [_, columns] = projection.shape(config);
            match matrices.last_mut() {
                Some((last, shape)) if *last == name => shape[0] = rows.end,
                _ => matrices.push((name, vec![rows.end, columns])),
            }
            if projection.has_bias(config) {
                tensors.push((of_layer(layer, name, "bias"), vec![rows.end]));
            }
        }
        tensors.extend(matrices.into_iter().map(|(name, shape)| (of_layer(layer, name, "weight"), shape)));
    }
    tensors
}
