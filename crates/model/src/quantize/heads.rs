//! Formats of queries, keys and the scores between them.

use obelysk_statement::compile::denominator_shift;
use obelysk_statement::description::{HeadNorms, PROBABILITY_BITS, Rounding, ScoreCap, Shape, TABLE_BITS};
use obelysk_statement::functions::STEP_FRACTION;

use super::RealWeights;
use super::formats::{
    Expected, Input, Limbs, Output, Projection, Size, WINDOW, finest_before_norm, norm, power, power_of, project,
    unsupported,
};
use super::stack::{finest_scale, inner};
use crate::config::ModelConfig;
use crate::error::ModelError;

/// Bits of normalised query and key heads, signed.
const HEAD_NORMED_BITS: u32 = 13;
/// Limbs of queries and keys that are normalised.
const HEAD_LIMBS: Limbs = Limbs::equal(2, 8);
/// Bits of queries and keys that are not.
const PROJECTED_BITS: u32 = 15;
/// Bits of scores.
const SCORE_BITS: u32 = 16;

/// Formats of queries and keys.
pub(super) struct Heads<'a> {
    pub(super) query: Projection<'a>,
    pub(super) key: Projection<'a>,
    pub(super) norms: Option<HeadNorms>,
    /// Gains of query and key norms, one per layer and channel of a head.
    pub(super) gains: Option<[Gain; 2]>,
    pub(super) projected_bits: u32,
    pub(super) rotation: Rotation,
}

/// Integer gains `entries / 2^fraction`.
pub(super) struct Gain {
    pub(super) fraction: u32,
    pub(super) entries: Vec<i32>,
}

impl Gain {
    /// The finest gains within `limit`.
    pub(super) fn choose(name: &str, real: &[f64], limit: f64) -> Result<Self, ModelError> {
        let largest = real.iter().fold(0.0f64, |largest, entry| largest.max(entry.abs()));
        let fraction = finest_scale(largest, limit).ok_or_else(|| unsupported(name))?;
        Ok(Self { fraction, entries: real.iter().map(|entry| (entry * power(fraction)).round() as i32).collect() })
    }

    pub(super) fn magnitude(&self) -> i64 {
        self.entries.iter().map(|&entry| i64::from(entry).abs()).max().unwrap_or(0)
    }
}

/// What is known of heads before they are rotated.
struct Unrotated {
    /// Fractional bits of an entry times its gain.
    fraction: u32,
    /// Largest entry times its gain that the proof allows.
    range: f64,
    /// Largest Euclidean norm of a pair that is rotated.
    pair: f64,
    /// Largest Euclidean norm of each head of each layer.
    norms: Vec<f64>,
}

/// Most fractional bits of rotated queries and keys: a step of the exponential is at most the widest rounding of their products.
const FINEST_ROTATED: u32 = 11;
/// Most fractional bits of queries and keys before the rotation.
const FINEST_PROJECTED: u32 = 13;

