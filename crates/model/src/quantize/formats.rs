//! Fixed-point formats from two sizes of what they hold: a bound for every input, and what calibration leads to expect.
//!
//! A normalised vector has a bounded Euclidean norm; Cauchy and Schwarz bound every projection of it, and the proof uses the
//! same bound. Where a range for the bound costs little precision, nothing is ever clamped; else the range is for what is
//! expected.

use std::collections::BTreeMap;

use obelysk_statement::compile::{UNCLAMPED_BITS, output_norm};
use obelysk_statement::description::{LowLimbs, Norm, Rounding, WeightBound};

use super::precision::Precision;
use super::stack::{Extremes, Stack, Survey};
use crate::error::ModelError;

/// Every pair of sides of a relation must differ by less than this.
pub(super) const WINDOW: f64 = (1u64 << 31) as f64 - 2.0;
/// Accumulators up to here leave room for what is clamped: a third of the window.
pub(super) const ACCUMULATORS: f64 = 0.7 * (1u64 << 30) as f64;
/// Widest rounding.
pub(super) const WIDEST_SHIFT: u32 = 16;
/// More fractional bits than any accumulator has.
pub(super) const FINEST_FRACTION: u32 = 40;

/// What calibration leads to expect of activations, as real numbers.
pub(super) struct Expected {
    pub(super) extremes: crate::float::Extremes,
    pub(super) precision: Precision,
    /// What some tensors are multiplied by.
    factors: BTreeMap<&'static str, f64>,
}

impl Expected {
    pub(super) fn new(extremes: crate::float::Extremes, precision: Precision) -> Self {
        Self { extremes, precision, factors: BTreeMap::new() }
    }

    /// Largest magnitude of a tensor of the integer engine.
    pub(super) fn of(&self, name: &str) -> f64 {
        let factor = self.factors.get(name).copied().unwrap_or(1.0);
        self.extremes.largest(name) * self.precision.headroom * factor
    }

    /// The factor in `1..2` that makes what is expected of a tensor fill a range, at a scale that is a power of two. From here
    /// on the tensors of `names` are expected to be that much larger.
    pub(super) fn fill(&mut self, names: &[&'static str], range: f64) -> f64 {
        let largest = self.of(names[0]);
        if largest == 0.0 {
            return 1.0;
        }
        let mut factor = range / largest;
        while factor >= 2.0 {
            factor /= 2.0;
        }
        while factor < 1.0 {
            factor *= 2.0;
        }
        for &name in names {
            *self.factors.entry(name).or_insert(1.0) *= factor;
        }
        factor
    }
}

/// Sizes of accumulators.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Largest for any input.
    pub(super) bound: f64,
    /// Largest that the intervals of the proof allow, not less.
    pub(super) proven: f64,
    /// Largest that is expected.
    pub(super) expected: f64,
}

impl Size {
    /// The finest rounding by at least `least` bits to a range, and the largest output. Clamping is worth it where it spares more
    /// than `loss` bits.
    pub(super) fn rounding(self, least: u32, range: Range, loss: u32) -> Option<(Rounding, f64)> {
        let shifts = least.max(1)..=WIDEST_SHIFT;
        let exact = shifts.clone().find_map(|shift| self.rounding_by(shift, self.bound, range));
        let clamped = shifts.clone().find_map(|shift| self.rounding_by(shift, self.expected, range));
        match (exact, clamped) {
            (Some(exact), Some(clamped)) if exact.0.shift > clamped.0.shift + loss => Some(clamped),
            (Some(exact), _) => Some(exact),
            (None, clamped) => clamped,
        }
    }

    fn rounding_by(self, shift: u32, size: f64, range: Range) -> Option<(Rounding, f64)> {
        if size / power(shift) + 1.0 > range.limit {
            return None;
        }
        self.clamped_to(shift, range)
    }

    /// Rounding by a shift, clamped where the bound exceeds the range.
    pub(super) fn clamped_to(self, shift: u32, range: Range) -> Option<(Rounding, f64)> {
        let largest = self.bound / power(shift) + 1.0;
        let unit = power(range.highest_place);
        let (unclamped_bits, stated, output) = if largest <= range.limit {
            (0, range.magnitude + 1.0, largest)
        } else {
            let bits = (1..=UNCLAMPED_BITS).find(|&bits| largest / unit + 1.0 < power(bits - 1))?;
            (bits, unit * (power(bits - 1) + 1.0), range.magnitude)
        };
        let fits = self.proven + power(shift) * (stated + 1.0) < WINDOW;
        fits.then_some((Rounding { shift, unclamped_bits }, output))
    }
}

/// What an output may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    /// Largest magnitude that its users allow.
    pub(super) limit: f64,
    /// Magnitude that the proof allows.
    pub(super) magnitude: f64,
    /// Where the highest limb begins: what lies below is never clamped.
    pub(super) highest_place: u32,
}

