//! Formats of the residual stream and of what joins it.

use obelysk_statement::description::{Branch, BranchNorm, Residual, Shape, WeightBound};

use super::NORMED_BITS;
use super::formats::{limb_limit, norm, power, power_of, unsupported};
use super::heads::Gain;
use crate::error::ModelError;

/// Format of the residual stream.
pub(super) struct StreamFormat {
    pub(super) residual: Residual,
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
    /// The norm in between, and its gains.
    pub(super) norm: Option<(BranchNorm, Gain)>,
}

impl StreamFormat {
    /// The finest scale at which the embedding plus every branch stays within `limit`. Branches come as fractional
    /// bits and the bound of each accumulator, per layer and channel.
    /// The finest scale at which the embedding, given by the largest entry of each channel, plus every branch stays
    /// within `limit`.
    pub(super) fn choose(
        shape: &Shape,
        embedding: &[f64],
        limit: f64,
        attention: &BranchBounds,
        feed_forward: &BranchBounds,
    ) -> Result<Self, ModelError> {
        for fraction in (1..=14u32).rev() {
            let Some(attention_branch) = branch(attention, fraction) else { continue };
            let Some(feed_forward_branch) = branch(feed_forward, fraction) else { continue };
            let embedded: Vec<f64> = embedding.iter().map(|entry| (entry * power(fraction)).round()).collect();
            let largest_of_channel = |channel: usize| {
                let sum = |bounds: &[f64], shift: u32| -> f64 {
                    bounds.iter().skip(channel).step_by(shape.hidden).map(|bound| bound / power(shift) + 1.0).sum()
                };
                embedded[channel]
                    + sum(&attention.largest, attention_branch.shift)
                    + sum(&feed_forward.largest, feed_forward_branch.shift)
            };
            let channels: Vec<f64> = (0..shape.hidden).map(largest_of_channel).collect();
            if channels.iter().all(|&channel| channel <= limit) {
                let magnitude = embedded.iter().copied().fold(0.0, f64::max) as i64;
                return Ok(Self {
                    residual: Residual { fraction, attention: attention_branch, feed_forward: feed_forward_branch },
                    embedding: WeightBound { magnitude, row_mass: magnitude },
                    sum_of_squares: channels.iter().map(|channel| channel * channel).sum(),
                });
            }
        }
        Err(unsupported("the range of the residual stream"))
    }
}

impl BranchBounds {
    /// Bounds of accumulators of `fraction` fractional bits, per layer and channel, and of what their norm and `gain`
    /// make of them where the model has one.
    pub(super) fn choose(
        name: &str,
        shape: &Shape,
        (fraction, largest): (u32, Vec<f64>),
        gain: Option<&[f64]>,
        (limb_bits, epsilon): (u32, f64),
    ) -> Result<Self, ModelError> {
        /// Largest integer gain.
        const LARGEST_GAIN: f64 = ((1 << 14) - 1) as f64;
        let Some(gain) = gain else { return Ok(Self { fraction, largest, norm: None }) };
        let accumulator = largest.iter().copied().fold(0.0, f64::max);
        let shift = (1..=16u32.min(fraction))
            .find(|&shift| accumulator / power(shift) + 1.0 <= limb_limit(limb_bits))
            .ok_or_else(|| unsupported(name))?;
        let square = |bound: &f64| (bound / power(shift) + 1.0) * (bound / power(shift) + 1.0);
        let squares = largest.chunks_exact(shape.hidden).map(|layer| layer.iter().map(square).sum::<f64>());
        let unit = power_of(fraction - shift);
        let epsilon = epsilon * shape.hidden as f64 * unit * unit;
        let (norm, normed) = norm(shape.hidden, limb_bits, NORMED_BITS, epsilon, squares.fold(0.0, f64::max))?;
        let gain = Gain::choose(name, gain, LARGEST_GAIN)?;
        Ok(Self {
            fraction: normed.fraction + gain.fraction,
            largest: gain.entries.iter().map(|&gain| f64::from(gain).abs() * normed.range).collect(),
            norm: Some((BranchNorm { shift, norm }, gain)),
        })
    }
}

/// The rounding and limbs of a branch at a scale of the stream.
fn branch(bounds: &BranchBounds, fraction: u32) -> Option<Branch> {
    let shift = bounds.fraction.checked_sub(fraction).filter(|shift| (1..=16).contains(shift))?;
    let largest = bounds.largest.iter().copied().fold(0.0, f64::max) / power(shift) + 1.0;
    let bits = (2..=28u32).find(|&bits| largest < power(bits - 1))?;
    // Both sides of the projection's relation must fit beside each other.
    (power(shift) * (power(bits - 1) + 1.0) < power(30) - 2.0).then(|| {
        let low_bits = (bits / 2).max(1);
        Branch { shift, low_bits, high_bits: bits - low_bits }
    })
}
