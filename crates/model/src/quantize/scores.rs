//! Formats of attention scores.

use obelysk_statement::compile::denominator_shift;
use obelysk_statement::description::{PROBABILITY_BITS, Rounding, ScoreCap, Shape, TABLE_BITS};
use obelysk_statement::functions::STEP_FRACTION;

use super::formats::{Expected, Range, Size, WINDOW, power, power_of, unsupported};
use super::heads::Rotation;
use crate::config::ModelConfig;
use crate::error::ModelError;

/// Widest rounding of scores without a cap: a difference of scores times the divisor takes a small part of the field.
const WIDEST_SHIFT: u32 = 9;

/// Format of attention scores.
pub(super) struct Scores {
    pub(super) rounding: Rounding,
    pub(super) cap: Option<ScoreCap>,
    /// What one unit, capped if there is a cap, means in the exponent, in units of `2^-40`.
    pub(super) step: u64,
}

impl Scores {
    /// `scale` is what the product of a query and a key, as real numbers, means in the exponent before the cap.
    pub(super) fn choose(
        config: &ModelConfig,
        shape: &Shape,
        scale: f64,
        rotation: &Rotation,
        expected: &Expected,
    ) -> Result<Self, ModelError> {
        let unit = scale / power_of(rotation.fractions[0] + rotation.fractions[1]);
        match config.score_cap {
            None => Self::without_cap(shape, unit),
            Some(cap) => Self::with_cap(cap, shape, rotation, unit, expected.of("score")),
        }
    }

    /// The finest step at which differences end where the exponential is zero: no score is too large.
    fn without_cap(shape: &Shape, unit: f64) -> Result<Self, ModelError> {
        let shift = (1..=WIDEST_SHIFT).find(|&shift| power(shift) * unit >= finest_step(shape));
        let shift = shift.ok_or_else(|| unsupported("the size of attention scores"))?;
        Ok(Self { rounding: Rounding::exact(shift), cap: None, step: fixed(power(shift) * unit) })
    }

    /// Scores that are never clamped, unless a step of them is then coarser than [`Self::COARSE`].
    fn with_cap(cap: f64, shape: &Shape, rotation: &Rotation, unit: f64, expected: f64) -> Result<Self, ModelError> {
        /// A step of the exponential that shows in the weights.
        const COARSE: f64 = 1.0 / 64.0;
        /// Most bits of what the cap's table clamps: more make its rows many and the step finer than anything shows.
        const CAPPED_BITS: u32 = 18;
        let range = Range::signed(TABLE_BITS);
        let bound = shape.head_dim as f64 * rotation.end * rotation.end;
        let size = Size { bound, proven: bound, expected: expected / unit };
        let representable = |rounding: &Rounding| fixed(power(rounding.shift) * unit / cap) >= 1;
        let exact = (1..=16u32)
            .filter(|&shift| bound / power(shift) + 1.0 <= range.limit)
            .filter(|&shift| bound + power(shift) * (range.magnitude + 1.0) < WINDOW)
            .map(Rounding::exact)
            .find(representable);
        let clamped = (1..=16u32)
            .filter(|&shift| size.expected / power(shift) + 1.0 <= range.limit)
            .filter_map(|shift| size.clamped_to(shift, range))
            .map(|(rounding, _)| rounding)
            .filter(|rounding| rounding.unclamped_bits <= CAPPED_BITS)
            .find(representable);
        let rounding = match (exact, clamped) {
            (Some(exact), Some(clamped)) if power(exact.shift) * unit > COARSE => clamped,
            (Some(exact), _) => exact,
            (None, Some(clamped)) => clamped,
            (None, None) => return Err(unsupported("the size of attention scores")),
        };
        // As fine as the exponential's table allows.
        let peak = (cap * (power(TABLE_BITS) - 4.0) / (2.0 * cap + logarithm(shape))).floor().min(range.limit);
        let format = ScoreCap { step: fixed(power(rounding.shift) * unit / cap), peak: peak as u32 };
        Ok(Self { rounding, cap: Some(format), step: fixed(cap / peak) })
    }
}

/// Most fractional bits of rotated queries and keys: the widest rounding of their products has no finer step than
/// [`finest_step`].
pub(super) fn finest_rotated(shape: &Shape, scale: f64) -> u32 {
    let coarse = |bits: u32| scale / power_of(2 * bits) * power(WIDEST_SHIFT) >= finest_step(shape);
    (0..=24).rev().find(|&bits| coarse(bits)).unwrap_or(0)
}

/// A step of the exponential whose table ends, less the largest logarithm, where entries are zero: below `exp(-10.4)`.
fn finest_step(shape: &Shape) -> f64 {
    (10.5 + logarithm(shape)) / (power(TABLE_BITS) - 4.0)
}

/// Largest logarithm of a denominator, in units of one.
fn logarithm(shape: &Shape) -> f64 {
    f64::from(denominator_shift(shape.positions) + TABLE_BITS - PROBABILITY_BITS) * std::f64::consts::LN_2
}

fn fixed(step: f64) -> u64 {
    (step * (1u64 << STEP_FRACTION) as f64).round() as u64
}
