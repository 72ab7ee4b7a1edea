//! The float engine: the model as it was trained, the reference of quality. One file per operation; an architecture is
//! an order of operations. Sums have a fixed order and elementary functions are computed in software, so every machine
//! gets the same numbers.

mod attention;
mod extremes;
mod feed_forward;
mod linear;
mod norm;
mod rotary;

use std::path::Path;

use rayon::prelude::*;

use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::decoder::{EMBEDDING, LayerNorm, Projection, head, last_gain};
use crate::error::ModelError;
use attention::KeysAndValues;
pub(crate) use extremes::{Channels, Extremes};
use linear::Linear;
use norm::Norm;
use rotary::Rotary;

/// A model in memory.
pub struct FloatModel {
    decoder: Decoder,
    /// Shape [vocabulary, hidden].
    embedding: Linear,
    layers: Vec<Layer>,
    norm: Norm,
    /// `None` where it is the embedding.
    head: Option<Linear>,
}

/// What all layers share.
struct Decoder {
    config: ModelConfig,
    rotary: Rotary,
}

struct Layer {
    attention_norm: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    /// Of query heads and of key heads.
    head_norms: Option<[Norm; 2]>,
    output: Linear,
    feed_forward_norm: Norm,
    gate: Linear,
    up: Linear,
    down: Linear,
    /// Of the output of attention and of the feed-forward block.
    branch_norms: Option<[Norm; 2]>,
    /// Positions that are seen, the own one included.
    window: Option<usize>,
}

impl Layer {
    fn load(config: &ModelConfig, checkpoint: &Checkpoint, layer: usize) -> Result<Self, ModelError> {
        let eps = config.rms_norm_eps as f32;
        let linear = |projection: Projection| -> Result<Linear, ModelError> {
            let (name, rows) = projection.location(config, layer);
            let width = projection.shape(config)[1];
            let bias = projection.read_bias(config, checkpoint, layer)?;
            Ok(Linear::new(checkpoint.stored_rows(&name, width, rows)?, width, bias))
        };
        let norm = |norm: LayerNorm| norm.read(config, checkpoint, layer).map(|gain| Norm::new(gain, eps));
        let pair = |first, second| -> Result<[Norm; 2], ModelError> { Ok([norm(first)?, norm(second)?]) };
        let architecture = config.architecture;
        let head_norms = architecture.has_head_norms().then(|| pair(LayerNorm::Query, LayerNorm::Key));
        let branch_norms =
            architecture.has_branch_norms().then(|| pair(LayerNorm::AttentionOutput, LayerNorm::FeedForwardOutput));
        Ok(Self {
            attention_norm: norm(LayerNorm::Attention)?,
            query: linear(Projection::Query)?,
            key: linear(Projection::Key)?,
            value: linear(Projection::Value)?,
            head_norms: head_norms.transpose()?,
            output: linear(Projection::Output)?,
            feed_forward_norm: norm(LayerNorm::FeedForward)?,
            gate: linear(Projection::Gate)?,
            up: linear(Projection::Up)?,
            down: linear(Projection::Down)?,
            branch_norms: branch_norms.transpose()?,
            window: config.windows[layer],
        })
    }
}

impl Decoder {
    fn new(config: ModelConfig) -> Self {
        Self { rotary: Rotary::new(&config.rotary, config.head_dim), config }
    }

    /// Add both branches of a layer to `stream`, shape [rows, hidden]; `start` positions are in the cache.
    fn run(&self, layer: &Layer, start: usize, cache: &mut KeysAndValues, stream: &mut [f32], extremes: &mut Extremes) {
        extremes.see_stream(stream, self.config.hidden_size);
        let normed = layer.attention_norm.apply(stream);
        let mut attention = self.attention(layer, start, cache, &normed, extremes);
        extremes.see("attention_output", &attention);
        if let Some([norm, _]) = &layer.branch_norms {
            attention = norm.apply(&attention);
        }
        extremes.see("attention_branch", &attention);
        add(stream, &attention);
        extremes.see_stream(stream, self.config.hidden_size);
        let normed = layer.feed_forward_norm.apply(stream);
        let mut feed_forward = layer.feed_forward(self.config.activation, &normed, extremes);
        extremes.see("feed_forward_output", &feed_forward);
        if let Some([_, norm]) = &layer.branch_norms {
            feed_forward = norm.apply(&feed_forward);
        }
        extremes.see("feed_forward_branch", &feed_forward);
        add(stream, &feed_forward);
    }
}

