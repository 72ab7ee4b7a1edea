//! Formats of the residual stream and of what joins it.

use obelysk_statement::compile::{LIMB_BITS, RANGE_BITS};
use obelysk_statement::description::{
    Branch, BranchNorm, LowLimbs, Residual, Rounding, Shape, StreamClamp, WeightBound,
};

use super::formats::{
    Expected, Limbs, Range, Size, WINDOW, finest_before_norm, norm, normed_bits, power, power_of, unsupported,
};
use super::heads::Gain;
use crate::error::ModelError;

/// Widest part of a branch that is clamped.
const BRANCH_BITS: u32 = 30;
/// Most fractional bits of the stream.
const FINEST_STREAM: u32 = 16;

/// Format of the residual stream.
pub(super) struct StreamFormat {
    pub(super) residual: Residual,
    pub(super) limbs: Limbs,
    /// Bounds of the embedding at the stream's scale.
    pub(super) embedding: WeightBound,
    /// Largest sum of squares of any row.
    pub(super) sum_of_squares: f64,
    /// Largest highest limb of each channel, where the stream is clamped.
    pub(super) tops: Option<Vec<i32>>,
}

/// What a block adds to the stream, before the last rounding.
pub(super) struct BranchBounds {
    /// Fractional bits.
    pub(super) fraction: u32,
    /// Largest magnitude per layer and channel.
    pub(super) largest: Vec<f64>,
    /// Largest sum of high limbs and carry that the intervals of the proof allow.
    pub(super) proven: f64,
    /// Largest magnitude that is expected, a real number.
    pub(super) expected: f64,
    /// Of what is summed.
    pub(super) limbs: LowLimbs,
    /// The norm in between, and its gains.
    pub(super) norm: Option<(BranchNorm, Gain)>,
}

/// Accumulators of a block's output projection.
pub(super) struct Accumulators {
    /// Fractional bits.
    pub(super) fraction: u32,
    /// Largest magnitude per layer and channel.
    pub(super) largest: Vec<f64>,
    /// Largest sum of high limbs and carry that the intervals of the proof allow.
    pub(super) proven: f64,
    /// Of what the projection reads.
    pub(super) limbs: LowLimbs,
}

impl Accumulators {
    /// Of numbers of `bits` bits times rows of at most `mass`.
    pub(super) fn proven(limbs: LowLimbs, bits: u32, mass: f64) -> f64 {
        // A carry from low limbs is at most the mass, rounded up to a power of two.
        let carry = if limbs.count > 0 { 2.0 * mass + 2.0 } else { 0.0 };
        mass * power(bits - limbs.total() - 1) + carry
    }
}

/// What joins in the stream.
pub(super) struct Joining<'a> {
    /// Largest entry of each channel of the embedding, real numbers.
    pub(super) embedding: &'a [f64],
    pub(super) attention: &'a BranchBounds,
    pub(super) feed_forward: &'a BranchBounds,
    pub(super) expected: &'a Expected,
    /// What the norm adds to a mean square.
    pub(super) epsilon: f64,
}

impl StreamFormat {
    /// The finest format: two limbs that nothing ever leaves where the stream is one number after the other, else the limbs
    /// that keep it finest.
    pub(super) fn choose(shape: &Shape, joining: &Joining) -> Result<Self, ModelError> {
        let limbs = |count| Limbs::of_width(shape.hidden, count);
        let finest = if joining.expected.precision.limbs {
            let formats = [2, 3].into_iter().filter_map(limbs).filter_map(|limbs| Self::clamped(shape, joining, limbs));
            // Of equals the one with fewer limbs.
            formats.reduce(|best, next| if next.residual.fraction > best.residual.fraction { next } else { best })
        } else {
            limbs(2).and_then(|limbs| Self::exact(shape, joining, limbs))
        };
        finest.ok_or_else(|| unsupported("the range of the residual stream"))
    }

