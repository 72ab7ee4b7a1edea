//! Formats of the residual stream and of what joins it.

use obelysk_statement::description::{Branch, BranchNorm, Residual, Shape, WeightBound};

use super::NORMED_BITS;
use super::formats::{
    Expected, LARGEST_SQUARES, Limbs, PROJECTION_LOSS, Size, finest_before_norm, norm, power, power_of, unsupported,
};
use super::heads::Gain;
use crate::error::ModelError;

/// Significant bits that a typical entry of the smallest vector of the stream should have.
const SIGNIFICANT_BITS: u32 = 7;
/// Widest branch.
const BRANCH_BITS: u32 = 24;

/// Format of the residual stream.
pub(super) struct StreamFormat {
    pub(super) residual: Residual,
    pub(super) limbs: Limbs,
    /// Bounds of the embedding at the stream's scale.
    pub(super) embedding: WeightBound,
    /// Largest sum of squares of any row.
    pub(super) sum_of_squares: f64,
}

/// What a block adds to the stream, before the last rounding.
pub(super) struct BranchBounds {
    /// Fractional bits.
    pub(super) fraction: u32,
    /// Largest magnitude per layer and channel.
    pub(super) largest: Vec<f64>,
    /// Largest magnitude that the intervals of the proof allow.
    pub(super) proven: f64,
    /// Largest magnitude that is expected, a real number.
    pub(super) expected: f64,
    /// The norm in between, and its gains.
    pub(super) norm: Option<(BranchNorm, Gain)>,
}

/// Accumulators of a block's output projection.
pub(super) struct Accumulators {
    /// Fractional bits.
    pub(super) fraction: u32,
    /// Largest magnitude per layer and channel.
    pub(super) largest: Vec<f64>,
    /// Largest magnitude that the intervals of the proof allow.
    pub(super) proven: f64,
}

/// What joins in the stream.
pub(super) struct Joining<'a> {
    /// Largest entry of each channel of the embedding, real numbers.
    pub(super) embedding: &'a [f64],
    pub(super) attention: &'a BranchBounds,
    pub(super) feed_forward: &'a BranchBounds,
    /// Smallest root mean square of a vector that is expected, a real number.
    pub(super) smallest: f64,
}

impl StreamFormat {
    /// The cheapest format that keeps the significant bits of the smallest vectors: two limbs, then clamped branches, then
    /// three limbs; the finest one where none does.
    pub(super) fn choose(shape: &Shape, joining: &Joining) -> Result<Self, ModelError> {
        let enough = |format: &Self| joining.smallest * power(format.residual.fraction) >= power(SIGNIFICANT_BITS);
        let mut best: Option<Self> = None;
        for (limbs, clamped) in [(2, false), (2, true), (3, true)] {
            let Some(limbs) = Limbs::of_width(shape.hidden, limbs) else { continue };
            let Some(format) = Self::finest(shape, joining, limbs, clamped) else { continue };
            if enough(&format) {
                return Ok(format);
            }
            if best.as_ref().is_none_or(|best| best.residual.fraction < format.residual.fraction) {
                best = Some(format);
            }
        }
        best.ok_or_else(|| unsupported("the range of the residual stream"))
    }

    /// The finest scale at which the embedding plus every branch stays within the limbs.
    fn finest(shape: &Shape, joining: &Joining, limbs: Limbs, clamped: bool) -> Option<Self> {
        (1..=14u32).rev().find_map(|fraction| {
            let attention = joining.attention.at(fraction, clamped)?;
            let feed_forward = joining.feed_forward.at(fraction, clamped)?;
            let embedded: Vec<f64> = joining.embedding.iter().map(|entry| (entry * power(fraction)).round()).collect();
            let largest_of_channel = |channel: usize| {
                let sum = |bounds: &[f64], branch: &Branch| -> f64 {
                    let unit = power(branch.rounding.shift);
                    let end = power(branch.low_bits + branch.high_bits - 1);
                    let of_channel = bounds.iter().skip(channel).step_by(shape.hidden);
                    of_channel.map(|bound| (bound / unit + 1.0).min(end)).sum()
                };
                embedded[channel]
                    + sum(&joining.attention.largest, &attention)
                    + sum(&joining.feed_forward.largest, &feed_forward)
            };
            let channels: Vec<f64> = (0..shape.hidden).map(largest_of_channel).collect();
            let sum_of_squares = channels.iter().map(|channel| channel * channel).sum();
            if channels.iter().any(|&channel| channel > limbs.limit()) || sum_of_squares >= LARGEST_SQUARES {
                return None;
            }
            let magnitude = embedded.iter().copied().fold(0.0, f64::max) as i64;
            Some(Self {
                residual: Residual { fraction, attention, feed_forward },
                limbs,
                embedding: WeightBound { magnitude, row_mass: magnitude, row_norm: magnitude },
                sum_of_squares,
            })
        })
    }
}

