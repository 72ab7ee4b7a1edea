//! Gated feed-forward block: `down(activation(gate(x)) * up(x))`.

use super::builder::{at, contraction, linear, monomial};
use super::output_projection::OutputProjection;
use super::residual::Stream;
use super::rounding::minus;
use super::{Axes, Compiler};
use crate::description::Rounding;
use crate::functions::FunctionTable;
use crate::relation::{Certificate, Interval, TensorId};
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
        // The table of activations clamps gates besides.
        let activations = FunctionTable::activation(description);
        let gate = at(builder.witness("gate", &axes, Interval::signed(activations.bits), Certificate::Lookup), &axes);
        let output = builder.rounded("gate", &axes, format.gate_rounding.shift, &[(1, gate.clone())]);
        let projection = contraction(1, &input, &at(gate_weight, &inner_axes));
        builder.product("gate: projection", &axes, output, vec![projection], &[hidden]);
        let range = Interval::signed(format.up_bits);
        let up = builder.highest_limb(("up", "up"), &axes, range, format.up_rounding.unclamped_bits);
        let output = builder.rounded("up", &axes, format.up_rounding.shift, &[(1, at(up.unclamped, &axes))]);
        let projection = contraction(1, &input, &at(up_weight, &inner_axes));
        builder.product("up: projection", &axes, output, vec![projection], &[hidden]);

        let table = activations.add_to(builder);
        let activation = at(builder.witness("activation", &axes, activations.range, Certificate::Lookup), &axes);
        let columns = vec![linear(&[(1, &gate)], 0), linear(&[(1, &activation)], 0)];
        builder.lookup("activation: table", &axes, table, columns, None);

        let Rounding { shift, unclamped_bits } = format.hidden_rounding;
        let format = (format.hidden_limbs, format.hidden_bits);
        let limbs = builder.limbs("feed_forward_hidden", &axes, format, unclamped_bits);
        let output = builder.rounded("feed_forward_hidden", &axes, shift, &limbs.unclamped_terms());
        let mut monomials = vec![monomial(1, &[&activation, &at(up.value, &axes)])];
        monomials.extend(minus(&output));
        builder.rows("feed_forward_hidden: activation times up", &axes, monomials);

        let projection = OutputProjection {
            input: limbs,
            weight: at(down_weight, &down_axes),
            mass: bound("down_weight").row_mass,
            summed: vec![intermediate],
        };
        let norm = description.branch_norms.as_ref().map(|norms| &norms.feed_forward);
        self.branch("feed_forward", &stream.feed_forward_branch, norm, roots, &projection);
    }
}
