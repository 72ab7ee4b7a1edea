//! The quantiser: from a float checkpoint to integers and the description that proofs are about.
//!
//! It needs no calibration data. Every format follows from the weights by bounds that hold for all inputs, with IEEE
//! additions, products and square roots in a fixed order: every machine gets the same model.

mod file;
mod formats;
mod matrix;

use std::collections::BTreeMap;

use obelysk_statement::compile::{WEIGHTS, denominator_shift};
use obelysk_statement::description::{
    Architecture, Attention, Branch, FeedForward, ModelDescription, PROBABILITY_BITS, Residual, SPECIFICATION, Shape,
    TABLE_BITS,
};
use obelysk_statement::functions::STEP_FRACTION;

use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::error::ModelError;
use formats::{Input, Projection, limb_limit, norm, power, project, quantize_within};
use matrix::{Matrix, Quantized, finest_scale, inner};

pub use file::digest_of_weights;

/// A description with the integer weights that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantizedModel {
    /// What proofs are about.
    pub description: ModelDescription,
    /// Entries of every weight tensor of the description, by name, last axis contiguous.
    pub weights: BTreeMap<String, Vec<i32>>,
}

impl QuantizedModel {
    /// What one unit of an integer logit is worth in the float engine's logits.
    #[must_use]
    pub fn logit_unit(&self) -> f64 {
        let scale = self.description.hidden_norm.fraction + self.description.head_fraction;
        f64::from(scale).exp2().recip()
    }
}

/// Bits of normalised hidden vectors, signed.
const NORMED_BITS: u32 = 14;
/// Bits of normalised query and key heads, signed.
const HEAD_NORMED_BITS: u32 = 13;
/// Bits of each limb of queries and keys.
const HEAD_LIMB_BITS: u32 = 8;
/// Bits of values.
const VALUE_BITS: u32 = 14;
/// Bits of the feed-forward block's inner vectors.
const INNER_BITS: u32 = 15;

