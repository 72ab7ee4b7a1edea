//! What the engines need to know of a decoder: sizes, and which operations it has. Nothing below this module asks for the
//! name of an architecture.

mod architecture;
mod defaults;
mod keys;
mod read;
mod rotary;

use std::path::Path;

use crate::error::ModelError;

pub use architecture::Architecture;
pub(crate) use keys::Keys;

/// Largest of any size. It keeps products of sizes far from overflow; the largest published model has 256,000 tokens.
const LARGEST_SIZE: usize = 1 << 24;

/// A decoder, read from `config.json` in the style of the hub's repositories or in that of newer tools.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Family of decoders.
    pub architecture: Architecture,
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
    /// Frequencies of rotary positions.
    pub rotary: RotaryConfig,
    /// Added to the mean square in norms.
    pub rms_norm_eps: f64,
    /// Longest sequence.
    pub max_positions: usize,
    /// Whether the head shares the embedding's weights.
    pub tied_embeddings: bool,
    /// Tokens that end a generation.
    pub eos_token_ids: Vec<u32>,
    /// Between gate and product of the feed-forward block.
    pub activation: Activation,
    /// Attention scores are inner products of queries and keys times this.
    pub score_scale: f64,
    /// `c` of `c tanh(score / c)`, applied before the softmax.
    pub score_cap: Option<f64>,
    /// `c` of `c tanh(logit / c)`. It moves no argmax.
    pub logit_cap: Option<f64>,
    /// What embeddings are multiplied by.
    pub embedding_factor: f64,
    /// How many positions each layer sees, its own included; `None` sees all.
    pub windows: Vec<Option<usize>>,
}

/// Frequencies of rotary positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RotaryConfig {
    /// Base of the frequencies.
    pub theta: f64,
    /// How low frequencies are stretched for longer contexts.
    pub scaling: Option<RotaryScaling>,
}

/// The `llama3` scaling of rotary frequencies (Llama 3.1 model card): those with more than `high` turns over the
/// `original` positions stay, those with fewer than `low` turns are divided by `factor`, and those between are blended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RotaryScaling {
    /// Divisor of the lowest frequencies.
    pub factor: f64,
    /// Fewest turns over the original positions of a blended frequency.
    pub low: f64,
    /// Most turns of a blended frequency.
    pub high: f64,
    /// Longest sequence before the stretch.
    pub original: usize,
}

/// Activation functions of feed-forward blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x sigmoid(x)`.
    Silu,
    /// GELU in its approximation by a hyperbolic tangent (Hendrycks and Gimpel, 2016).
    GeluTanh,
}

impl ModelConfig {
    /// Read `config.json` of a folder, and `generation_config.json` for its end tokens.
    ///
    /// # Errors
    /// [`ModelError::Missing`], [`ModelError::Corrupt`] and [`ModelError::Unsupported`].
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        read::read(folder)
    }

    /// Parse the text of `config.json`; `path` is for messages.
    ///
    /// # Errors
    /// [`ModelError::Corrupt`] and [`ModelError::Unsupported`].
    pub fn parse(text: &[u8], path: &Path) -> Result<Self, ModelError> {
        read::parse(text, path)
    }

    /// The model of the first `layers` decoder layers, followed by the last norm and the head.
    ///
    /// # Errors
    /// [`ModelError::BadInput`] for no layers or more than there are.
    pub fn truncated(mut self, layers: usize) -> Result<Self, ModelError> {
        if layers == 0 || layers > self.layers {
            return Err(ModelError::BadInput(format!("{layers} layers of a model that has {}", self.layers)));
        }
        self.layers = layers;
        self.windows.truncate(layers);
        Ok(self)
    }
}
