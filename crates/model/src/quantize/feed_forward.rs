//! Formats inside the feed-forward block.

use obelysk_statement::description::Shape;

use super::RealWeights;
use super::formats::{Input, Projection, power, project, unsupported};
use super::stack::inner;
use crate::error::ModelError;

/// Bits of the feed-forward block's inner vectors.
pub(super) const INNER_BITS: u32 = 15;

/// Formats of gate, up projection and of the product of activation and up projection.
pub(super) struct Inner<'a> {
    pub(super) gate: Projection<'a>,
    pub(super) up: Projection<'a>,
    pub(super) up_bits: u32,
    pub(super) shift: u32,
    pub(super) fraction: u32,
    /// Largest magnitude of the product per layer and channel.
    pub(super) largest: Vec<f64>,
}

impl<'a> Inner<'a> {
    /// The widest up projection whose product with the activation has a format.
    pub(super) fn choose(shape: &Shape, real: &'a RealWeights, normed: Input) -> Result<Self, ModelError> {
        let gate = project("gate projection", &real.gate, None, normed, power(15) - 1.0, power(15))?;
        if !(1..=16).contains(&gate.fraction) {
            return Err(unsupported("the gate projection"));
        }
        for up_bits in (12..=16u32).rev() {
            let limit = power(up_bits - 1);
            let up = project("up projection", &real.up, None, normed, limit - 1.0, limit)?;
            // For a vector x of norm N: |g.x u.x| <= (|g||u| + |g.u|) N^2 / 2, and the activation shrinks.
            let aligned = gate.stack.pairs_at(gate.weight_fraction, (up.stack, up.weight_fraction), |gate, up| {
                (inner(gate, gate) * inner(up, up)).sqrt() + inner(gate, up).abs()
            })?;
            assert_eq!(aligned.len(), shape.layers * shape.intermediate, "one bound per channel");
            let exact = normed.norm * normed.norm / 2.0 / power(gate.shift) / power(up.shift);
            let products: Vec<f64> =
                aligned.iter().map(|aligned| aligned * exact + gate.largest + up.largest + 1.0).collect();
            let largest = products.iter().copied().fold(0.0, f64::max);
            let total = gate.fraction + up.fraction;
            let shift = (1..=16u32.min(total)).find(|&shift| largest / power(shift) + 1.0 < power(INNER_BITS - 1));
            let Some(shift) = shift else { continue };
            let sides = power(15 + up_bits - 1) + power(shift) * (power(INNER_BITS - 1) + 1.0);
            if sides < power(31) - 2.0 {
                return Ok(Self {
                    gate,
                    up,
                    up_bits,
                    shift,
                    fraction: total - shift,
                    largest: products.iter().map(|product| product / power(shift) + 1.0).collect(),
                });
            }
        }
        Err(unsupported("the size of feed-forward products"))
    }
}
