//! Formats inside the feed-forward block.

use obelysk_statement::description::{Rounding, Shape};

use super::RealWeights;
use super::formats::{
    Expected, Input, Output, Projection, Scaled, Size, power, power_of, project, share_bits, unsupported,
};
use super::stack::inner;
use crate::error::ModelError;

/// Bits of the product of activation and up projection, at most and at least.
const INNER_BITS: std::ops::RangeInclusive<u32> = 12..=15;
/// Bits of precision that the product may lose for never being clamped.
const INNER_LOSS: u32 = 2;

/// Formats of gate, up projection and of the product of activation and up projection.
pub(super) struct Inner<'a> {
    pub(super) gate: Projection<'a>,
    pub(super) up: Projection<'a>,
    pub(super) up_bits: u32,
    pub(super) rounding: Rounding,
    pub(super) bits: u32,
    pub(super) fraction: u32,
    /// Largest magnitude of the product per layer and channel.
    pub(super) largest: Vec<f64>,
    pub(super) down: Scaled,
}

impl<'a> Inner<'a> {
    /// The widest up projection whose product with the activation has a format.
    pub(super) fn choose(
        shape: &Shape,
        real: &'a RealWeights,
        normed: Input,
        expected: &Expected,
    ) -> Result<Self, ModelError> {
        let output = Output { expected: expected.of("gate"), limit: power(15) - 1.0, range: power(15) };
        let gate = project("gate projection", (&real.gate, &real.gate.survey()?), None, normed, &output)?;
        if !(1..=16).contains(&gate.fraction) {
            return Err(unsupported("the gate projection"));
        }
        let (bits, down) = share_bits("feed-forward output", &real.down.survey()?, INNER_BITS)?;
        let survey = real.up.survey()?;
        for up_bits in (12..=16u32).rev() {
            let limit = power(up_bits - 1);
            let output = Output { expected: expected.of("up"), limit: limit - 1.0, range: limit };
            let up = project("up projection", (&real.up, &survey), None, normed, &output)?;
            // For a vector x of norm N: |g.x u.x| <= (|g||u| + |g.u|) N^2 / 2, and the activation shrinks.
            let aligned = gate.stack.pairs_at(gate.weight_fraction, (up.stack, up.weight_fraction), |gate, up| {
                (inner(gate, gate) * inner(up, up)).sqrt() + inner(gate, up).abs()
            })?;
            assert_eq!(aligned.len(), shape.layers * shape.intermediate, "one bound per channel");
            let exact = normed.norm * normed.norm / 2.0 / power(gate.rounding.shift) / power(up.rounding.shift);
            let ends = power(15) * limit;
            let products: Vec<f64> =
                aligned.iter().map(|aligned| (aligned * exact + gate.largest + up.largest + 1.0).min(ends)).collect();
            let total = gate.fraction + up.fraction;
            let bound = products.iter().copied().fold(0.0, f64::max);
            let size = Size { bound, expected: expected.of("feed_forward_hidden") * power_of(total) };
            let range = power(bits - 1);
            let Some((rounding, _)) = size.rounding(range - 1.0, range, INNER_LOSS) else { continue };
            let outside = if rounding.excess_bits > 0 { power(rounding.excess_bits) } else { 0.0 };
            let sides = ends + power(rounding.shift) * (range + outside + 1.0);
            if total >= rounding.shift && sides < power(31) - 2.0 {
                let largest = |product: &f64| (product / power(rounding.shift) + 1.0).min(range);
                return Ok(Self {
                    gate,
                    up,
                    up_bits,
                    rounding,
                    bits,
                    fraction: total - rounding.shift,
                    largest: products.iter().map(largest).collect(),
                    down,
                });
            }
        }
        Err(unsupported("the size of feed-forward products"))
    }
}