/// Quantise a checkpoint.
///
/// # Errors
/// What reading the checkpoint reports, and [`ModelError::Unsupported`] for a model whose numbers do not fit.
pub fn quantize(config: &ModelConfig, checkpoint: &Checkpoint) -> Result<QuantizedModel, ModelError> {
    let shape = shape_of(config)?;
    let real = RealWeights::load(&shape, checkpoint)?;
    let mut weights: BTreeMap<&str, Quantized> = BTreeMap::new();

    let limb_bits = (6..=12u32)
        .rev()
        .find(|&bits| (shape.hidden as f64) * power(2 * (bits - 1)) <= power(29))
        .ok_or_else(|| ModelError::Unsupported(format!("hidden size {}", shape.hidden)))?;
    // The format of the output depends on the width alone; the input's scale comes with the residual stream.
    let (_, normed) = norm(shape.hidden, limb_bits, NORMED_BITS, 0.0, 0.0)?;

    let head_limit = limb_limit(HEAD_LIMB_BITS);
    let query = project("query projection", &real.query, normed, head_limit, power(2 * HEAD_LIMB_BITS - 1) + 128.0)?;
    let key = project("key projection", &real.key, normed, head_limit, power(2 * HEAD_LIMB_BITS - 1) + 128.0)?;
    let head_squares = shape.head_dim as f64 * head_limit * head_limit;
    let head_norm = |projection: &Projection| {
        let unit = power(projection.fraction);
        let epsilon = config.rms_norm_eps * shape.head_dim as f64 * unit * unit;
        norm(shape.head_dim, HEAD_LIMB_BITS, HEAD_NORMED_BITS, epsilon, head_squares)
    };
    let (query_norm, query_unit) = head_norm(&query)?;
    let (key_norm, key_unit) = head_norm(&key)?;
    let query_gain = gain("query norm", &real.query_gain)?;
    let key_gain = gain("key norm", &real.key_gain)?;
    let rotation = Rotation::choose(&shape, [(&query_gain, query_unit), (&key_gain, key_unit)])?;
    let scores = Scores::choose(&shape, &rotation)?;

    let value_slack = probability_slack(&shape, scores.step);
    let value_limit = power(VALUE_BITS - 1) / value_slack - 2.0;
    let value = project("value projection", &real.value, normed, value_limit, power(VALUE_BITS - 1))?;
    let gate = project("gate projection", &real.gate, normed, power(15) - 1.0, power(15))?;
    if !(1..=16).contains(&gate.fraction) {
        return Err(ModelError::Unsupported("gate projection of this size".into()));
    }
    let (up, up_bits, inner) = up_and_inner(&shape, &real.up, &gate, normed)?;

    let mean_largest = value.largest * value_slack + 1.0;
    let mean = Input { fraction: value.fraction, range: power(VALUE_BITS - 1), norm: 0.0 };
    let hidden = Input { fraction: inner.fraction, range: power(INNER_BITS - 1), norm: 0.0 };
    let output_weight = quantize_within("attention output", &real.output, mean.range, power(30))?;
    let down_weight = quantize_within("feed-forward output", &real.down, hidden.range, power(30))?;
    let output_rows: Vec<f64> =
        output_weight.rows().map(|row| row.iter().map(|&w| f64::from(w).abs()).sum::<f64>() * mean_largest).collect();
    let down_rows: Vec<f64> = down_weight
        .rows()
        .enumerate()
        .map(|(row, entries)| {
            let layer = row / shape.hidden;
            let bounds = &inner.largest[layer * shape.intermediate..][..shape.intermediate];
            entries.iter().zip(bounds).map(|(&w, bound)| f64::from(w).abs() * bound).sum()
        })
        .collect();
    let stream = StreamFormat::choose(
        &shape,
        &real.embedding,
        limb_limit(limb_bits),
        (mean.fraction + output_weight.fraction, &output_rows),
        (hidden.fraction + down_weight.fraction, &down_rows),
    )?;
    let unit = power(stream.residual.fraction);
    let epsilon = config.rms_norm_eps * shape.hidden as f64 * unit * unit;
    let (hidden_norm, normed) = norm(shape.hidden, limb_bits, NORMED_BITS, epsilon, stream.sum_of_squares)?;
    let head_weight = quantize_within("output head", &real.head, normed.range, power(29) - 2.0)?;

    let head_fraction = head_weight.fraction;
    let attention = Attention {
        query_shift: query.shift,
        key_shift: key.shift,
        rotary_fraction: rotation.fraction,
        query_rotary_shift: rotation.shifts[0],
        key_rotary_shift: rotation.shifts[1],
        rotated_bits: rotation.bits,
        score_shift: scores.shift,
        score_step: scores.step,
        value_shift: value.shift,
        value_bits: VALUE_BITS,
    };
    let feed_forward = FeedForward {
        gate_shift: gate.shift,
        gate_fraction: gate.fraction,
        up_shift: up.shift,
        up_bits,
        hidden_shift: inner.shift,
        hidden_bits: INNER_BITS,
    };
    weights.insert("embedding", stream.embedding);
    weights.insert("query_weight", query.weight);
    weights.insert("key_weight", key.weight);
    weights.insert("value_weight", value.weight);
    weights.insert("query_gain", query_gain);
    weights.insert("key_gain", key_gain);
    weights.insert("output_weight", output_weight);
    weights.insert("gate_weight", gate.weight);
    weights.insert("up_weight", up.weight);
    weights.insert("down_weight", down_weight);
    weights.insert("head_weight", head_weight);
    assert!(WEIGHTS.iter().all(|name| weights.contains_key(name)), "every weight of the statement is quantised");

    let bounds = weights.iter().map(|(&name, weight)| (name.to_owned(), weight.bound())).collect();
    let weights: BTreeMap<String, Vec<i32>> =
        weights.into_iter().map(|(name, weight)| (name.to_owned(), weight.entries)).collect();
    let description = ModelDescription {
        specification: SPECIFICATION,
        architecture: Architecture::Qwen3,
        shape,
        rotary_theta: rotary_theta(config)?,
        residual: stream.residual,
        hidden_norm,
        query_norm,
        key_norm,
        attention,
        feed_forward,
        head_fraction,
        weights: bounds,
        weights_digest: hex::encode(digest_of_weights(&weights)),
    };
    Ok(QuantizedModel { description, weights })
}

