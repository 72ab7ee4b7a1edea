//! Gated feed-forward block: `down(activation(gate(x)) * up(x))`.

use super::builder::{at, contraction, linear, monomial};
use super::residual::{Accumulator, Stream};
use super::rounding::minus;
use super::two_limbs::TwoLimbs;
use super::{Axes, Compiler};
use crate::description::{Activation, ModelDescription, TABLE_BITS};
use crate::functions;
use crate::relation::{Access, Certificate, Interval, TensorId};
use crate::table::TableId;

impl Compiler<'_> {
    /// `roots` serves norms over the hidden axis.
    pub(super) fn feed_forward(&mut self, normed: TensorId, roots: TableId, stream: &Stream) {
        let Axes { layer, entry, position, hidden, intermediate, .. } = self.axes;
        let description = self.description;
        let format = &description.feed_forward;
        let bound = |name: &str| description.weights[name];
        let builder = &mut self.builder;
        let inner_axes = [layer, intermediate, hidden];
        let gate_weight = builder.weight("gate_weight", &inner_axes, bound("gate_weight"));
        let up_weight = builder.weight("up_weight", &inner_axes, bound("up_weight"));
        let down_axes = [layer, hidden, intermediate];
        let down_weight = builder.weight("down_weight", &down_axes, bound("down_weight"));

        let axes = [layer, entry, position, intermediate];
        let input = at(normed, &[layer, entry, position, hidden]);
        let range = Interval::signed(TABLE_BITS);
        let gate = at(builder.witness("gate", &axes, range, Certificate::Lookup), &axes);
        let output = builder.rounded("gate", &axes, format.gate_rounding, &[(1, gate.clone())], range);
        let projection = contraction(1, &input, &at(gate_weight, &inner_axes));
        builder.product("gate: projection", &axes, output, vec![projection], &[hidden]);
        let up = at(builder.signed("up", &axes, format.up_bits), &axes);
        let range = Interval::signed(format.up_bits);
        let output = builder.rounded("up", &axes, format.up_rounding, &[(1, up.clone())], range);
        let projection = contraction(1, &input, &at(up_weight, &inner_axes));
        builder.product("up: projection", &axes, output, vec![projection], &[hidden]);

        let gates: Vec<i32> = (-(1 << (TABLE_BITS - 1))..1 << (TABLE_BITS - 1)).collect();
        let activations = match format.activation {
            Activation::Silu => functions::silu(format.gate_fraction),
            Activation::GeluTanh => functions::gelu_tanh(format.gate_fraction),
        };
        let table = builder.table("activation", vec![gates, activations]);
        let activation =
            at(builder.witness("activation", &axes, Interval::signed(TABLE_BITS), Certificate::Lookup), &axes);
        let columns = vec![linear(&[(1, &gate)], 0), linear(&[(1, &activation)], 0)];
        builder.lookup("activation: table", &axes, table, columns, None);

        let range = Interval::signed(format.hidden_bits);
        let limbs = [format.hidden_low_bits, format.hidden_bits - format.hidden_low_bits];
        // High limb first.
        let inner: Vec<(i64, Access)> = match limbs {
            [0, bits] => vec![(1, at(builder.signed("feed_forward_hidden", &axes, bits), &axes))],
            limbs => TwoLimbs::new(builder, "feed_forward_hidden", &axes, limbs).at(&axes),
        };
        let output = builder.rounded("feed_forward_hidden", &axes, format.hidden_rounding, &inner, range);
        let mut monomials = vec![monomial(1, &[&activation, &up])];
        monomials.extend(minus(&output));
        builder.rows("feed_forward_hidden: activation times up", &axes, monomials);

        let down = at(down_weight, &down_axes);
        let accumulator = Accumulator {
            projection: contraction(1, &inner[0].1, &down),
            summed: vec![intermediate],
            added: inner.get(1).map(|(_, low)| self.carry(low, &down)).unwrap_or_default(),
        };
        let norm = description.branch_norms.as_ref().map(|norms| &norms.feed_forward);
        self.branch("feed_forward", &stream.feed_forward_branch, norm, roots, accumulator);
    }

    /// What the low limbs of the product of activation and up projection add to the accumulators of the high ones: their own
    /// accumulators, divided and rounded down.
    fn carry(&mut self, low: &Access, down: &Access) -> Vec<(i64, Access)> {
        let Axes { layer, entry, position, hidden, intermediate, .. } = self.axes;
        let axes = [layer, entry, position, hidden];
        let bits = self.description.feed_forward.hidden_low_bits;
        let carry_bits = down_carry_bits(self.description);
        let builder = &mut self.builder;
        let carry = builder.wide("feed_forward_carry", &axes, carry_bits, true);
        let remainder = at(builder.unsigned("feed_forward_carry.remainder", &axes, bits), &axes);
        let mut sum = linear(&[(1, &remainder)], 0);
        sum.terms.extend(carry.iter().map(|(coefficient, limb)| (coefficient << bits, limb.clone())));
        let name = "feed_forward_carry: projection of low limbs";
        builder.product(name, &axes, sum, vec![contraction(1, low, down)], &[intermediate]);
        carry
    }
}

/// Bits of the carry from low limbs, signed. A low limb is less than `2^hidden_low_bits`, so a carry is at most the mass of a row.
#[must_use]
pub fn down_carry_bits(description: &ModelDescription) -> u32 {
    i64::BITS - description.weights["down_weight"].row_mass.leading_zeros() + 1
}
