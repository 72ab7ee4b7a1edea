//! The quantiser: from a float checkpoint to integers and the description that proofs are about.
//!
//! Formats follow from the weights, by bounds that hold for all inputs, and from the largest activations on a few texts, by
//! the float engine. Both use IEEE additions, products and square roots in a fixed order: every machine gets the same
//! model, on any number of threads. Checkpoints are read in pieces or layer by layer, and integers are written in pieces,
//! so memory does not grow with the depth of the model.

mod balance;
mod branches;
mod feed_forward;
mod file;
mod formats;
mod heads;
mod loss;
mod precision;
mod scores;
mod stack;
mod stream;
mod write;

use std::sync::Arc;

use obelysk_statement::compile::denominator_shift;
use obelysk_statement::description::{
    Activation, Attention, BranchNorms, FeedForward, ModelDescription, PROBABILITY_BITS, Rotary, RotaryScaling,
    SPECIFICATION, Shape, WeightBound,
};
use obelysk_statement::functions::{STEP_FRACTION, constants};
use obelysk_witness::{Entries, Weights};

use crate::calibration::Calibration;
use crate::checkpoint::Checkpoint;
use crate::config::{self, ModelConfig};
use crate::decoder::{self, LayerNorm};
use crate::error::ModelError;
use crate::float;
use balance::balance;
use branches::{Blocks, Branches};
use formats::{Expected, Limbs, norm, normed_bits, power, scale_within, unsupported};
use heads::Heads;
use scores::Scores;
use stack::Stack;
use write::WeightTensors;

pub use file::{DESCRIPTION_FILE, WEIGHTS_FILE, digest_of_weights, encode, read_description};
pub use precision::Precision;

/// A description with the integer weights that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantizedModel {
    /// What proofs are about.
    pub description: ModelDescription,
    /// Entries of every weight tensor of the description and of its constants, by name, last axis contiguous.
    pub weights: Arc<Weights>,
}

impl QuantizedModel {
    /// A model of these weight tensors. Its constants follow from the description.
    #[must_use]
    pub fn new(mut weights: Weights, description: ModelDescription) -> Self {
        for constant in constants(&description) {
            let mut entries = Entries::within(constant.range.magnitude());
            entries.extend_from_slice(&constant.entries);
            weights.insert(constant.tensor, entries);
        }
        Self { description, weights: Arc::new(weights) }
    }

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

impl Piece<'_> {
    fn append_to(&self, weights: &mut Weights) {
        let own = weights.entry(self.name.to_owned()).or_insert_with(|| Entries::within(self.bound.magnitude));
        own.extend_from_slice(self.entries);
    }
}

/// The kinds of quantisation that give other integers for the same checkpoint count up.
pub const QUANTIZER: u32 = 6;

/// Largest mean divergence on the calibration texts with which the plain precision is good enough, in nats.
const PLAIN_DIVERGENCE: f64 = 1e-3;
/// Least share of positions at which both engines then prefer the same token.
const PLAIN_AGREEMENT: f64 = 0.97;
/// Most weights of a model that may be tried at the plain precision: it is quantised in memory and run twice.
const PLAIN_WEIGHTS: usize = 1 << 25;

/// Quantise a checkpoint into memory.
///
/// # Errors
/// What reading the checkpoint reports, and [`ModelError::Unsupported`] for a model whose numbers do not fit.
pub fn quantize(
    config: &ModelConfig,
    checkpoint: &Checkpoint,
    calibration: &Calibration,
) -> Result<QuantizedModel, ModelError> {
    let mut weights = Weights::new();
    let description = quantize_into::<ModelError>(config, checkpoint, calibration, &mut |piece| {
        piece.append_to(&mut weights);
        Ok(())
    })?;
    Ok(QuantizedModel::new(weights, description))
}

/// Quantise a checkpoint into memory at a precision, whatever it loses.
///
/// # Errors
/// As [`quantize`].
pub fn quantize_at(
    precision: Precision,
    config: &ModelConfig,
    checkpoint: &Checkpoint,
    calibration: &Calibration,
) -> Result<QuantizedModel, ModelError> {
    let extremes = float::observe(config, checkpoint, &calibration.sequences_for(config))?;
    in_memory(precision, config, checkpoint, extremes)
}