impl Range {
    /// Signed numbers of one limb of `bits` bits.
    pub(super) fn signed(bits: u32) -> Self {
        Self { limit: power(bits - 1) - 1.0, magnitude: power(bits - 1), highest_place: 0 }
    }
}

/// A projection: the scale of its weights, its rounding and the scale of its output.
pub(super) struct Projection<'a> {
    pub(super) stack: &'a Stack<'a>,
    /// Fractional bits of the weights.
    pub(super) weight_fraction: u32,
    pub(super) bound: WeightBound,
    /// Integers at the scale of the accumulators.
    pub(super) bias: Option<Vec<i32>>,
    pub(super) rounding: Rounding,
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

impl Input {
    /// The largest product with any row of a stack.
    pub(super) fn product(self, rows: Extremes) -> f64 {
        let bound = rows.bound();
        (bound.row_norm as f64 * self.norm).min(bound.row_mass as f64 * self.range)
    }
}

/// `value` as a power of two, up to 62.
pub(super) fn power(exponent: u32) -> f64 {
    (1u64 << exponent) as f64
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

/// What the output of a projection may be.
pub(super) struct Output {
    /// What is expected, a real number.
    pub(super) expected: f64,
    pub(super) range: Range,
    /// Most fractional bits.
    pub(super) finest: u32,
    /// Bits of precision that may be lost for never being clamped.
    pub(super) loss: u32,
}

/// The finest format of a projection of `input`.
pub(super) fn project<'a>(
    name: &str,
    (stack, survey): (&'a Stack<'a>, &Survey),
    bias: Option<&[f64]>,
    input: Input,
    output: &Output,
) -> Result<Projection<'a>, ModelError> {
    let largest_bias = bias.unwrap_or_default().iter().fold(0.0f64, |largest, entry| largest.max(entry.abs()));
    for weight_fraction in (0..=survey.finest).rev() {
        let extremes = survey.at(weight_fraction);
        let total = input.fraction + weight_fraction;
        let bound = input.product(extremes) + largest_bias * power_of(total) + 1.0;
        let size = Size { bound, proven: bound, expected: output.expected * power_of(total) };
        let least = total.saturating_sub(output.finest);
        let Some((rounding, largest)) = size.rounding(least, output.range, output.loss) else {
            continue;
        };
        if total >= rounding.shift {
            let round = |bias: &[f64]| bias.iter().map(|entry| (entry * power_of(total)).round() as i32).collect();
            return Ok(Projection {
                stack,
                weight_fraction,
                bound: extremes.bound(),
                bias: bias.map(round),
                rounding,
                fraction: total - rounding.shift,
                largest,
            });
        }
    }
    Err(unsupported(name))
}

/// The finest scale at which `size` of the rows' extremes stays below `window`.
pub(super) fn scale_within(survey: &Survey, window: f64, size: impl Fn(Extremes) -> f64) -> Option<Scaled> {
    (0..=survey.finest)
        .rev()
        .find(|&fraction| size(survey.at(fraction)) < window)
        .map(|fraction| Scaled { fraction, bound: survey.at(fraction).bound() })
}

/// The widest vectors of at most `bits` bits whose products with rows keep all of the rows' significant bits but one; the
/// narrowest if none do. Bits, and the scale of the rows.
pub(super) fn share_bits(
    name: &str,
    survey: &Survey,
    bits: std::ops::RangeInclusive<u32>,
) -> Result<(u32, Scaled), ModelError> {
    let narrowest = *bits.start();
    bits.rev()
        .filter_map(|bits| {
            let scaled = scale_within(survey, ACCUMULATORS, |rows| rows.bound().row_mass as f64 * power(bits - 1))?;
            Some((bits, scaled))
        })
        .find(|(bits, scaled)| scaled.fraction + 1 >= survey.finest || *bits == narrowest)
        .ok_or_else(|| unsupported(name))
}

/// The limbs, and their scale, of numbers of `bits` bits whose products with rows keep all of the rows' significant bits but
/// one; limbs of five bits if none do. Every limb's sum leaves room for the carry that it hands on.
pub(super) fn share_limbs(name: &str, survey: &Survey, bits: u32) -> Result<(LowLimbs, Scaled), ModelError> {
    /// A sum of low limbs and its carry are equally large: together they fill the window.
    const SUMS: f64 = 0.98 * (1u64 << 30) as f64;
    const NARROWEST: u32 = 5;
    (NARROWEST..=8)
        .rev()
        .filter_map(|limb| {
            let scaled = scale_within(survey, SUMS, |rows| rows.bound().row_mass as f64 * power(limb))?;
            Some((limb, scaled))
        })
        .find(|(limb, scaled)| scaled.fraction + 1 >= survey.finest || *limb == NARROWEST)
        .map(|(limb, scaled)| (low_limbs(bits, limb), scaled))
        .ok_or_else(|| unsupported(name))
}

