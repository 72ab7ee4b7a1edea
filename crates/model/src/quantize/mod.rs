//! The quantiser: from a float checkpoint to integers and the description that proofs are about.
//!
//! It needs no calibration data. Every format follows from the weights by bounds that hold for all inputs, with IEEE
//! additions, products and square roots in a fixed order: every machine gets the same model, on any number of threads.
//! It reads the checkpoint in pieces and writes integers in pieces, so its memory does not grow with the model.

mod feed_forward;
mod file;
mod formats;
mod heads;
mod stack;
mod stream;
mod write;

use std::collections::BTreeMap;

use obelysk_statement::compile::denominator_shift;
use obelysk_statement::description::{
    Activation, Attention, BranchNorms, FeedForward, ModelDescription, PROBABILITY_BITS, Rotary, RotaryScaling,
    SPECIFICATION, Shape, WeightBound,
};
use obelysk_statement::functions::STEP_FRACTION;

use crate::checkpoint::Checkpoint;
use crate::config::{self, ModelConfig};
use crate::decoder::{self, LayerNorm, Projection};
use crate::error::ModelError;
use feed_forward::{INNER_BITS, Inner};
use formats::{limb_limit, norm, power, project, scale_within, unsupported};
use heads::{Heads, Scores};
use stack::Stack;
use stream::{BranchBounds, StreamFormat};
use write::Weights;

pub use file::{DESCRIPTION_FILE, WEIGHTS_FILE, digest_of_weights, encode, read_description};

/// A description with the integer weights that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantizedModel {
    /// What proofs are about.
    pub description: ModelDescription,
    /// Entries of every weight tensor of the description, by name, last axis contiguous.
    pub weights: BTreeMap<String, Vec<i32>>,
}

impl QuantizedModel {
    /// What one unit of an integer logit is worth in the float engine's logits, before its cap if it has one.
    #[must_use]
    pub fn logit_unit(&self) -> f64 {
        let scale = self.description.hidden_norm.fraction + self.description.head_fraction;
        f64::from(scale).exp2().recip()
    }
}

/// Some entries of a weight tensor, which follow those of the piece before.
pub struct Piece<'a> {
    /// Name of the tensor.
    pub name: &'a str,
    /// Bounds of the tensor.
    pub bound: WeightBound,
    /// The entries.
    pub entries: &'a [i32],
}

/// The kinds of quantisation that give other integers for the same checkpoint count up.
pub const QUANTIZER: u32 = 1;

/// Bits of normalised hidden vectors, signed.
const NORMED_BITS: u32 = 14;
/// Bits of values.
const VALUE_BITS: u32 = 14;

/// Quantise a checkpoint into memory.
///
/// # Errors
/// What reading the checkpoint reports, and [`ModelError::Unsupported`] for a model whose numbers do not fit.
pub fn quantize(config: &ModelConfig, checkpoint: &Checkpoint) -> Result<QuantizedModel, ModelError> {
    let mut weights: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    let description = quantize_into::<ModelError>(config, checkpoint, &mut |piece| {
        weights.entry(piece.name.to_owned()).or_default().extend_from_slice(piece.entries);
        Ok(())
    })?;
    Ok(QuantizedModel { description, weights })
}