impl BranchBounds {
    /// Bounds of accumulators, and of what their norm and `gain` make of them where the model has one. `block` is the
    /// block's name in tensors.
    pub(super) fn choose(
        block: &str,
        shape: &Shape,
        accumulators: Accumulators,
        gain: Option<&[f64]>,
        epsilon: f64,
        expected: &Expected,
    ) -> Result<Self, ModelError> {
        /// Largest integer gain.
        const LARGEST_GAIN: f64 = ((1 << 14) - 1) as f64;
        let branch = expected.of(&format!("{block}_branch"));
        let Accumulators { fraction, largest, proven } = accumulators;
        let Some(gain) = gain else { return Ok(Self { fraction, largest, proven, expected: branch, norm: None }) };
        let name = format!("the output of {}", block.replace('_', "-"));
        let widest = Limbs::of_width(shape.hidden, 2).ok_or_else(|| unsupported(&name))?;
        let size = Size {
            bound: largest.iter().copied().fold(0.0, f64::max),
            proven,
            expected: expected.of(&format!("{block}_output")) * power_of(fraction),
        };
        let least = fraction.saturating_sub(finest_before_norm(shape.hidden, epsilon));
        // Narrower limbs where small numbers have to lose more bits than the widest limbs allow.
        let (limbs, rounding) = (6..=widest.bits)
            .rev()
            .map(|bits| Limbs { count: widest.count, bits })
            .find_map(|limbs| {
                let (rounding, _) = size.rounding(least, limbs.limit(), limbs.range(), PROJECTION_LOSS)?;
                (rounding.shift <= fraction).then_some((limbs, rounding))
            })
            .ok_or_else(|| unsupported(&name))?;
        let entry = |bound: &f64| (bound / power(rounding.shift) + 1.0).min(limbs.range());
        let squares = largest.chunks_exact(shape.hidden).map(|layer| layer.iter().map(|b| entry(b) * entry(b)).sum());
        let unit = power_of(fraction - rounding.shift);
        let epsilon = epsilon * shape.hidden as f64 * unit * unit;
        let (norm, normed) = norm(shape.hidden, limbs, NORMED_BITS, epsilon, squares.fold(0.0, f64::max))?;
        let gain = Gain::choose(&name, gain, LARGEST_GAIN)?;
        let largest: Vec<f64> = gain.entries.iter().map(|&gain| f64::from(gain).abs() * normed.range).collect();
        Ok(Self {
            fraction: normed.fraction + gain.fraction,
            proven: largest.iter().copied().fold(0.0, f64::max),
            largest,
            expected: branch,
            norm: Some((BranchNorm { rounding, norm }, gain)),
        })
    }

    /// The rounding and limbs at a scale of the stream; clamped to what is expected, or never clamped.
    fn at(&self, fraction: u32, clamped: bool) -> Option<Branch> {
        let shift = self.fraction.checked_sub(fraction).filter(|shift| (1..=16).contains(shift))?;
        let bound = self.largest.iter().copied().fold(0.0, f64::max);
        let expected = self.expected * power_of(self.fraction);
        let target = if clamped { expected.min(bound) } else { bound } / power(shift) + 1.0;
        // More bits than the target needs where the excess over fewer would be too wide.
        let (bits, rounding) = (2..=BRANCH_BITS).filter(|&bits| target < power(bits - 1)).find_map(|bits| {
            let end = power(bits - 1);
            let (rounding, _) = Size { bound, proven: self.proven, expected }.clamped_to(shift, end - 1.0, end)?;
            Some((bits, rounding))
        })?;
        let low_bits = (bits / 2).max(1);
        Some(Branch { rounding, low_bits, high_bits: bits - low_bits })
    }
}