/// Run token sequences through all layers, one layer in memory at a time, and see the extremes.
///
/// # Errors
/// What reading the checkpoint reports.
pub(crate) fn observe(
    config: &ModelConfig,
    checkpoint: &Checkpoint,
    sequences: &[Vec<u32>],
) -> Result<Extremes, ModelError> {
    let decoder = Decoder::new(config.clone());
    let factor = config.embedding_factor as f32;
    let embed = |token: &u32| {
        let row = *token as usize;
        checkpoint.rows(EMBEDDING, config.hidden_size, row..row + 1)
    };
    let mut streams = Vec::with_capacity(sequences.len());
    for sequence in sequences {
        let rows: Vec<Vec<f32>> = sequence.iter().map(embed).collect::<Result<_, _>>()?;
        streams.push(rows.into_iter().flatten().map(|entry| entry * factor).collect::<Vec<f32>>());
    }
    let mut extremes = Extremes::on();
    for layer in 0..config.layers {
        let layer = Layer::load(config, checkpoint, layer)?;
        extremes.begin_layer([config.heads, config.kv_heads].map(|heads| heads * config.head_dim));
        for stream in &mut streams {
            decoder.run(&layer, 0, &mut KeysAndValues::default(), stream, &mut extremes);
        }
    }
    streams.iter().for_each(|stream| extremes.see_stream(stream, config.hidden_size));
    Ok(extremes)
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
        let matrix = |name: &str| -> Result<Linear, ModelError> {
            let weight = checkpoint.stored_rows(name, config.hidden_size, 0..config.vocab_size)?;
            Ok(Linear::new(weight, config.hidden_size, None))
        };
        Ok(Self {
            embedding: matrix(EMBEDDING)?,
            head: (head(&config) != EMBEDDING).then(|| matrix(head(&config))).transpose()?,
            layers: (0..config.layers)
                .into_par_iter()
                .map(|layer| Layer::load(&config, checkpoint, layer))
                .collect::<Result<_, _>>()?,
            norm: Norm::new(last_gain(&config, checkpoint)?, config.rms_norm_eps as f32),
            decoder: Decoder::new(config),
        })
    }

    /// The model's configuration.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.decoder.config
    }

    /// A cache that has read nothing.
    #[must_use]
    pub fn cache(&self) -> Cache {
        Cache { layers: vec![KeysAndValues::default(); self.decoder.config.layers], positions: 0 }
    }

    /// Read `tokens` and return the logits of the last `rows` of them, shape [rows, vocabulary].
    ///
    /// # Panics
    /// If a token is outside of the vocabulary, or `rows` exceeds the number of tokens.
    pub fn read(&self, cache: &mut Cache, tokens: &[u32], rows: usize) -> Vec<f32> {
        let width = self.decoder.config.hidden_size;
        let stream = self.decode(cache, tokens, &mut Extremes::off());
        let last = self.norm.apply(&stream[(tokens.len() - rows) * width..]);
        let mut logits = self.head.as_ref().unwrap_or(&self.embedding).apply(&last);
        if let Some(cap) = self.decoder.config.logit_cap {
            let cap = cap as f32;
            logits.iter_mut().for_each(|logit| *logit = cap * libm::tanhf(*logit / cap));
        }
        logits
    }

    /// The residual stream after all layers, shape [tokens, hidden].
    fn decode(&self, cache: &mut Cache, tokens: &[u32], extremes: &mut Extremes) -> Vec<f32> {
        let factor = self.decoder.config.embedding_factor as f32;
        let rows = tokens.iter().flat_map(|&token| self.embedding.row(token as usize));
        let mut stream: Vec<f32> = rows.map(|entry| entry * factor).collect();
        for (layer, keys_and_values) in self.layers.iter().zip(&mut cache.layers) {
            self.decoder.run(layer, cache.positions, keys_and_values, &mut stream, extremes);
        }
        cache.positions += tokens.len();
        stream
    }

    /// The residual stream before the blocks of every layer and after the last, as the integer engine's `streams`.
    pub(crate) fn streams(&self, tokens: &[u32]) -> Vec<Vec<f32>> {
        let mut extremes = Extremes::of_streams();
        let last = self.decode(&mut self.cache(), tokens, &mut extremes);
        let mut streams = extremes.into_streams();
        streams.push(last);
        streams
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
        check_prompt(prompt, self.decoder.config.vocab_size, self.decoder.config.max_positions)?;
        let limit = limit.min(self.decoder.config.max_positions - prompt.len() + 1);
        let mut cache = self.cache();
        let mut output = Vec::new();
        let mut next = prompt.to_vec();
        while output.len() < limit {
            let token = argmax(&self.read(&mut cache, &next, 1));
            each(token);
            output.push(token);
            if self.decoder.config.eos_token_ids.contains(&token) {
                break;
            }
            next = vec![token];
        }
        Ok(output)
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