impl<'a> Heads<'a> {
    pub(super) fn choose(
        config: &ModelConfig,
        shape: &Shape,
        real: &'a RealWeights,
        normed: Input,
        expected: &Expected,
    ) -> Result<Self, ModelError> {
        let with_norms = real.head_gains.is_some();
        // Two limbs where a norm follows, else one number.
        let (limit, range) = match with_norms {
            true => (HEAD_LIMBS.limit(), HEAD_LIMBS.range()),
            false => (power(PROJECTED_BITS - 1) - 2.0, power(PROJECTED_BITS - 1)),
        };
        let finest =
            if with_norms { finest_before_norm(shape.head_dim, config.rms_norm_eps) } else { FINEST_PROJECTED };
        let loss = expected.precision.projection_loss;
        let output = |name: &str| Output { expected: expected.of(name), limit, range, finest, loss };
        let stack = (&real.query, &real.query.survey()?);
        let query = project("query projection", stack, real.query_bias.as_deref(), normed, &output("query"))?;
        let stack = (&real.key, &real.key.survey()?);
        let key = project("key projection", stack, real.key_bias.as_deref(), normed, &output("key"))?;
        let (norms, gains, unrotated) = match &real.head_gains {
            Some([query_gain, key_gain]) => {
                let head_squares = shape.head_dim as f64 * range * range;
                let head = |projection: &Projection| {
                    let unit = power(projection.fraction);
                    let epsilon = config.rms_norm_eps * shape.head_dim as f64 * unit * unit;
                    norm(shape.head_dim, HEAD_LIMBS, HEAD_NORMED_BITS, epsilon, head_squares)
                };
                let ((query_norm, query_unit), (key_norm, key_unit)) = (head(&query)?, head(&key)?);
                let gains =
                    [Gain::choose("query norm", query_gain, 127.0)?, Gain::choose("key norm", key_gain, 127.0)?];
                let heads = shape.layers * shape.kv_heads;
                let unrotated = [
                    Unrotated::normalised(query_unit, &gains[0], heads * shape.group),
                    Unrotated::normalised(key_unit, &gains[1], heads),
                ];
                (Some(HeadNorms { query: query_norm, key: key_norm }), Some(gains), unrotated)
            }
            None => {
                let unrotated =
                    [Unrotated::projected(shape, &query, normed)?, Unrotated::projected(shape, &key, normed)?];
                (None, None, unrotated)
            }
        };
        let rotation = Rotation::choose(shape, unrotated)?;
        Ok(Self { query, key, norms, gains, projected_bits: PROJECTED_BITS, rotation })
    }
}

impl Unrotated {
    fn normalised(unit: Input, gain: &Gain, heads: usize) -> Self {
        let magnitude = gain.magnitude() as f64;
        let norm = unit.norm * magnitude;
        Self {
            fraction: unit.fraction + gain.fraction,
            range: unit.range * magnitude,
            pair: norm,
            norms: vec![norm; heads],
        }
    }

    fn projected(shape: &Shape, projection: &Projection, normed: Input) -> Result<Self, ModelError> {
        let (dim, half) = (shape.head_dim, shape.head_dim / 2);
        let unit = power(projection.rounding.shift);
        let heads = projection.stack.groups_at(projection.weight_fraction, dim, |_, rows| {
            let columns = rows.len() / dim;
            let rows: Vec<&[i32]> = rows.chunks_exact(columns).collect();
            let norms: Vec<f64> = rows.iter().map(|row| inner(row, row).sqrt()).collect();
            (norms, spectral_bound(&rows))
        })?;
        let bias = |head: usize, channel: usize| {
            projection.bias.as_ref().map_or(0.0, |bias| f64::from(bias[head * dim + channel]).abs())
        };
        let (mut pair, mut norms) = (0.0f64, Vec::with_capacity(heads.len()));
        for (head, (rows, spectral)) in heads.iter().enumerate() {
            let end = power(PROJECTED_BITS - 1);
            let entry = |channel: usize| ((rows[channel] * normed.norm + bias(head, channel)) / unit + 1.0).min(end);
            for channel in 0..half {
                let (first, second) = (entry(channel), entry(channel + half));
                pair = pair.max((first * first + second * second).sqrt());
            }
            let biases: f64 = (0..dim).map(|channel| bias(head, channel) * bias(head, channel)).sum();
            let norm = (spectral * normed.norm + biases.sqrt()) / unit + (dim as f64).sqrt();
            norms.push(norm.min(end * (dim as f64).sqrt()));
        }
        Ok(Self { fraction: projection.fraction, range: power(PROJECTED_BITS - 1), pair, norms })
    }
}

/// An upper bound of the largest singular value of a matrix: with `G` its Gram matrix, `|G^8|` in Frobenius' norm is at
/// least the sixteenth power of it, and at most `sqrt(rows)` times that.
fn spectral_bound(rows: &[&[i32]]) -> f64 {
    let size = rows.len();
    let mut gram: Vec<f64> = (0..size * size).map(|place| inner(rows[place / size], rows[place % size])).collect();
    let frobenius = |matrix: &[f64]| matrix.iter().map(|entry| entry * entry).sum::<f64>().sqrt();
    let mut scale = frobenius(&gram);
    if scale == 0.0 {
        return 0.0;
    }
    // gram^(2^k) = scale^(2^k) normalised^(2^k): the scale is kept as its 2^k-th root.
    gram.iter_mut().for_each(|entry| *entry /= scale);
    for power in 1..=3 {
        let mut square = vec![0.0; size * size];
        for (row, output) in gram.chunks_exact(size).zip(square.chunks_exact_mut(size)) {
            for (&entry, other) in row.iter().zip(gram.chunks_exact(size)) {
                output.iter_mut().zip(other).for_each(|(sum, factor)| *sum += entry * factor);
            }
        }
        let norm = frobenius(&square);
        square.iter_mut().for_each(|entry| *entry /= norm);
        scale *= (0..power).fold(norm, |root, _| root.sqrt());
        gram = square;
    }
    scale.sqrt() * 1.000_01
}