fn in_memory(
    precision: Precision,
    config: &ModelConfig,
    checkpoint: &Checkpoint,
    extremes: float::Extremes,
) -> Result<QuantizedModel, ModelError> {
    let mut weights = Weights::new();
    let description = write_at::<ModelError>(precision, config, checkpoint, extremes, &mut |piece| {
        piece.append_to(&mut weights);
        Ok(())
    })?;
    Ok(QuantizedModel::new(weights, description))
}

/// Quantise a checkpoint, handing the integers of every weight tensor to `sink` in pieces, in order of the names.
///
/// # Errors
/// As [`quantize`], and what `sink` reports.
pub fn quantize_into<E: From<ModelError>>(
    config: &ModelConfig,
    checkpoint: &Checkpoint,
    calibration: &Calibration,
    sink: &mut dyn FnMut(Piece) -> Result<(), E>,
) -> Result<ModelDescription, E> {
    let sequences = calibration.sequences_for(config);
    let extremes = float::observe(config, checkpoint, &sequences)?;
    if let Some(model) = plain(config, checkpoint, &sequences, &extremes)? {
        for (name, &bound) in &model.description.weights {
            let entries: Vec<i32> = model.weights[name].iter().collect();
            sink(Piece { name, bound, entries: &entries })?;
        }
        return Ok(model.description);
    }
    write_at(Precision::FINE, config, checkpoint, extremes, sink)
}

/// The model at the plain precision, if it is small and that is good enough.
fn plain(
    config: &ModelConfig,
    checkpoint: &Checkpoint,
    sequences: &[Vec<u32>],
    extremes: &float::Extremes,
) -> Result<Option<QuantizedModel>, ModelError> {
    let weights: usize =
        decoder::expected_tensors(config).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    if weights > PLAIN_WEIGHTS {
        return Ok(None);
    }
    let model = match in_memory(Precision::PLAIN, config, checkpoint, extremes.clone()) {
        Err(ModelError::Unsupported(_)) => return Ok(None),
        model => model?,
    };
    let quality = loss::measure(config, checkpoint, &model, sequences)?;
    let good = quality.mean_kl <= PLAIN_DIVERGENCE && quality.top1_agreement >= PLAIN_AGREEMENT;
    Ok(good.then_some(model))
}