fn shape_of(config: &ModelConfig) -> Result<Shape, ModelError> {
    /// Longest sequence of specification 1: the logarithm of softmax denominators is too coarse beyond it.
    const LONGEST: usize = 1024;
    Ok(Shape {
        layers: config.layers,
        hidden: config.hidden_size,
        intermediate: config.intermediate_size,
        kv_heads: config.kv_heads,
        group: config.heads / config.kv_heads,
        head_dim: config.head_dim,
        vocabulary: config.vocab_size,
        positions: config.max_positions.min(LONGEST),
    })
}

fn rotary_theta(config: &ModelConfig) -> Result<u64, ModelError> {
    let theta = config.rope_theta;
    if theta < 1.0 || theta > power(30) * power(30) || theta.fract() != 0.0 {
        return Err(ModelError::Unsupported(format!("rope_theta {theta}; it must be a whole number")));
    }
    Ok(theta as u64)
}

/// The checkpoint's matrices with the gains of norms folded into what reads them, all layers stacked.
struct RealWeights {
    embedding: Matrix,
    query: Matrix,
    key: Matrix,
    value: Matrix,
    query_gain: Vec<f64>,
    key_gain: Vec<f64>,
    output: Matrix,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
    head: Matrix,
}

impl RealWeights {
    fn load(shape: &Shape, checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let read = |name: &str| -> Result<Vec<f64>, ModelError> {
            Ok(checkpoint.tensor(name)?.into_iter().map(f64::from).collect())
        };
        let stacked = |columns: usize, name: &str, gain: Option<&str>| -> Result<Matrix, ModelError> {
            let mut entries = Vec::new();
            for layer in 0..shape.layers {
                let matrix = read(&format!("model.layers.{layer}.{name}.weight"))?;
                match gain {
                    None => entries.extend(matrix),
                    Some(gain) => {
                        let gain = read(&format!("model.layers.{layer}.{gain}.weight"))?;
                        entries.extend(folded(&matrix, &gain));
                    }
                }
            }
            Ok(Matrix { columns, entries })
        };
        let heads = shape.kv_heads * shape.group * shape.head_dim;
        let (first, second) = (Some("input_layernorm"), Some("post_attention_layernorm"));
        let embedding = read("model.embed_tokens.weight")?;
        let head = if checkpoint.contains("lm_head.weight") { read("lm_head.weight")? } else { embedding.clone() };
        Ok(Self {
            embedding: Matrix { columns: shape.hidden, entries: embedding },
            query: stacked(shape.hidden, "self_attn.q_proj", first)?,
            key: stacked(shape.hidden, "self_attn.k_proj", first)?,
            value: stacked(shape.hidden, "self_attn.v_proj", first)?,
            query_gain: stacked(shape.head_dim, "self_attn.q_norm", None)?.entries,
            key_gain: stacked(shape.head_dim, "self_attn.k_norm", None)?.entries,
            output: stacked(heads, "self_attn.o_proj", None)?,
            gate: stacked(shape.hidden, "mlp.gate_proj", second)?,
            up: stacked(shape.hidden, "mlp.up_proj", second)?,
            down: stacked(shape.intermediate, "mlp.down_proj", None)?,
            head: Matrix { columns: shape.hidden, entries: folded(&head, &read("model.norm.weight")?) },
        })
    }
}

fn folded(matrix: &[f64], gain: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(gain.len()).flat_map(|row| row.iter().zip(gain).map(|(weight, gain)| weight * gain)).collect()
}

/// Seven-bit gains, one per layer and channel of a head.
fn gain(name: &str, entries: &[f64]) -> Result<Quantized, ModelError> {
    let largest = entries.iter().fold(0.0f64, |largest, entry| largest.max(entry.abs()));
    let fraction =
        finest_scale(largest, 127.0).ok_or_else(|| ModelError::Unsupported(format!("{name} gains above 127")))?;
    let entries = entries.iter().map(|entry| (entry * power(fraction)).round() as i32).collect();
    Ok(Quantized { columns: 1, fraction, entries })
}