/// Quantise a checkpoint, handing the integers of every weight tensor to `sink` in pieces, in order of the names.
///
/// # Errors
/// As [`quantize`], and what `sink` reports.
pub fn quantize_into<E: From<ModelError>>(
    config: &ModelConfig,
    checkpoint: &Checkpoint,
    sink: &mut dyn FnMut(Piece) -> Result<(), E>,
) -> Result<ModelDescription, E> {
    let shape = shape_of(config);
    let real = RealWeights::open(config, checkpoint)?;
    let limb_bits = (6..=12u32)
        .rev()
        .find(|&bits| (shape.hidden as f64) * power(2 * (bits - 1)) <= power(29))
        .ok_or_else(|| unsupported("the width of the residual stream"))?;
    // The format of the output depends on the width alone; the input's scale comes with the residual stream.
    let (_, normed) = norm(shape.hidden, limb_bits, NORMED_BITS, 0.0, 0.0)?;

    let heads = Heads::choose(config, &shape, &real, normed)?;
    let scores = Scores::choose(config, &shape, &heads.rotation)?;
    let slack = probability_slack(&shape, scores.step)?;
    let value_limit = power(VALUE_BITS - 1) / slack - 2.0;
    let value_range = power(VALUE_BITS - 1);
    let value = project("value projection", &real.value, real.value_bias.as_deref(), normed, value_limit, value_range)?;
    let inner = Inner::choose(&shape, &real, normed)?;

    let output = scale_within("attention output", &real.output, value_range, power(30))?;
    let down = scale_within("feed-forward output", &real.down, power(INNER_BITS - 1), power(30))?;
    let mean_largest = value.largest * slack + 1.0;
    let mass = |row: &[i32]| row.iter().map(|&weight| f64::from(weight).abs()).sum::<f64>();
    let output_rows = real.output.groups_at(output.fraction, 1, |_, row| mass(row) * mean_largest)?;
    let down_rows = real.down.groups_at(down.fraction, 1, |layer, row| {
        let bounds = &inner.largest[layer * shape.intermediate..][..shape.intermediate];
        row.iter().zip(bounds).map(|(&weight, bound)| f64::from(weight).abs() * bound).sum::<f64>()
    })?;
    let gains = real.branch_gains.as_ref();
    let limbs = (limb_bits, config.rms_norm_eps);
    let attention_output = BranchBounds::choose(
        "the output of attention",
        &shape,
        (value.fraction + output.fraction, output_rows),
        gains.map(|[attention, _]| attention.as_slice()),
        limbs,
    )?;
    let feed_forward_output = BranchBounds::choose(
        "the output of the feed-forward block",
        &shape,
        (inner.fraction + down.fraction, down_rows),
        gains.map(|[_, feed_forward]| feed_forward.as_slice()),
        limbs,
    )?;
    let largest_embeddings = real.embedding.largest_of_columns()?;
    let limit = limb_limit(limb_bits);
    let stream = StreamFormat::choose(&shape, &largest_embeddings, limit, &attention_output, &feed_forward_output)?;
    let unit = power(stream.residual.fraction);
    let epsilon = config.rms_norm_eps * shape.hidden as f64 * unit * unit;
    let (hidden_norm, normed) = norm(shape.hidden, limb_bits, NORMED_BITS, epsilon, stream.sum_of_squares)?;
    let head = scale_within("output head", &real.head, normed.range, power(29) - 2.0)?;

    let mut weights = Weights::default();
    weights.plain("embedding", &real.embedding, stream.residual.fraction, stream.embedding);
    weights.projection("query", &heads.query);
    weights.projection("key", &heads.key);
    weights.projection("value", &value);
    if let Some([query, key]) = heads.gains {
        weights.entries("query_gain", query.entries);
        weights.entries("key_gain", key.entries);
    }
    weights.scaled("output_weight", &real.output, &output);
    weights.projection("gate", &inner.gate);
    weights.projection("up", &inner.up);
    weights.scaled("down_weight", &real.down, &down);
    weights.scaled("head_weight", &real.head, &head);
    let branch_norms = match (attention_output.norm, feed_forward_output.norm) {
        (Some((attention, attention_gain)), Some((feed_forward, feed_forward_gain))) => {
            weights.entries("attention_output_gain", attention_gain.entries);
            weights.entries("feed_forward_output_gain", feed_forward_gain.entries);
            Some(BranchNorms { attention, feed_forward })
        }
        _ => None,
    };
    let mut description = ModelDescription {
        specification: SPECIFICATION,
        architecture: config.architecture.name().into(),
        shape,
        rotary: rotary(config)?,
        windows: config.windows.clone(),
        residual: stream.residual,
        hidden_norm,
        head_norms: heads.norms,
        branch_norms,
        attention: Attention {
            biased: real.query_bias.is_some(),
            projected_bits: heads.projected_bits,
            query_shift: heads.query.shift,
            key_shift: heads.key.shift,
            rotary_fraction: heads.rotation.fraction,
            query_rotary_shift: heads.rotation.shifts[0],
            key_rotary_shift: heads.rotation.shifts[1],
            rotated_bits: heads.rotation.bits,
            score_shift: scores.shift,
            score_cap: scores.cap,
            score_step: scores.step,
            value_shift: value.shift,
            value_bits: VALUE_BITS,
        },
        feed_forward: FeedForward {
            activation: match config.activation {
                config::Activation::Silu => Activation::Silu,
                config::Activation::GeluTanh => Activation::GeluTanh,
            },
            gate_shift: inner.gate.shift,
            gate_fraction: inner.gate.fraction,
            up_shift: inner.up.shift,
            up_bits: inner.up_bits,
            hidden_shift: inner.shift,
            hidden_bits: INNER_BITS,
        },
        head_fraction: head.fraction,
        weights: weights.bounds(),
        weights_digest: String::new(),
    };
    description.weights_digest = hex::encode(weights.write(&description, sink)?);
    Ok(description)
}

fn shape_of(config: &ModelConfig) -> Shape {
    /// Longest sequence of specification 1: the logarithm of softmax denominators is too coarse beyond it.
    const LONGEST: usize = 1024;
    Shape {
        layers: config.layers,
        hidden: config.hidden_size,
        intermediate: config.intermediate_size,
        kv_heads: config.kv_heads,
        group: config.heads / config.kv_heads,
        head_dim: config.head_dim,
        vocabulary: config.vocab_size,
        positions: config.max_positions.min(LONGEST),
    }
}