fn write_at<E: From<ModelError>>(
    precision: Precision,
    config: &ModelConfig,
    checkpoint: &Checkpoint,
    extremes: float::Extremes,
    sink: &mut dyn FnMut(Piece) -> Result<(), E>,
) -> Result<ModelDescription, E> {
    let shape = shape_of(config);
    let mut real = RealWeights::open(config, checkpoint, precision)?;
    let mut expected = Expected::new(extremes, precision);
    if precision.limbs {
        real.fill(&mut expected);
    }
    let scale = balance(config, &mut real, &expected);
    let (real, expected) = (real, expected);
    let limbs = Limbs::of_width(shape.hidden, 2).ok_or_else(|| unsupported("the width of the residual stream"))?;
    // The format of the output depends on the width alone; the input's scale comes with the residual stream.
    let normed_bits = normed_bits(shape.hidden);
    let (_, normed) = norm(shape.hidden, limbs, normed_bits, 0.0, 0.0)?;

    let heads = Heads::choose(config, &shape, &real, normed, scale, &expected)?;
    let scores = Scores::choose(config, &shape, scale, &heads.rotation, &expected)?;
    let slack = probability_slack(&shape, scores.step)?;
    let branches = Branches::choose(Blocks { config, shape: &shape, real: &real, normed, slack, expected: &expected })?;
    let Branches {
        value_bits,
        value,
        mean_bits,
        mean_limbs,
        output,
        inner,
        attention_output,
        feed_forward_output,
        stream,
    } = branches;
    let unit = power(stream.residual.fraction);
    let epsilon = config.rms_norm_eps * shape.hidden as f64 * unit * unit;
    let (hidden_norm, normed) = norm(shape.hidden, stream.limbs, normed_bits, epsilon, stream.sum_of_squares)?;
    let head = scale_within(&real.head.survey()?, power(29) - 2.0, |rows| normed.product(rows))
        .ok_or_else(|| unsupported("output head"))?;

    let mut weights = WeightTensors::default();
    weights.plain("embedding", &real.embedding, stream.residual.fraction, stream.embedding);
    if let Some(tops) = stream.tops {
        weights.entries("stream_top", tops);
    }
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
    weights.scaled("down_weight", &real.down, &inner.down);
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
            projected_end: heads.projected_end as u32,
            query_rounding: heads.query.rounding,
            key_rounding: heads.key.rounding,
            rotary_fraction: heads.rotation.fraction,
            query_rotary_shift: heads.rotation.shifts[0],
            key_rotary_shift: heads.rotation.shifts[1],
            rotated_end: heads.rotation.end as u32,
            score_rounding: scores.rounding,
            score_cap: scores.cap,
            score_step: scores.step,
            value_rounding: value.rounding,
            value_bits,
            mean_bits,
            mean_limbs,
        },
        feed_forward: FeedForward {
            activation: match config.activation {
                config::Activation::Silu => Activation::Silu,
                config::Activation::GeluTanh => Activation::GeluTanh,
            },
            gate_rounding: inner.gate.rounding,
            gate_fraction: inner.gate.fraction,
            up_rounding: inner.up.rounding,
            up_bits: inner.up_bits,
            hidden_rounding: inner.rounding,
            hidden_bits: inner.bits,
            hidden_limbs: inner.limbs,
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
    fn open(config: &ModelConfig, checkpoint: &'a Checkpoint, precision: Precision) -> Result<Self, ModelError> {
        let mantissa = precision.mantissa;
        let stack = |projection| Stack::of_layers(config, checkpoint, projection, mantissa);
        let gains = |norm: LayerNorm| -> Result<Vec<Vec<f32>>, ModelError> {
            (0..config.layers).map(|layer| norm.read(config, checkpoint, layer)).collect()
        };
        let flat = |gains: Vec<Vec<f32>>| gains.into_iter().flatten().map(f64::from).collect::<Vec<f64>>();
        let pair =
            |first, second| -> Result<[Vec<f64>; 2], ModelError> { Ok([flat(gains(first)?), flat(gains(second)?)]) };
        let bias = |projection: decoder::Projection| -> Result<Option<Vec<f64>>, ModelError> {
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
            embedding: Stack::single(checkpoint, decoder::EMBEDDING, vocabulary, mantissa)
                .times(config.embedding_factor),
            query: stack(decoder::Projection::Query).after_norm(before_attention.clone()),
            key: stack(decoder::Projection::Key).after_norm(before_attention.clone()),
            value: stack(decoder::Projection::Value).after_norm(before_attention),
            query_bias: bias(decoder::Projection::Query)?,
            key_bias: bias(decoder::Projection::Key)?,
            value_bias: bias(decoder::Projection::Value)?,
            head_gains: architecture.has_head_norms().then(|| pair(LayerNorm::Query, LayerNorm::Key)).transpose()?,
            output: stack(decoder::Projection::Output),
            gate: stack(decoder::Projection::Gate).after_norm(before_feed_forward.clone()),
            up: stack(decoder::Projection::Up).after_norm(before_feed_forward),
            down: stack(decoder::Projection::Down),
            branch_gains: architecture
                .has_branch_norms()
                .then(|| pair(LayerNorm::AttentionOutput, LayerNorm::FeedForwardOutput))
                .transpose()?,
            head: Stack::single(checkpoint, decoder::head(config), vocabulary, mantissa).after_norm(last),
        })
    }

    /// Let values and up projections fill their ranges: what they are multiplied by is taken back where they are read.
    fn fill(&mut self, expected: &mut Expected) {
        let factor = expected.fill(&["value"], power(14) - 4.0);
        self.value.scale(factor);
        self.value_bias.iter_mut().flatten().for_each(|bias| *bias *= factor);
        self.output.scale(1.0 / factor);
        let factor = expected.fill(&["up", "feed_forward_hidden"], power(15) - 4.0);
        self.up.scale(factor);
        self.down.scale(1.0 / factor);
    }
}