    /// The finest scale at which the stream never leaves the limbs.
    fn exact(shape: &Shape, joining: &Joining, limbs: Limbs) -> Option<Self> {
        joining.scales(shape).find_map(|fraction| {
            let attention = joining.attention.at(fraction, false)?;
            let feed_forward = joining.feed_forward.at(fraction, false)?;
            let largest_of_channel = |channel: usize| {
                let sum = |bounds: &[f64], branch: &Branch| -> f64 {
                    let unit = power_of(branch.rounding.shift);
                    bounds.iter().skip(channel).step_by(shape.hidden).map(|bound| bound / unit + 1.0).sum()
                };
                joining.embedded(fraction, channel)
                    + sum(&joining.attention.largest, &attention)
                    + sum(&joining.feed_forward.largest, &feed_forward)
            };
            let channels: Vec<f64> = (0..shape.hidden).map(largest_of_channel).collect();
            let sum_of_squares = channels.iter().map(|channel| channel * channel).sum();
            if channels.iter().any(|&channel| channel > limbs.limit()) || sum_of_squares >= limbs.largest_squares() {
                return None;
            }
            let residual = Residual { fraction, clamp: None, attention, feed_forward };
            Some(Self { residual, limbs, embedding: joining.embedding_bound(fraction), sum_of_squares, tops: None })
        })
    }

    /// The finest scale at which every channel's range holds what is expected of it, and far more in ordinary channels: spikes
    /// of few channels make no difference to the others. The sum of squares of any vector within the ranges, attention's branch
    /// added, has a place.
    fn clamped(shape: &Shape, joining: &Joining, limbs: Limbs) -> Option<Self> {
        /// How much larger than expected an ordinary channel may become.
        const ORDINARY: f64 = 16.0;
        let expected = joining.expected_of_channels();
        let mut sorted = expected.clone();
        sorted.sort_by(f64::total_cmp);
        // Nineteen in twenty are ordinary.
        let ordinary = ORDINARY * sorted[(sorted.len() - 1) * 19 / 20];
        let unit = power(limbs.highest_place());
        joining.scales(shape).find_map(|fraction| {
            let attention = joining.attention.at(fraction, true)?;
            let feed_forward = joining.feed_forward.at(fraction, true)?;
            let added = joining.attention.end(&attention);
            let end_of = |top: f64| top * unit + limbs.low_limit();
            let top_for = |real: f64| ((real * power(fraction) - limbs.low_limit()) / unit).ceil().max(0.0);
            let least: Vec<f64> = expected.iter().map(|&channel| top_for(channel)).collect();
            let squares = |common: f64| -> f64 {
                let of_channel =
                    |top: &f64| (end_of(top.max(common)) + added + 1.0) * (end_of(top.max(common)) + added + 1.0);
                least.iter().map(of_channel).sum()
            };
            let largest = ((limbs.limit() - added - limbs.low_limit()) / unit).floor();
            if least.iter().any(|&top| top > largest) {
                return None;
            }
            // The widest range that all channels can have together.
            let common =
                (0..=largest as u32).rev().map(f64::from).find(|&top| squares(top) < limbs.largest_squares())?;
            if common < top_for(ordinary) {
                return None;
            }
            let tops: Vec<f64> = least.iter().map(|top| top.max(common)).collect();
            let end = end_of(tops.iter().copied().fold(0.0, f64::max));
            let limbs = limbs.holding(end + added)?;
            let outside = added + joining.feed_forward.end(&feed_forward);
            // The low limbs of a sum may carry one into the highest.
            let excess_bits = (1..=RANGE_BITS).find(|&bits| outside / unit + 1.0 < power(bits))?;
            if 2.0 * end + outside + unit * power(excess_bits) >= WINDOW {
                return None;
            }
            Some(Self {
                residual: Residual { fraction, clamp: Some(StreamClamp { excess_bits }), attention, feed_forward },
                limbs,
                embedding: joining.embedding_bound(fraction),
                sum_of_squares: squares(common),
                tops: Some(tops.into_iter().map(|top| top as i32).collect()),
            })
        })
    }
}

