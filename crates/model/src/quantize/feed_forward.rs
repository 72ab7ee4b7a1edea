//! Formats inside the feed-forward block.

use obelysk_statement::description::{Rounding, Shape};

use super::RealWeights;
use super::formats::{
    Expected, FINEST_FRACTION, Input, Output, Projection, Scaled, Size, power, power_of, project, share_bits,
    unsupported,
};
use super::stack::inner;
use super::stream::Accumulators;
use crate::error::ModelError;

/// Bits of the product of activation and up projection, at most and at least.
const INNER_BITS: std::ops::RangeInclusive<u32> = 12..=15;
/// Bits of precision that the product may lose for never being clamped.
const INNER_LOSS: u32 = 2;

/// Most fractional bits of a gate, whose activation is a table.
const FINEST_GATE: u32 = 16;
/// Bits of a low limb. A product of two numbers of 16 bits has 31: with a high limb of 15 bits, nothing that is worth a bit of
/// either factor is rounded away.
const LOW_BITS: u32 = 8;
/// Significant bits that a small vector's typical entry should have.
const SIGNIFICANT_BITS: u32 = 4;

/// Formats of gate, up projection and of the product of activation and up projection.
pub(super) struct Inner<'a> {
    pub(super) gate: Projection<'a>,
    pub(super) up: Projection<'a>,
    pub(super) up_bits: u32,
    pub(super) rounding: Rounding,
    /// Bits of the product, and how many of them a low limb holds.
    pub(super) bits: u32,
    pub(super) low_bits: u32,
    pub(super) fraction: u32,
    /// Largest magnitude of the product per layer and channel.
    pub(super) largest: Vec<f64>,
    pub(super) down: Scaled,
}

impl<'a> Inner<'a> {
    /// Formats that give accumulators at most `finest` fractional bits. One limb, or two where a few large products leave too
    /// few bits to all others: calibration has seen both.
    pub(super) fn choose(
        shape: &Shape,
        real: &'a RealWeights,
        normed: Input,
        finest: u32,
        expected: &Expected,
    ) -> Result<Self, ModelError> {
        let with = |low_bits| Self::with_low_bits(low_bits, shape, real, normed, finest, expected);
        let one = with(0);
        let enough = |one: &Self| expected.extremes.small_hidden() * power(one.fraction) >= power(SIGNIFICANT_BITS);
        if one.as_ref().is_ok_and(enough) {
            return one;
        }
        match (one, with(LOW_BITS)) {
            (Ok(one), Ok(two)) if two.fraction > one.fraction => Ok(two),
            (Ok(one), _) => Ok(one),
            (Err(_), two) => two,
        }
    }

    /// The widest up projection whose product with the activation has a format.
    fn with_low_bits(
        low_bits: u32,
        shape: &Shape,
        real: &'a RealWeights,
        normed: Input,
        finest: u32,
        expected: &Expected,
    ) -> Result<Self, ModelError> {
        let output =
            Output { expected: expected.of("gate"), limit: power(15) - 1.0, range: power(15), finest: FINEST_GATE };
        let gate = project("gate projection", (&real.gate, &real.gate.survey()?), None, normed, &output)?;
        if gate.fraction < 1 {
            return Err(unsupported("the gate projection"));
        }
        let (high_bits, down) = share_bits("feed-forward output", &real.down.survey()?, INNER_BITS)?;
        let bits = high_bits + low_bits;
        let survey = real.up.survey()?;
        for up_bits in (12..=16u32).rev() {
            let limit = power(up_bits - 1);
            let output =
                Output { expected: expected.of("up"), limit: limit - 1.0, range: limit, finest: FINEST_FRACTION };
            let up = project("up projection", (&real.up, &survey), None, normed, &output)?;
            // For a vector x of norm N: |g.x u.x| <= (|g||u| + |g.u|) N^2 / 2, and the activation shrinks.
            let aligned = gate.stack.pairs_at(gate.weight_fraction, (up.stack, up.weight_fraction), |gate, up| {
                (inner(gate, gate) * inner(up, up)).sqrt() + inner(gate, up).abs()
            })?;
            assert_eq!(aligned.len(), shape.layers * shape.intermediate, "one bound per channel");
            let exact = normed.norm * normed.norm / 2.0 / power(gate.rounding.shift) / power(up.rounding.shift);
            let proven = power(15) * limit;
            let products: Vec<f64> =
                aligned.iter().map(|aligned| (aligned * exact + gate.largest + up.largest + 1.0).min(proven)).collect();
            let total = gate.fraction + up.fraction;
            let bound = products.iter().copied().fold(0.0, f64::max);
            let size = Size { bound, proven, expected: expected.of("feed_forward_hidden") * power_of(total) };
            let range = power(bits - 1);
            let least = total.saturating_sub(finest.saturating_sub(down.fraction));
            let Some((rounding, _)) = size.rounding(least, range - 1.0, range, INNER_LOSS) else { continue };
            if total >= rounding.shift {
                let largest = |product: &f64| (product / power(rounding.shift) + 1.0).min(range);
                return Ok(Self {
                    gate,
                    up,
                    up_bits,
                    rounding,
                    bits,
                    low_bits,
                    fraction: total - rounding.shift,
                    largest: products.iter().map(largest).collect(),
                    down,
                });
            }
        }
        Err(unsupported("the size of feed-forward products"))
    }

    /// Accumulators of the output projection, which lose the bits of low limbs.
    pub(super) fn accumulators(&self, shape: &Shape, real: &RealWeights) -> Result<Accumulators, ModelError> {
        let unit = power(self.low_bits);
        let largest = real.down.groups_at(self.down.fraction, 1, |layer, row| {
            let bounds = &self.largest[layer * shape.intermediate..][..shape.intermediate];
            row.iter().zip(bounds).map(|(&weight, bound)| f64::from(weight).abs() * bound).sum::<f64>() / unit + 1.0
        })?;
        let mass = self.down.bound.row_mass as f64;
        // A carry from low limbs is at most the mass, rounded up to a power of two.
        let carry = if self.low_bits > 0 { 2.0 * mass + 2.0 } else { 0.0 };
        let proven = mass * power(self.bits - self.low_bits - 1) + carry;
        let fraction = self.fraction + self.down.fraction - self.low_bits;
        Ok(Accumulators { fraction, largest, proven })
    }
}