/// Format of rotated queries and keys.
pub(super) struct Rotation {
    pub(super) bits: u32,
    pub(super) fraction: u32,
    pub(super) shifts: [u32; 2],
    /// Fractional bits of rotated queries and of rotated keys.
    output_fractions: [u32; 2],
    /// Largest Euclidean norm of each rotated query head and of each rotated key head.
    norms: [Vec<f64>; 2],
}

impl Rotation {
    fn choose(shape: &Shape, heads: [Unrotated; 2]) -> Result<Self, ModelError> {
        let width = shape.head_dim as f64;
        let bits = (8..=13u32)
            .rev()
            .find(|&bits| width * power(2 * (bits - 1)) <= power(30))
            .ok_or_else(|| unsupported("the width of a head"))?;
        let limit = power(bits - 1) - 2.0;
        // Cosines and sines as fine as the widest shift allows.
        for fraction in (6..=14u32).rev() {
            let turned = power(fraction) + 1.0;
            let head = |head: &Unrotated| {
                let least = (head.fraction + fraction).saturating_sub(FINEST_ROTATED).max(1);
                let shift = (least..=16).find(|&shift| head.pair * turned / power(shift) <= limit)?;
                let sides = 2.0 * head.range * power(fraction) + power(shift) * (power(bits - 1) + 1.0);
                let output = (head.fraction + fraction).checked_sub(shift)?;
                let norm = |norm: &f64| norm * turned / power(shift) + 0.5 * width.sqrt();
                (sides < power(31) - 2.0).then(|| (shift, output, head.norms.iter().map(norm).collect::<Vec<_>>()))
            };
            if let (Some(query), Some(key)) = (head(&heads[0]), head(&heads[1])) {
                return Ok(Self {
                    bits,
                    fraction,
                    shifts: [query.0, key.0],
                    output_fractions: [query.1, key.1],
                    norms: [query.2, key.2],
                });
            }
        }
        Err(unsupported("the size of queries or keys"))
    }

    /// Largest product of a query head's and its key head's norms.
    fn largest_product(&self, shape: &Shape) -> f64 {
        let [queries, keys] = &self.norms;
        queries.iter().enumerate().map(|(head, query)| query * keys[head / shape.group]).fold(0.0, f64::max)
    }
}

/// Format of attention scores.
pub(super) struct Scores {
    pub(super) rounding: Rounding,
    pub(super) bits: u32,
    pub(super) cap: Option<ScoreCap>,
    /// What one unit, capped if there is a cap, means in the exponent, in units of `2^-40`.
    pub(super) step: u64,
}