impl Joining<'_> {
    /// Scales of the stream, the finest first: what the norm's epsilon adds to a sum of squares limits them.
    fn scales(&self, shape: &Shape) -> impl Iterator<Item = u32> + use<> {
        (1..=FINEST_STREAM.min(finest_before_norm(shape.hidden, self.epsilon))).rev()
    }

    fn embedded(&self, fraction: u32, channel: usize) -> f64 {
        (self.embedding[channel] * power(fraction)).round()
    }

    /// What is expected of each channel, its embedding included.
    fn expected_of_channels(&self) -> Vec<f64> {
        let headroom = self.expected.precision.headroom;
        let seen = self.expected.extremes.stream().chain(std::iter::repeat(0.0));
        self.embedding.iter().zip(seen).map(|(&embedding, seen)| (seen * headroom).max(embedding)).collect()
    }

    fn embedding_bound(&self, fraction: u32) -> WeightBound {
        let magnitude = (0..self.embedding.len()).map(|channel| self.embedded(fraction, channel)).fold(0.0, f64::max);
        let magnitude = magnitude as i64;
        WeightBound { magnitude, row_mass: magnitude, row_norm: magnitude }
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
        let Accumulators { fraction, largest, proven, limbs } = accumulators;
        let Some(gain) = gain else {
            return Ok(Self { fraction, largest, proven, expected: branch, limbs, norm: None });
        };
        let name = format!("the output of {}", block.replace('_', "-"));
        let output =
            Self { fraction, largest, proven, expected: expected.of(&format!("{block}_output")), limbs, norm: None };
        let (output, limbs, squares) =
            output.before_norm(shape, epsilon, expected).ok_or_else(|| unsupported(&name))?;
        let unit = power_of(fraction - output.rounding.shift);
        let epsilon = epsilon * shape.hidden as f64 * unit * unit;
        let (norm, normed) = norm(shape.hidden, limbs, normed_bits(shape.hidden), epsilon, squares)?;
        let gain = Gain::choose(&name, gain, LARGEST_GAIN)?;
        let largest: Vec<f64> = gain.entries.iter().map(|&gain| f64::from(gain).abs() * normed.range).collect();
        Ok(Self {
            fraction: normed.fraction + gain.fraction,
            proven: largest.iter().copied().fold(0.0, f64::max),
            largest,
            expected: branch,
            limbs: LowLimbs::NONE,
            norm: Some((BranchNorm { output, norm }, gain)),
        })
    }

    /// The finest rounded accumulator that a norm can read, the limbs that hold it and its largest sum of squares.
    fn before_norm(&self, shape: &Shape, epsilon: f64, expected: &Expected) -> Option<(Branch, Limbs, f64)> {
        let counts = if expected.precision.limbs { 2..=3 } else { 2..=2 };
        let scales = || (0..=self.fraction.min(finest_before_norm(shape.hidden, epsilon))).rev();
        let formats = counts.filter_map(|count| {
            let widest = Limbs::of_width(shape.hidden, count)?;
            let root = (widest.largest_squares() / shape.hidden as f64).sqrt();
            scales().find_map(|fraction| {
                let branch = self.at(fraction, true)?;
                let end = self.end(&branch);
                let limbs = widest.holding(end).filter(|_| end < root)?;
                Some((fraction, branch, limbs, shape.hidden as f64 * (end + 1.0) * (end + 1.0)))
            })
        });
        let finest = formats.reduce(|best, next| if next.0 > best.0 { next } else { best });
        finest.map(|(_, branch, limbs, squares)| (branch, limbs, squares))
    }

    /// Largest magnitude of a rounded accumulator.
    fn end(&self, branch: &Branch) -> f64 {
        power(branch.kept(self.limbs) + branch.low_bits + branch.high_bits - 1)
    }

    /// The rounding and limbs at a scale; clamped to what is expected, or never clamped.
    fn at(&self, fraction: u32, clamped: bool) -> Option<Branch> {
        let total = self.limbs.total();
        let shift = self.fraction.checked_sub(fraction)?;
        // The last bit of the divisor is among those of the highest low limb, or above all of them.
        if shift == 0 || shift + self.limbs.bits <= total || shift > total + 16 {
            return None;
        }
        let top_shift = shift.saturating_sub(total);
        let unit = power_of(total);
        let bound = self.largest.iter().copied().fold(0.0, f64::max) / unit + 2.0;
        let expected = self.expected * power_of(self.fraction) / unit;
        let target = if clamped { expected.min(bound) } else { bound } / power(top_shift) + 1.0;
        let size = Size { bound, proven: self.proven, expected };
        // More bits than the target needs where fewer would leave too many to clamp.
        let limbs = (2..=BRANCH_BITS).filter(|&bits| target < power(bits - 1)).flat_map(|bits| {
            // A narrow high limb has a small table of what it becomes, and is clamped to within an eighth.
            let narrow = bits.saturating_sub(4).clamp(1, LIMB_BITS);
            [(bits, bits / 2), (bits, narrow)].into_iter().zip([false, true])
        });
        limbs.filter(|(_, clamps)| clamped || !clamps).find_map(|((bits, low_bits), clamps)| {
            let range = Range { highest_place: low_bits, ..Range::signed(bits) };
            let (rounding, _) = size.clamped_to(top_shift, range)?;
            let branch = Branch { rounding: Rounding { shift, ..rounding }, low_bits, high_bits: bits - low_bits };
            (rounding.clamps() == clamps && branch.high_bits <= LIMB_BITS).then_some(branch)
        })
    }
}
