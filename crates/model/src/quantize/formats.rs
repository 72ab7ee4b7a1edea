//! Fixed-point formats from bounds that hold for every input, so that nothing saturates and no input is unprovable.
//!
//! A normalised vector has a bounded Euclidean norm; Cauchy and Schwarz bound every projection of it. What the proof
//! relies on is coarser, the row mass times the range of the input; both must fit.

use obelysk_statement::description::{Norm, WeightBound};

use super::stack::Stack;
use crate::error::ModelError;

/// Every pair of sides of a relation must differ by less than this.
const WINDOW: f64 = (1u64 << 31) as f64 - 2.0;
/// Widest rounding.
const WIDEST_SHIFT: u32 = 16;

/// A projection: the scale of its weights, its rounding and the scale of its output.
pub(super) struct Projection<'a> {
    pub(super) stack: &'a Stack<'a>,
    /// Fractional bits of the weights.
    pub(super) weight_fraction: u32,
    pub(super) bound: WeightBound,
    /// Integers at the scale of the accumulators.
    pub(super) bias: Option<Vec<i32>>,
    pub(super) shift: u32,
    /// Fractional bits of the output.
    pub(super) fraction: u32,
    /// Largest output for any input.
    pub(super) largest: f64,
}

/// A stack at a scale.
pub(super) struct Scaled {
    pub(super) fraction: u32,
    pub(super) bound: WeightBound,
}

/// What is known of the vectors that a projection reads.
#[derive(Clone, Copy)]
pub(super) struct Input {
    /// Fractional bits.
    pub(super) fraction: u32,
    /// Largest entry that the proof allows.
    pub(super) range: f64,
    /// Largest Euclidean norm that can occur.
    pub(super) norm: f64,
}

/// `value` as a power of two.
pub(super) fn power(exponent: u32) -> f64 {
    f64::from(1u32 << exponent)
}

/// As [`power`], for scales of accumulators, which may exceed 32 bits.
pub(super) fn power_of(exponent: u32) -> f64 {
    (0..exponent).fold(1.0, |power, _| 2.0 * power)
}

pub(super) fn unsupported(what: &str) -> ModelError {
    ModelError::Unsupported(format!(
        "{what} of this model does not fit the integer format of specification {}",
        obelysk_statement::SPECIFICATION
    ))
}

/// The finest format of a projection of `input` whose rounded output stays below `limit`, given the magnitude `range`
/// of the format that the proof checks.
pub(super) fn project<'a>(
    name: &str,
    stack: &'a Stack<'a>,
    bias: Option<&[f64]>,
    input: Input,
    limit: f64,
    range: f64,
) -> Result<Projection<'a>, ModelError> {
    let survey = stack.survey()?;
    let largest_bias = bias.unwrap_or_default().iter().fold(0.0f64, |largest, entry| largest.max(entry.abs()));
    for weight_fraction in (0..=survey.finest).rev() {
        let extremes = survey.at(weight_fraction);
        let total = input.fraction + weight_fraction;
        let bias_bound = largest_bias * power_of(total) + 1.0;
        let accumulator = extremes.norm * input.norm + bias_bound;
        let Some(shift) = (1..=WIDEST_SHIFT).find(|&shift| accumulator / power(shift) + 1.0 <= limit) else { continue };
        let fits = extremes.mass as f64 * input.range + bias_bound + power(shift) * (range + 1.0) < WINDOW;
        if fits && total >= shift {
            let round = |bias: &[f64]| bias.iter().map(|entry| (entry * power_of(total)).round() as i32).collect();
            return Ok(Projection {
                stack,
                weight_fraction,
                bound: extremes.bound(),
                bias: bias.map(round),
                shift,
                fraction: total - shift,
                largest: accumulator / power(shift) + 1.0,
            });
        }
    }
    Err(unsupported(name))
}

/// The finest scale at which `range` times the row mass stays below `window`.
pub(super) fn scale_within(name: &str, stack: &Stack, range: f64, window: f64) -> Result<Scaled, ModelError> {
    let survey = stack.survey()?;
    (0..=survey.finest)
        .rev()
        .map(|fraction| Scaled { fraction, bound: survey.at(fraction).bound() })
        .find(|scaled| scaled.bound.row_mass as f64 * range < window)
        .ok_or_else(|| unsupported(name))
}

/// A norm over `width` entries with `bits`-bit output, and what its output promises. `sum_of_squares` bounds the sum
/// of squares of its input, `epsilon` is in the same unit.
pub(super) fn norm(
    width: usize,
    limb_bits: u32,
    bits: u32,
    epsilon: f64,
    sum_of_squares: f64,
) -> Result<(Norm, Input), ModelError> {
    let root = (width as f64).sqrt();
    let range = power(bits - 1);
    // Floor, table and rounding move an entry by at most nine units.
    let fraction = (4..=12).rev().find(|&fraction| root * power(fraction) + 9.0 <= range - 1.0);
    let fraction = fraction.ok_or_else(|| unsupported("the width of a norm"))?;
    // The constant is 2^shift sqrt(width) 2^fraction / 2^6, with 20 bits.
    let unshifted = root * power(fraction) / 64.0;
    let shift = (1..=15).rev().find(|&shift| unshifted * power(shift) < power(20));
    let shift = shift.ok_or_else(|| unsupported("the width of a norm"))?;
    let total = sum_of_squares + epsilon + 1.0;
    let digits = (1..=15u32).find(|&digits| total < 16f64.powi(digits as i32));
    let digits = digits.ok_or_else(|| unsupported("the residual stream"))?.max(limb_bits / 2 + 1);
    let lowest = digits.saturating_sub(9).clamp(3, 6);
    let norm = Norm {
        limb_bits,
        epsilon: epsilon.round() as u64,
        digits: digits.max(lowest + 1),
        lowest,
        constant: (unshifted * power(shift)).round() as u64,
        shift,
        fraction,
        bits,
    };
    let error = power(15) / power(shift + 1) + 0.5;
    let largest_norm = root * (power(fraction) + error) * 1.000_01;
    Ok((norm, Input { fraction, range, norm: largest_norm }))
}

/// Largest magnitude of two balanced limbs.
pub(super) fn limb_limit(limb_bits: u32) -> f64 {
    power(2 * limb_bits - 1) - power(limb_bits - 1) - 1.0
}