impl Scores {
    /// Scores that are never clamped, unless that leaves a step of the exponential coarser than [`Self::COARSE`] and
    /// clamping makes it at least four times as fine.
    pub(super) fn choose(
        config: &ModelConfig,
        shape: &Shape,
        rotation: &Rotation,
        expected: &Expected,
    ) -> Result<Self, ModelError> {
        /// A step of the exponential that shows in the weights.
        const COARSE: f64 = 1.0 / 64.0;
        let scale = rotation.output_fractions[0] + rotation.output_fractions[1];
        let unit = config.score_scale / power_of(scale);
        let entries = shape.head_dim as f64 * power(2 * (rotation.bits - 1));
        let bound = rotation.largest_product(shape).min(entries);
        let size = Size { bound, proven: entries, expected: expected.of("score") / unit };
        let steps = |rounding: &Rounding| power(rounding.shift) * unit;
        let window = |shift: u32| entries + power(shift) * (power(SCORE_BITS - 1) + 1.0) < WINDOW;
        let exact = (1..=16u32).filter(|&shift| window(shift)).map(Rounding::exact).find(|rounding| {
            let largest = bound / power(rounding.shift) + 1.0;
            Self::fits(config, shape, steps(rounding), largest)
        });
        let clamped_bits = if config.score_cap.is_some() { SCORE_BITS } else { SCORE_BITS - 1 };
        let range = power(clamped_bits - 1);
        let clamped = (1..=16u32)
            .filter(|&shift| size.expected / power(shift) + 1.0 <= range - 1.0)
            .filter_map(|shift| {
                let (rounding, _) = size.clamped_to(shift, range - 1.0, range)?;
                Some(rounding)
            })
            .find(|rounding| Self::fits(config, shape, steps(rounding), range));
        let (rounding, bits) = match (exact, clamped) {
            (Some(exact), Some(clamped)) if steps(&exact) > COARSE && exact.shift >= clamped.shift + 2 => {
                (clamped, clamped_bits)
            }
            (Some(exact), _) => (exact, SCORE_BITS),
            (None, Some(clamped)) => (clamped, clamped_bits),
            (None, None) => return Err(unsupported("the size of attention scores")),
        };
        let fixed = |step: f64| (step * (1u64 << STEP_FRACTION) as f64).round() as u64;
        let step = steps(&rounding);
        Ok(match config.score_cap {
            None => Self { rounding, bits, cap: None, step: fixed(step) },
            Some(cap) => {
                // As fine as the exponential's table allows.
                let peak = (cap * (power(TABLE_BITS) - 4.0) / (2.0 * cap + Self::logarithm(shape))).floor();
                let peak = peak.min(power(SCORE_BITS - 1) - 1.0);
                let format = ScoreCap { step: fixed(step / cap), peak: peak as u32 };
                Self { rounding, bits, cap: Some(format), step: fixed(cap / peak) }
            }
        })
    }

    /// Whether scores of at most `largest` units of `step` have a place in the tables: the exponential's index is a
    /// difference of scores plus the logarithm of the denominator, a cap is addressed by the score.
    fn fits(config: &ModelConfig, shape: &Shape, step: f64, largest: f64) -> bool {
        let representable = |step: f64| (step * (1u64 << STEP_FRACTION) as f64).round() >= 1.0;
        match config.score_cap {
            None => 2.0 * largest + Self::logarithm(shape) / step + 2.0 < power(TABLE_BITS) && representable(step),
            Some(cap) => largest <= power(SCORE_BITS - 1) && representable(step / cap),
        }
    }

    /// Largest logarithm of a denominator, in units of one.
    fn logarithm(shape: &Shape) -> f64 {
        f64::from(denominator_shift(shape.positions) + TABLE_BITS - PROBABILITY_BITS) * std::f64::consts::LN_2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spectral_bound_is_above_the_norm_of_every_image_and_close_to_the_largest() {
        let rows: Vec<Vec<i32>> =
            (0..6).map(|row| (0..9).map(|col| (row * 31 + col * 17 + row * col) % 23 - 11).collect()).collect();
        let rows: Vec<&[i32]> = rows.iter().map(Vec::as_slice).collect();
        let bound = spectral_bound(&rows);
        let mut vector = vec![1.0; 9];
        let mut largest = 0.0;
        for _ in 0..200 {
            let image: Vec<f64> =
                rows.iter().map(|row| row.iter().zip(&vector).map(|(&w, x)| f64::from(w) * x).sum()).collect();
            largest = image.iter().map(|entry| entry * entry).sum::<f64>().sqrt();
            let back: Vec<f64> =
                (0..9).map(|column| rows.iter().zip(&image).map(|(row, y)| f64::from(row[column]) * y).sum()).collect();
            let norm = back.iter().map(|entry| entry * entry).sum::<f64>().sqrt();
            vector = back.iter().map(|entry| entry / norm).collect();
        }
        assert!(bound >= largest && bound <= 1.15 * largest, "{bound} for {largest}");
        assert_eq!(spectral_bound(&[&[0, 0], &[0, 0]]), 0.0);
    }
}
