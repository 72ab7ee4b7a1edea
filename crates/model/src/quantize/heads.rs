//! Formats of queries and keys.

use obelysk_statement::description::{HeadNorms, Shape};

use super::RealWeights;
use super::formats::{
    Expected, Input, Limbs, Output, Projection, Range, WINDOW, finest_before_norm, norm, power, project, unsupported,
};
use super::precision::Precision;
use super::scores::finest_rotated;
use super::stack::finest_scale;
use crate::config::ModelConfig;
use crate::error::ModelError;

/// Bits of normalised query and key heads, signed.
const HEAD_NORMED_BITS: u32 = 13;
/// Limbs of queries and keys that are normalised.
const HEAD_LIMBS: Limbs = Limbs::equal(2, 8);
/// How many bits finer queries and keys are before the rotation than after it, at most.
const FINER: u32 = 3;
/// Widest rounding after the rotation whose remainder is one number.
const WIDEST_ROTATION: u32 = 16;
/// Most fractional bits of cosines and sines.
const ROTARY_FRACTION: u32 = 14;

/// Formats of queries and keys.
pub(super) struct Heads<'a> {
    pub(super) query: Projection<'a>,
    pub(super) key: Projection<'a>,
    pub(super) norms: Option<HeadNorms>,
    /// Gains of query and key norms, one per layer and channel of a head.
    pub(super) gains: Option<[Gain; 2]>,
    /// Largest magnitude before the rotation, where no norm follows the projection.
    pub(super) projected_end: f64,
    pub(super) rotation: Rotation,
}

/// Integer gains `entries / 2^fraction`.
pub(super) struct Gain {
    pub(super) fraction: u32,
    pub(super) entries: Vec<i32>,
}

/// Largest integer gain of a query or key norm, and the widest rounding of the rotation that multiplies by it: its remainder may have
/// a second limb at a precision with limbs.
fn largest_gain(precision: Precision) -> (f64, u32) {
    if precision.limbs { (511.0, WIDEST_ROTATION + 2) } else { (255.0, WIDEST_ROTATION) }
}

/// Largest gain of a query or key norm that fills its format, a real number.
pub(super) fn filled_gain(precision: Precision) -> f64 {
    (largest_gain(precision).0 - 0.25) / 16.0
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
}

/// Largest magnitudes of queries and keys, before and after the rotation.
struct Ends {
    projected: f64,
    rotated: f64,
}

impl Ends {
    /// The largest at which the sum of products over a head leaves three quarters of the field to what its score is rounded to.
    fn of_width(dim: usize) -> Self {
        let products = power(29) - power(25) - power(10);
        let largest = power(15) - 1.0;
        let rotated = (products / dim as f64).sqrt().floor().min(largest);
        // A pair has at most sqrt(2) times the norm of its larger entry; cosines, sines and the last rounding are off by half a unit.
        let turned = power(ROTARY_FRACTION - 1);
        let unscaled = (rotated - 1.0) * turned / (turned + 1.0) / std::f64::consts::SQRT_2;
        let finer = (0..=FINER).rev().find(|&bits| unscaled * power(bits) <= largest).unwrap_or(0);
        Self { projected: (unscaled * power(finer)).floor(), rotated }
    }
}

/// Fractional bits of queries and keys before the rotation, at most.
const FINEST_PROJECTED: u32 = 10;

/// Largest query or key that fills the format before the rotation, a real number.
pub(super) fn filled(dim: usize) -> f64 {
    (Ends::of_width(dim).projected - 2.0) / power(FINEST_PROJECTED)
}

