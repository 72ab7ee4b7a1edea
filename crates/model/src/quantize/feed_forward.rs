//! Formats inside the feed-forward block.

use obelysk_statement::description::{LowLimbs, Rounding, Shape, TABLE_BITS};

use super::RealWeights;
use super::formats::{
    Expected, FINEST_FRACTION, Input, Output, Projection, Range, Scaled, Size, WIDEST_SHIFT, low_limbs, power,
    power_of, project, share_bits, share_limbs, unsupported,
};
use super::stack::inner;
use super::stream::Accumulators;
use crate::error::ModelError;

/// Bits of the product of activation and up projection where it is one number, at most and at least.
const INNER_BITS: std::ops::RangeInclusive<u32> = 12..=15;
/// Bits of that product in limbs. A product of two numbers of 16 bits has 31: rounded to 25 it is never clamped.
const WIDE_INNER_BITS: u32 = 25;

/// Most fractional bits of a gate, whose activation is a table.
const FINEST_GATE: u32 = 16;

/// Formats of gate, up projection and of the product of activation and up projection.
pub(super) struct Inner<'a> {
    pub(super) gate: Projection<'a>,
    pub(super) up: Projection<'a>,
    pub(super) up_bits: u32,
    pub(super) rounding: Rounding,
    /// Bits of the product, and its limbs.
    pub(super) bits: u32,
    pub(super) limbs: LowLimbs,
    pub(super) fraction: u32,
    /// Largest magnitude of the product per layer and channel.
    pub(super) largest: Vec<f64>,
    pub(super) down: Scaled,
}

impl<'a> Inner<'a> {
    /// Formats that give accumulators at most `finest` fractional bits: the widest up projection whose product with the activation
    /// has a format.
    pub(super) fn choose(
        shape: &Shape,
        real: &'a RealWeights,
        normed: Input,
        finest: u32,
        expected: &Expected,
    ) -> Result<Self, ModelError> {
        let (loss, product_loss) = (expected.precision.projection_loss, expected.precision.product_loss);
        let range = Range::signed(TABLE_BITS);
        let output = Output { expected: expected.of("gate"), range, finest: FINEST_GATE, loss };
        let gate = project("gate projection", (&real.gate, &real.gate.survey()?), None, normed, &output)?;
        if gate.fraction < 1 {
            return Err(unsupported("the gate projection"));
        }
        let survey = real.down.survey()?;
        let (widest, widest_limbs, down) = if expected.precision.limbs {
            let (limbs, down) = share_limbs("feed-forward output", &survey, WIDE_INNER_BITS)?;
            (WIDE_INNER_BITS, limbs, down)
        } else {
            let (bits, down) = share_bits("feed-forward output", &survey, INNER_BITS)?;
            (bits, LowLimbs::NONE, down)
        };
        let survey = real.up.survey()?;
        for up_bits in (12..=16u32).rev() {
            let limit = power(up_bits - 1);
            let range = Range::signed(up_bits);
            let output = Output { expected: expected.of("up"), range, finest: FINEST_FRACTION, loss };
            let up = project("up projection", (&real.up, &survey), None, normed, &output)?;
            // For a vector x of norm N: |g.x u.x| <= (|g||u| + |g.u|) N^2 / 2, and the activation shrinks.
            let aligned = gate.stack.pairs_at(gate.weight_fraction, (up.stack, up.weight_fraction), |gate, up| {
                (inner(gate, gate) * inner(up, up)).sqrt() + inner(gate, up).abs()
            })?;
            assert_eq!(aligned.len(), shape.layers * shape.intermediate, "one bound per channel");
            let exact = normed.norm * normed.norm / 2.0 / power(gate.rounding.shift) / power(up.rounding.shift);
            // An activation of -2^15 does not exist: the least is near zero.
            let proven = (power(15) - 1.0) * limit;
            let products: Vec<f64> =
                aligned.iter().map(|aligned| (aligned * exact + gate.largest + up.largest + 1.0).min(proven)).collect();
            let total = gate.fraction + up.fraction;
            let bound = products.iter().copied().fold(0.0, f64::max);
            let size = Size { bound, proven, expected: expected.of("feed_forward_hidden") * power_of(total) };
            let least = total.saturating_sub(finest.saturating_sub(down.fraction));
            let chosen = if widest_limbs == LowLimbs::NONE {
                let rounding = size.rounding(least, Range::signed(widest), product_loss);
                rounding.map(|(rounding, _)| (rounding, widest, LowLimbs::NONE))
            } else {
                // Every product that the intervals allow fits, whatever the shift leaves of its bits.
                let product = 15 + up_bits;
                let shift = least.max(product.saturating_sub(widest)).max(1);
                let bits = product.saturating_sub(shift);
                let fits = shift <= WIDEST_SHIFT && bits > widest_limbs.bits;
                fits.then(|| (Rounding::exact(shift), bits, low_limbs(bits, widest_limbs.bits)))
            };
            let Some((rounding, bits, limbs)) = chosen else { continue };
            let range = power(bits - 1);
            if total >= rounding.shift {
                let largest = |product: &f64| (product / power(rounding.shift) + 1.0).min(range);
                return Ok(Self {
                    gate,
                    up,
                    up_bits,
                    rounding,
                    bits,
                    limbs,
                    fraction: total - rounding.shift,
                    largest: products.iter().map(largest).collect(),
                    down,
                });
            }
        }
        Err(unsupported("the size of feed-forward products"))
    }

    /// Accumulators of the output projection.
    pub(super) fn accumulators(&self, shape: &Shape, real: &RealWeights) -> Result<Accumulators, ModelError> {
        let largest = real.down.groups_at(self.down.fraction, 1, |layer, row| {
            let bounds = &self.largest[layer * shape.intermediate..][..shape.intermediate];
            row.iter().zip(bounds).map(|(&weight, bound)| f64::from(weight).abs() * bound).sum::<f64>()
        })?;
        let proven = Accumulators::proven(self.limbs, self.bits, self.down.bound.row_mass as f64);
        Ok(Accumulators { fraction: self.fraction + self.down.fraction, largest, proven, limbs: self.limbs })
    }
}