/// Format of rotated queries and keys.
struct Rotation {
    bits: u32,
    fraction: u32,
    shifts: [u32; 2],
    /// Fractional bits of rotated queries and of rotated keys.
    output_fractions: [u32; 2],
    /// Largest Euclidean norms of a rotated query head and of a rotated key head.
    norms: [f64; 2],
}

impl Rotation {
    fn choose(shape: &Shape, heads: [(&Quantized, Input); 2]) -> Result<Self, ModelError> {
        let unsupported = || ModelError::Unsupported(format!("head size {}", shape.head_dim));
        let width = shape.head_dim as f64;
        let bits =
            (8..=13u32).rev().find(|&bits| width * power(2 * (bits - 1)) <= power(30)).ok_or_else(unsupported)?;
        let limit = power(bits - 1) - 2.0;
        // Cosines and sines as fine as the widest shift allows.
        for fraction in (6..=14u32).rev() {
            let turned = power(fraction) + 1.0;
            let head = |(gain, unit): (&Quantized, Input)| {
                let magnitude = gain.bound().magnitude as f64;
                let norm = unit.norm * magnitude * turned;
                let shift = (1..=16u32).find(|&shift| norm / power(shift) <= limit)?;
                let sides = 2.0 * unit.range * magnitude * power(fraction) + power(shift) * (power(bits - 1) + 1.0);
                let output = (unit.fraction + gain.fraction + fraction).checked_sub(shift)?;
                (sides < power(31) - 2.0).then(|| (shift, output, norm / power(shift) + 0.5 * width.sqrt()))
            };
            if let (Some(query), Some(key)) = (head(heads[0]), head(heads[1])) {
                return Ok(Self {
                    bits,
                    fraction,
                    shifts: [query.0, key.0],
                    output_fractions: [query.1, key.1],
                    norms: [query.2, key.2],
                });
            }
        }
        Err(unsupported())
    }
}

/// Format of attention scores.
struct Scores {
    shift: u32,
    step: u64,
}

impl Scores {
    fn choose(shape: &Shape, rotation: &Rotation) -> Result<Self, ModelError> {
        let product = rotation.norms[0] * rotation.norms[1];
        let scale = rotation.output_fractions[0] + rotation.output_fractions[1];
        // The table's index is a difference of scores plus the logarithm of the denominator.
        let logarithm =
            f64::from(denominator_shift(shape.positions) + TABLE_BITS - PROBABILITY_BITS) * std::f64::consts::LN_2;
        for shift in 1..=16u32 {
            let step = power(shift) / (power(scale) * (shape.head_dim as f64).sqrt());
            let largest = product / power(shift) + 1.0;
            if 2.0 * largest + logarithm / step + 2.0 < power(TABLE_BITS) {
                let step = (step * (1u64 << STEP_FRACTION) as f64).round() as u64;
                if step > 0 {
                    return Ok(Self { shift, step });
                }
            }
        }
        Err(ModelError::Unsupported("attention scores of this size".into()))
    }
}

/// How far above one the softmax weights of a row can sum, from the cells of the logarithm's table and from rounding.
fn probability_slack(shape: &Shape, step: u64) -> f64 {
    let positions = shape.positions as f64;
    let step = step as f64 / (1u64 << STEP_FRACTION) as f64;
    let peak = power(PROBABILITY_BITS) - 1.0;
    let cell = power(denominator_shift(shape.positions)) / peak;
    (1.0 + step) * (1.0 + cell) * (1.0 + positions / peak) + positions / peak
}

/// Format of the product of activation and up projection.
struct Inner {
    shift: u32,
    fraction: u32,
    /// Largest magnitude per layer and channel.
    largest: Vec<f64>,
}

/// The widest up projection whose product with the activation has a format.
fn up_and_inner(
    shape: &Shape,
    up: &Matrix,
    gate: &Projection,
    normed: Input,
) -> Result<(Projection, u32, Inner), ModelError> {
    for bits in (12..=16u32).rev() {
        let up = project("up projection", up, normed, power(bits - 1) - 1.0, power(bits - 1))?;
        if let Some(inner) = Inner::choose(shape, gate, (&up, bits), normed) {
            return Ok((up, bits, inner));
        }
    }
    Err(ModelError::Unsupported("feed-forward products of this size".into()))
}