impl<'a> Heads<'a> {
    /// Formats of balanced queries and keys; `scale` is what their product means in the exponent.
    pub(super) fn choose(
        config: &ModelConfig,
        shape: &Shape,
        real: &'a RealWeights,
        normed: Input,
        scale: f64,
        expected: &Expected,
    ) -> Result<Self, ModelError> {
        let with_norms = real.head_gains.is_some();
        let ends = Ends::of_width(shape.head_dim);
        // Two limbs where a norm follows, else one number.
        let range = if with_norms {
            let (limit, magnitude) = (HEAD_LIMBS.limit(), HEAD_LIMBS.range());
            Range { limit, magnitude, highest_place: HEAD_LIMBS.highest_place() }
        } else {
            Range { limit: ends.projected, magnitude: ends.projected, highest_place: 0 }
        };
        let finest =
            if with_norms { finest_before_norm(shape.head_dim, config.rms_norm_eps) } else { FINEST_PROJECTED };
        let loss = expected.precision.projection_loss;
        let largest = |name: &str| if with_norms { expected.of(name) } else { filled(shape.head_dim) };
        let output = |name: &str| Output { expected: largest(name), range, finest, loss };
        let stack = (&real.query, &real.query.survey()?);
        let query = project("query projection", stack, real.query_bias.as_deref(), normed, &output("query"))?;
        let stack = (&real.key, &real.key.survey()?);
        let key = project("key projection", stack, real.key_bias.as_deref(), normed, &output("key"))?;
        let (norms, gains, unrotated) = match &real.head_gains {
            Some([query_gain, key_gain]) => {
                let head_squares = shape.head_dim as f64 * range.magnitude * range.magnitude;
                let head = |projection: &Projection| {
                    let unit = power(projection.fraction);
                    let epsilon = config.rms_norm_eps * shape.head_dim as f64 * unit * unit;
                    norm(shape.head_dim, HEAD_LIMBS, HEAD_NORMED_BITS, epsilon, head_squares)
                };
                let ((query_norm, query_unit), (key_norm, key_unit)) = (head(&query)?, head(&key)?);
                let (largest, _) = largest_gain(expected.precision);
                let gains =
                    [Gain::choose("query norm", query_gain, largest)?, Gain::choose("key norm", key_gain, largest)?];
                let unrotated =
                    [Unrotated::normalised(query_unit, &gains[0]), Unrotated::normalised(key_unit, &gains[1])];
                (Some(HeadNorms { query: query_norm, key: key_norm }), Some(gains), unrotated)
            }
            None => (None, None, [&query, &key].map(|head| Unrotated::projected(head, range.magnitude))),
        };
        let widest = if with_norms { largest_gain(expected.precision).1 } else { WIDEST_ROTATION };
        let rotation = Rotation::choose(ends.rotated, widest, finest_rotated(shape, scale), unrotated)?;
        Ok(Self { query, key, norms, gains, projected_end: ends.projected, rotation })
    }
}

impl Unrotated {
    fn normalised(unit: Input, gain: &Gain) -> Self {
        let magnitude = gain.magnitude() as f64;
        Self { fraction: unit.fraction + gain.fraction, range: unit.range * magnitude, pair: unit.norm * magnitude }
    }

    fn projected(projection: &Projection, range: f64) -> Self {
        Self { fraction: projection.fraction, range, pair: projection.largest * std::f64::consts::SQRT_2 }
    }
}

/// Format of rotated queries and keys.
pub(super) struct Rotation {
    /// Largest magnitude.
    pub(super) end: f64,
    /// Fractional bits of cosines and sines.
    pub(super) fraction: u32,
    pub(super) shifts: [u32; 2],
    /// Fractional bits of rotated queries and of rotated keys.
    pub(super) fractions: [u32; 2],
}

impl Rotation {
    /// Rotated queries and keys of at most `finest` fractional bits, for every input within `end`.
    fn choose(end: f64, widest: u32, finest: u32, heads: [Unrotated; 2]) -> Result<Self, ModelError> {
        // Cosines and sines as fine as the widest rounding and the field allow.
        for fraction in (6..=ROTARY_FRACTION).rev() {
            let turned = power(fraction) + 1.0;
            let head = |head: &Unrotated| {
                let least = (head.fraction + fraction).saturating_sub(finest).max(1);
                let shift = (least..=widest).find(|&shift| head.pair * turned / power(shift) + 1.0 <= end)?;
                let sides = 2.0 * head.range * power(fraction) + power(shift) * (end + 1.0);
                let output = (head.fraction + fraction).checked_sub(shift)?;
                (sides < WINDOW).then_some((shift, output))
            };
            if let (Some(query), Some(key)) = (head(&heads[0]), head(&heads[1])) {
                return Ok(Self { end, fraction, shifts: [query.0, key.0], fractions: [query.1, key.1] });
            }
        }
        Err(unsupported("the size of queries or keys"))
    }
}
