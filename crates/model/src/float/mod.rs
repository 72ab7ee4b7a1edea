//! The float engine: the model as it was trained, the reference of quality. One file per operation; an architecture is
//! an order of operations.

mod attention;
mod linear;
mod norm;
mod rotary;

use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::error::ModelError;
use attention::KeysAndValues;
use linear::Linear;
use norm::Norm;
use rotary::Rotary;

/// A model in memory.
pub struct FloatModel {
    config: ModelConfig,
    embedding: Vec<f32>,
    layers: Vec<Layer>,
    norm: Norm,
    head: Linear,
    rotary: Rotary,
}

struct Layer {
    attention_norm: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    query_norm: Norm,
    key_norm: Norm,
    output: Linear,
    feed_forward_norm: Norm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// The tokens read so far, as keys and values of every layer.
pub struct Cache {
    layers: Vec<KeysAndValues>,
    positions: usize,
}

impl FloatModel {
    /// Read a model's folder.
    ///
    /// # Errors
    /// What reading `config.json` and the checkpoint reports.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        Self::load(ModelConfig::read(folder)?, &Checkpoint::open(folder)?)
    }

    /// Read all weights of a checkpoint.
    ///
    /// # Errors
    /// What reading the tensors reports.
    pub fn load(config: ModelConfig, checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let eps = config.rms_norm_eps as f32;
        let hidden = config.hidden_size;
        let heads = config.heads * config.head_dim;
        let layer = |layer: usize| -> Result<Layer, ModelError> {
            let read = |name: &str| checkpoint.tensor(&format!("model.layers.{layer}.{name}.weight"));
            let linear = |name: &str, width: usize| read(name).map(|weight| Linear::new(weight, width));
            let norm = |name: &str| read(name).map(|gain| Norm::new(gain, eps));
            Ok(Layer {
                attention_norm: norm("input_layernorm")?,
                query: linear("self_attn.q_proj", hidden)?,
                key: linear("self_attn.k_proj", hidden)?,
                value: linear("self_attn.v_proj", hidden)?,
                query_norm: norm("self_attn.q_norm")?,
                key_norm: norm("self_attn.k_norm")?,
                output: linear("self_attn.o_proj", heads)?,
                feed_forward_norm: norm("post_attention_layernorm")?,
                gate: linear("mlp.gate_proj", hidden)?,
                up: linear("mlp.up_proj", hidden)?,
                down: linear("mlp.down_proj", config.intermediate_size)?,
            })
        };
        let embedding = checkpoint.tensor("model.embed_tokens.weight")?;
        let head = match checkpoint.contains("lm_head.weight") {
            true => checkpoint.tensor("lm_head.weight")?,
            false => embedding.clone(),
        };
        Ok(Self {
            layers: (0..config.layers).map(layer).collect::<Result<_, _>>()?,
            norm: Norm::new(checkpoint.tensor("model.norm.weight")?, eps),
            head: Linear::new(head, hidden),
            rotary: Rotary::new(config.rope_theta, config.head_dim),
            embedding,
            config,
        })
    }

    /// The model's configuration.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// A cache that has read nothing.
    #[must_use]
    pub fn cache(&self) -> Cache {
        Cache { layers: vec![KeysAndValues::default(); self.config.layers], positions: 0 }
    }

    /// Read `tokens` and return the logits of the last `rows` of them, shape [rows, vocabulary].
    ///
    /// # Panics
    /// If a token is outside of the vocabulary, or `rows` exceeds the number of tokens.
    pub fn read(&self, cache: &mut Cache, tokens: &[u32], rows: usize) -> Vec<f32> {
        let width = self.config.hidden_size;
        let row = |&token: &u32| &self.embedding[token as usize * width..][..width];
        let mut stream: Vec<f32> = tokens.iter().flat_map(row).copied().collect();
        for (layer, keys_and_values) in self.layers.iter().zip(&mut cache.layers) {
            let normed = layer.attention_norm.apply(&stream);
            let branch = self.attention(layer, cache.positions, keys_and_values, &normed);
            add(&mut stream, &branch);
            let normed = layer.feed_forward_norm.apply(&stream);
            add(&mut stream, &layer.feed_forward(&normed));
        }
        cache.positions += tokens.len();
        let last = self.norm.apply(&stream[(tokens.len() - rows) * width..]);
        self.head.apply(&last)
    }

    /// Logits of every position, shape [tokens, vocabulary].
    ///
    /// # Panics
    /// If a token is outside of the vocabulary.
    #[must_use]
    pub fn logits(&self, tokens: &[u32]) -> Vec<f32> {
        self.read(&mut self.cache(), tokens, tokens.len())
    }

    /// Generate greedily after `prompt` until an end token, at most `limit` tokens, the end token included. Equal logits
    /// go to the lowest id. `each` sees every token as it comes.
    ///
    /// # Errors
    /// [`ModelError::BadInput`] for an empty or too long prompt, or a token outside of the vocabulary.
    pub fn generate(&self, prompt: &[u32], limit: usize, mut each: impl FnMut(u32)) -> Result<Vec<u32>, ModelError> {
        check_prompt(prompt, self.config.vocab_size, self.config.max_positions)?;
        let limit = limit.min(self.config.max_positions - prompt.len() + 1);
        let mut cache = self.cache();
        let mut output = Vec::new();
        let mut next = prompt.to_vec();
        while output.len() < limit {
            let token = argmax(&self.read(&mut cache, &next, 1));
            each(token);
            output.push(token);
            if self.config.eos_token_ids.contains(&token) {
                break;
            }
            next = vec![token];
        }
        Ok(output)
    }
}

impl Layer {
    fn feed_forward(&self, normed: &[f32]) -> Vec<f32> {
        let gate = self.gate.apply(normed);
        let up = self.up.apply(normed);
        let inner: Vec<f32> = gate.iter().zip(&up).map(|(&gate, &up)| gate / (1.0 + (-gate).exp()) * up).collect();
        self.down.apply(&inner)
    }
}

/// What every engine asks of a prompt.
///
/// # Errors
/// [`ModelError::BadInput`].
pub(crate) fn check_prompt(prompt: &[u32], vocabulary: usize, positions: usize) -> Result<(), ModelError> {
    if prompt.is_empty() {
        return Err(ModelError::BadInput("the prompt is empty".into()));
    }
    if prompt.len() > positions {
        let length = prompt.len();
        return Err(ModelError::BadInput(format!(
            "the prompt has {length} tokens; the model reads at most {positions}"
        )));
    }
    match prompt.iter().find(|&&token| token as usize >= vocabulary) {
        Some(token) => Err(ModelError::BadInput(format!("token {token}; the vocabulary has {vocabulary}"))),
        None => Ok(()),
    }
}

/// The lowest id of the largest logit.
#[must_use]
pub fn argmax(logits: &[f32]) -> u32 {
    let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let token = logits.iter().position(|&logit| logit == best).unwrap_or(0);
    u32::try_from(token).expect("token ids have 32 bits")
}

fn add(stream: &mut [f32], branch: &[f32]) {
    for (entry, added) in stream.iter_mut().zip(branch) {
        *entry += added;
    }
}