impl Inner {
    fn choose(shape: &Shape, gate: &Projection, (up, up_bits): (&Projection, u32), normed: Input) -> Option<Self> {
        // For a vector x of norm N: |g.x u.x| <= (|g||u| + |g.u|) N^2 / 2, and SiLU shrinks.
        let products: Vec<f64> = gate
            .weight
            .rows()
            .zip(up.weight.rows())
            .map(|(g, u)| {
                let aligned = (inner(g, g) * inner(u, u)).sqrt() + inner(g, u).abs();
                let exact = aligned * normed.norm * normed.norm / 2.0 / power(gate.shift) / power(up.shift);
                exact + gate.largest + up.largest + 1.0
            })
            .collect();
        assert_eq!(products.len(), shape.layers * shape.intermediate, "one bound per channel");
        let largest = products.iter().copied().fold(0.0, f64::max);
        let total = gate.fraction + up.fraction;
        let shift = (1..=16u32.min(total)).find(|&shift| largest / power(shift) + 1.0 < power(INNER_BITS - 1))?;
        let sides = power(15 + up_bits - 1) + power(shift) * (power(INNER_BITS - 1) + 1.0);
        (sides < power(31) - 2.0).then(|| Self {
            shift,
            fraction: total - shift,
            largest: products.iter().map(|product| product / power(shift) + 1.0).collect(),
        })
    }
}

/// Format of the residual stream.
struct StreamFormat {
    residual: Residual,
    embedding: Quantized,
    sum_of_squares: f64,
}

impl StreamFormat {
    /// The finest scale at which the embedding plus every branch stays within `limit`. Branches come as fractional
    /// bits and the bound of each accumulator, per layer and channel.
    fn choose(
        shape: &Shape,
        embedding: &Matrix,
        limit: f64,
        attention: (u32, &[f64]),
        feed_forward: (u32, &[f64]),
    ) -> Result<Self, ModelError> {
        for fraction in (1..=14u32).rev() {
            let Some(attention_branch) = branch(attention, fraction) else { continue };
            let Some(feed_forward_branch) = branch(feed_forward, fraction) else { continue };
            let quantized: Vec<i32> =
                embedding.entries.iter().map(|entry| (entry * power(fraction)).round() as i32).collect();
            let largest_of_channel = |channel: usize| {
                let embedded = quantized.iter().skip(channel).step_by(shape.hidden);
                let embedded = embedded.map(|&entry| f64::from(entry).abs()).fold(0.0, f64::max);
                let sum = |bounds: &[f64], shift: u32| -> f64 {
                    bounds.iter().skip(channel).step_by(shape.hidden).map(|bound| bound / power(shift) + 1.0).sum()
                };
                embedded + sum(attention.1, attention_branch.shift) + sum(feed_forward.1, feed_forward_branch.shift)
            };
            let channels: Vec<f64> = (0..shape.hidden).map(largest_of_channel).collect();
            if channels.iter().all(|&channel| channel <= limit) {
                return Ok(Self {
                    residual: Residual { fraction, attention: attention_branch, feed_forward: feed_forward_branch },
                    embedding: Quantized { columns: 1, fraction, entries: quantized },
                    sum_of_squares: channels.iter().map(|channel| channel * channel).sum(),
                });
            }
        }
        Err(ModelError::Unsupported("a residual stream of this range".into()))
    }
}

/// The rounding and limbs of a branch at a scale of the stream.
fn branch((scale, bounds): (u32, &[f64]), fraction: u32) -> Option<Branch> {
    let shift = scale.checked_sub(fraction).filter(|shift| (1..=16).contains(shift))?;
    let largest = bounds.iter().copied().fold(0.0, f64::max) / power(shift) + 1.0;
    let bits = (2..=28u32).find(|&bits| largest < power(bits - 1))?;
    // Both sides of the projection's relation must fit beside each other.
    (power(shift) * (power(bits - 1) + 1.0) < power(30) - 2.0).then(|| {
        let low_bits = (bits / 2).max(1);
        Branch { shift, low_bits, high_bits: bits - low_bits }
    })
}