fn rotary(config: &ModelConfig) -> Result<Rotary, ModelError> {
    let theta = config.rotary.theta;
    if theta > power(30) * power(30) || theta.fract() != 0.0 {
        return Err(ModelError::Unsupported(format!("rope_theta {theta}; it must be a whole number")));
    }
    let scaling = config.rotary.scaling.map(|scaling| {
        let fixed = |value: f64| (value * power(RotaryScaling::FRACTION)).round() as u64;
        RotaryScaling {
            factor: fixed(scaling.factor),
            low: fixed(scaling.low),
            high: fixed(scaling.high),
            original: scaling.original as u64,
        }
    });
    Ok(Rotary { theta: theta as u64, scaling })
}

/// How far above one the softmax weights of a row can sum, from the cells of the logarithm's table and from rounding.
fn probability_slack(shape: &Shape, step: u64) -> Result<f64, ModelError> {
    let positions = shape.positions as f64;
    let step = step as f64 / (1u64 << STEP_FRACTION) as f64;
    let peak = power(PROBABILITY_BITS) - 1.0;
    let cell = power(denominator_shift(shape.positions)) / peak;
    let slack = (1.0 + step) * (1.0 + cell) * (1.0 + positions / peak) + positions / peak;
    // A row's total has one bit more than a weight.
    if slack < 1.95 { Ok(slack) } else { Err(unsupported("the size of attention scores")) }
}

/// The checkpoint's matrices, the gains of norms folded into what reads them.
struct RealWeights<'a> {
    embedding: Stack<'a>,
    query: Stack<'a>,
    key: Stack<'a>,
    value: Stack<'a>,
    /// Biases of all layers.
    query_bias: Option<Vec<f64>>,
    key_bias: Option<Vec<f64>>,
    value_bias: Option<Vec<f64>>,
    /// Gains of query and key norms of all layers.
    head_gains: Option<[Vec<f64>; 2]>,
    output: Stack<'a>,
    gate: Stack<'a>,
    up: Stack<'a>,
    down: Stack<'a>,
    /// Gains of the norms of both blocks' outputs of all layers.
    branch_gains: Option<[Vec<f64>; 2]>,
    head: Stack<'a>,
}

impl<'a> RealWeights<'a> {
    fn open(config: &ModelConfig, checkpoint: &'a Checkpoint) -> Result<Self, ModelError> {
        let stack = |projection| Stack::of_layers(config, checkpoint, projection);
        let gains = |norm: LayerNorm| -> Result<Vec<Vec<f32>>, ModelError> {
            (0..config.layers).map(|layer| norm.read(config, checkpoint, layer)).collect()
        };
        let flat = |gains: Vec<Vec<f32>>| gains.into_iter().flatten().map(f64::from).collect::<Vec<f64>>();
        let pair =
            |first, second| -> Result<[Vec<f64>; 2], ModelError> { Ok([flat(gains(first)?), flat(gains(second)?)]) };
        let bias = |projection: Projection| -> Result<Option<Vec<f64>>, ModelError> {
            let layers = (0..config.layers).map(|layer| projection.read_bias(config, checkpoint, layer));
            let layers: Vec<Option<Vec<f32>>> = layers.collect::<Result<_, _>>()?;
            Ok(layers.into_iter().collect::<Option<Vec<_>>>().map(flat))
        };
        let (architecture, hidden) = (config.architecture, config.hidden_size);
        let vocabulary = [config.vocab_size, hidden];
        let before_attention = gains(LayerNorm::Attention)?;
        let before_feed_forward = gains(LayerNorm::FeedForward)?;
        let last = vec![decoder::last_gain(config, checkpoint)?];
        Ok(Self {
            embedding: Stack::single(checkpoint, decoder::EMBEDDING, vocabulary).times(config.embedding_factor),
            query: stack(Projection::Query).after_norm(before_attention.clone()),
            key: stack(Projection::Key).after_norm(before_attention.clone()),
            value: stack(Projection::Value).after_norm(before_attention),
            query_bias: bias(Projection::Query)?,
            key_bias: bias(Projection::Key)?,
            value_bias: bias(Projection::Value)?,
            head_gains: architecture.has_head_norms().then(|| pair(LayerNorm::Query, LayerNorm::Key)).transpose()?,
            output: stack(Projection::Output),
            gate: stack(Projection::Gate).after_norm(before_feed_forward.clone()),
            up: stack(Projection::Up).after_norm(before_feed_forward),
            down: stack(Projection::Down),
            branch_gains: architecture
                .has_branch_norms()
                .then(|| pair(LayerNorm::AttentionOutput, LayerNorm::FeedForwardOutput))
                .transpose()?,
            head: Stack::single(checkpoint, decoder::head(config), vocabulary).after_norm(last),
        })
    }
}
