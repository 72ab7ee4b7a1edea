//! Grouped-query attention: projections, scores, and means of the values.

use super::builder::{at, contraction};
use super::output_projection::OutputProjection;
use super::residual::Stream;
use super::rotary::{HeadNorm, Projection};
use super::{Axes, Compiler};
use crate::description::{PROBABILITY_BITS, Rounding};
use crate::relation::{Interval, TensorId};
use crate::table::TableId;

impl Compiler<'_> {
    /// `roots` serves norms over the hidden axis, `head_roots` those of heads.
    pub(super) fn attention(&mut self, normed: TensorId, roots: TableId, head_roots: Option<TableId>, stream: &Stream) {
        let Axes { layer, entry, position, key_position, hidden, kv_head, group, half, pair, channel, .. } = self.axes;
        let description = self.description;
        let format = &description.attention;
        let bound = |name: &str| description.weights[name];
        let builder = &mut self.builder;
        let query_axes = [layer, kv_head, group, half, pair, hidden];
        let query_weight = builder.weight("query_weight", &query_axes, bound("query_weight"));
        let key_weight = builder.weight("key_weight", &[layer, kv_head, half, pair, hidden], bound("key_weight"));
        let value_weight = builder.weight("value_weight", &[layer, kv_head, channel, hidden], bound("value_weight"));
        let mut bias = |name: &str, axes: &[_]| format.biased.then(|| builder.weight_entries(name, axes, bound(name)));
        let query_bias = bias("query_bias", &query_axes[..5]);
        let key_bias = bias("key_bias", &[layer, kv_head, half, pair]);
        let value_bias = bias("value_bias", &[layer, kv_head, channel]);
        let [query_norm, key_norm] = match (&description.head_norms, head_roots) {
            (Some(norms), Some(roots)) => {
                [("query_gain", &norms.query), ("key_gain", &norms.key)].map(|(name, norm)| {
                    let gain = builder.weight_entries(name, &[layer, half, pair], bound(name));
                    Some(HeadNorm { norm, roots, gain })
                })
            }
            _ => [None, None],
        };
        let output_axes = [layer, hidden, kv_head, group, channel];
        let output_weight = builder.weight("output_weight", &output_axes, bound("output_weight"));

        let [cosine, sine] = self.rotary_tables();
        let query = Projection {
            name: "query",
            weight: query_weight,
            bias: query_bias,
            rounding: format.query_rounding,
            rotary_shift: format.query_rotary_shift,
            norm: query_norm,
            heads: &[kv_head, group],
        };
        let query = self.rotated(normed, [&cosine, &sine], &query);
        let key = Projection {
            name: "key",
            weight: key_weight,
            bias: key_bias,
            rounding: format.key_rounding,
            rotary_shift: format.key_rotary_shift,
            norm: key_norm,
            heads: &[kv_head],
        };
        let key = self.rotated(normed, [&cosine, &sine], &key);

        let pairs = [layer, entry, kv_head, group, position, key_position];
        let query = at(query, &[layer, entry, position, kv_head, group, half, pair]);
        let product = contraction(1, &query, &at(key, &[layer, entry, key_position, kv_head, half, pair]));
        let seen = self.seen_keys();
        let difference = self.differences(product, &seen);
        let probability = self.softmax(difference, &seen);

        let builder = &mut self.builder;
        let value_axes = [layer, entry, position, kv_head, channel];
        let Rounding { shift, unclamped_bits } = format.value_rounding;
        let value =
            builder.highest_limb(("value", "value"), &value_axes, Interval::signed(format.value_bits), unclamped_bits);
        let mut output = builder.rounded("value", &value_axes, shift, &[(1, at(value.unclamped, &value_axes))]);
        output.terms.extend(value_bias.map(|bias| (-1, at(bias, &[layer, kv_head, channel]))));
        let input = at(normed, &[layer, entry, position, hidden]);
        let projection = contraction(1, &input, &at(value_weight, &[layer, kv_head, channel, hidden]));
        builder.product("value: projection", &value_axes, output, vec![projection], &[hidden]);

        let mean_axes = [layer, entry, position, kv_head, group, channel];
        let limbs = builder.limbs("attention_mean", &mean_axes, (format.mean_limbs, format.mean_bits), 0);
        let output = builder.rounded("attention_mean", &mean_axes, PROBABILITY_BITS, &limbs.unclamped_terms());
        let product =
            contraction(1, &at(probability, &pairs), &at(value.value, &[layer, entry, key_position, kv_head, channel]));
        builder.product("attention_mean: weights times values", &mean_axes, output, vec![product], &[key_position]);

        let projection = OutputProjection {
            input: limbs,
            weight: at(output_weight, &output_axes),
            mass: bound("output_weight").row_mass,
            summed: vec![kv_head, group, channel],
        };
        let norm = description.branch_norms.as_ref().map(|norms| &norms.attention);
        self.branch("attention", &stream.attention_branch, norm, roots, &projection);
    }
}