/// Low limbs of `limb` bits of numbers of `bits` bits. The high limb has the sign, which a sum of magnitudes has room for.
pub(super) fn low_limbs(bits: u32, limb: u32) -> LowLimbs {
    match bits.saturating_sub(limb + 1).div_ceil(limb) {
        0 => LowLimbs::NONE,
        count => LowLimbs { count, bits: limb },
    }
}

/// Number and bits of balanced limbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limbs {
    pub(super) count: u32,
    pub(super) bits: u32,
    /// Bits of the highest limb.
    pub(super) highest: u32,
}

impl Limbs {
    /// Limbs of one width.
    pub(super) const fn equal(count: u32, bits: u32) -> Self {
        Self { count, bits, highest: bits }
    }

    /// The widest limbs whose products, summed over `width` entries, fit the field.
    pub(super) fn of_width(width: usize, count: u32) -> Option<Self> {
        let limit = if count == 2 { power(29) } else { power(30) / 3.0 };
        let bits = (6..=30 / count).rev().filter(|&bits| bits <= 12);
        bits.map(|bits| Self::equal(count, bits)).find(|limbs| (width as f64) * power(2 * (limbs.bits - 1)) <= limit)
    }

    /// With the narrowest highest limb that still holds `magnitude`.
    pub(super) fn holding(self, magnitude: f64) -> Option<Self> {
        (2..=self.bits).map(|highest| Self { highest, ..self }).find(|limbs| limbs.limit() >= magnitude)
    }

    /// Largest sum of squares that a norm can read: the digits above the first bit of the highest products have to fit the
    /// field, and there are fifteen at most.
    pub(super) fn largest_squares(self) -> f64 {
        let digits = ((2 * self.highest_place() + 30) / 4).min(15);
        0.99 * power(4 * digits)
    }

    /// Where the highest limb begins.
    pub(super) fn highest_place(self) -> u32 {
        (self.count - 1) * self.bits
    }

    /// Largest magnitude of either sign of the low limbs together.
    pub(super) fn low_limit(self) -> f64 {
        (0..self.count - 1).map(|place| power(place * self.bits)).sum::<f64>() * (power(self.bits - 1) - 1.0)
    }

    /// Largest magnitude of either sign.
    pub(super) fn limit(self) -> f64 {
        self.low_limit() + power(self.highest_place()) * (power(self.highest - 1) - 1.0)
    }

    /// Largest magnitude.
    pub(super) fn range(self) -> f64 {
        let ones: f64 = (0..self.count - 1).map(|place| power(place * self.bits)).sum();
        ones * power(self.bits - 1) + power(self.highest_place() + self.highest - 1)
    }
}

/// Most fractional bits of vectors of `width` entries whose norm adds `epsilon` to their mean square: what it adds to the sum of
/// squares is below `2^28`.
pub(super) fn finest_before_norm(width: usize, epsilon: f64) -> u32 {
    let added = |fraction: u32| epsilon * width as f64 * power_of(2 * fraction);
    (0..=FINEST_FRACTION).rev().find(|&fraction| added(fraction) < power(28) - 1.0).unwrap_or(0)
}

/// Bits of normalised vectors of `width` entries, signed: as many as eight fractional bits need, and at least fourteen.
pub(super) fn normed_bits(width: usize) -> u32 {
    (14..=15).find(|&bits| (width as f64).sqrt() * power(8) + 10.0 <= power(bits - 1)).unwrap_or(16)
}

/// A norm over `width` entries with `bits`-bit output, and what its output promises. `sum_of_squares` bounds the sum
/// of squares of its input, `epsilon` is in the same unit.
pub(super) fn norm(
    width: usize,
    limbs: Limbs,
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
    let boundary = 2 * (limbs.count - 1) * limbs.bits;
    let digits = digits.ok_or_else(|| unsupported("the residual stream"))?.max(boundary / 4 + 1);
    // Entries are multiplied by 4^(6 - lowest) before they are divided, within half of the field.
    let lowest = (3..=6u32).find(|&lowest| limbs.range() * power(2 * (6 - lowest)) < power(30)).unwrap_or(6);
    let lowest = digits.saturating_sub(9).clamp(lowest, 6);
    let norm = Norm {
        limbs: limbs.count,
        limb_bits: limbs.bits,
        highest_bits: limbs.highest,
        epsilon: epsilon.round() as u64,
        digits: digits.max(lowest + 1),
        lowest,
        constant: (unshifted * power(shift)).round() as u64,
        shift,
        fraction,
        bits,
    };
    let input = Input { fraction, range, norm: output_norm(&norm, width) as f64 };
    Ok((norm, input))
}
