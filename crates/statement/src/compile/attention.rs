//! Grouped-query attention with norms on queries and keys, rotary positions and causal softmax.
//!
//! Softmax without a division: with `E(k)` a table of `exp(-step k)`, the denominator `sum_j E(m - s_j)` is looked up
//! in a table of logarithms in units of the step, `z`, and the weight of `j` is `E(m - s_j + z)`.

use std::sync::Arc;

use super::builder::{at, contraction, linear, monomial, rounded, summed_last};
use super::residual::{Stream, limb_terms, signed_limbs};
use super::{Axes, Compiler};
use crate::axis::AxisId;
use crate::description::{PROBABILITY_BITS, TABLE_BITS};
use crate::functions;
use crate::public::PublicTensor;
use crate::relation::{Access, Certificate, Index, Interval, TensorId};
use crate::table::TableId;

/// How many low bits of a softmax denominator the logarithm ignores, so that the rest addresses its table. A matter of
/// the model's longest sequence, not of this one's: the same prompt means the same numbers however it goes on.
#[must_use]
pub fn denominator_shift(positions: usize) -> u32 {
    (positions.next_power_of_two().trailing_zeros() + PROBABILITY_BITS).saturating_sub(TABLE_BITS)
}

/// Everything that differs between queries and keys.
struct Projection<'a> {
    name: &'a str,
    weight: TensorId,
    gain: TensorId,
    shift: u32,
    rotary_shift: u32,
    norm: &'a crate::description::Norm,
    /// Axes of one head: kv head, and group for queries.
    heads: &'a [AxisId],
}

impl Compiler<'_> {
    pub(super) fn attention(&mut self, normed: TensorId, roots: TableId, stream: &Stream) {
        let Axes { layer, position, key_position, hidden, kv_head, group, half, pair, channel, .. } = self.axes;
        let description = self.description;
        let format = &description.attention;
        let bound = |name: &str| description.weights[name];
        let builder = &mut self.builder;
        let query_axes = [layer, kv_head, group, half, pair, hidden];
        let query_weight = builder.weight("query_weight", &query_axes, bound("query_weight"));
        let key_weight = builder.weight("key_weight", &[layer, kv_head, half, pair, hidden], bound("key_weight"));
        let value_weight = builder.weight("value_weight", &[layer, kv_head, channel, hidden], bound("value_weight"));
        let query_gain = builder.weight("query_gain", &[layer, half, pair], bound("query_gain"));
        let key_gain = builder.weight("key_gain", &[layer, half, pair], bound("key_gain"));
        let output_axes = [layer, hidden, kv_head, group, channel];
        let output_weight = builder.weight("output_weight", &output_axes, bound("output_weight"));

        let (cosine, sine) = self.rotary_tables();
        let query = Projection {
            name: "query",
            weight: query_weight,
            gain: query_gain,
            shift: format.query_shift,
            rotary_shift: format.query_rotary_shift,
            norm: &description.query_norm,
            heads: &[kv_head, group],
        };
        let query = self.rotated(normed, roots, [&cosine, &sine], &query);
        let key = Projection {
            name: "key",
            weight: key_weight,
            gain: key_gain,
            shift: format.key_shift,
            rotary_shift: format.key_rotary_shift,
            norm: &description.key_norm,
            heads: &[kv_head],
        };
        let key = self.rotated(normed, roots, [&cosine, &sine], &key);

        let builder = &mut self.builder;
        let pairs = [layer, kv_head, group, position, key_position];
        let score = builder.signed("score", &pairs, 16);
        let remainder = builder.unsigned("score.remainder", &pairs, format.score_shift);
        builder.product(
            "score: query times key",
            &pairs,
            rounded(format.score_shift, &[(1, &at(score, &pairs))], &at(remainder, &pairs)),
            vec![contraction(
                1,
                &at(query, &[layer, position, kv_head, group, half, pair]),
                &at(key, &[layer, key_position, kv_head, half, pair]),
            )],
            &[half, pair],
        );
        let probability = self.softmax(score);

        let builder = &mut self.builder;
        let value_axes = [layer, position, kv_head, channel];
        let value = builder.signed("value", &value_axes, format.value_bits);
        let remainder = builder.unsigned("value.remainder", &value_axes, format.value_shift);
        builder.product(
            "value: projection",
            &value_axes,
            rounded(format.value_shift, &[(1, &at(value, &value_axes))], &at(remainder, &value_axes)),
            vec![contraction(
                1,
                &at(normed, &[layer, position, hidden]),
                &at(value_weight, &[layer, kv_head, channel, hidden]),
            )],
            &[hidden],
        );

        let mean_axes = [layer, position, kv_head, group, channel];
        let mean = builder.signed("attention_mean", &mean_axes, format.value_bits);
        let remainder = builder.unsigned("attention_mean.remainder", &mean_axes, PROBABILITY_BITS);
        builder.product(
            "attention_mean: weights times values",
            &mean_axes,
            rounded(PROBABILITY_BITS, &[(1, &at(mean, &mean_axes))], &at(remainder, &mean_axes)),
            vec![contraction(1, &at(probability, &pairs), &at(value, &[layer, key_position, kv_head, channel]))],
            &[key_position],
        );

        let axes = [layer, position, hidden];
        let branch = &stream.attention_branch;
        let remainder = builder.unsigned("attention_branch.remainder", &axes, description.residual.attention.shift);
        let terms = branch.terms(|tensor| at(tensor, &axes));
        let terms: Vec<(i64, &Access)> = terms.iter().map(|(c, access)| (*c, access)).collect();
        builder.product(
            "attention_branch: projection",
            &axes,
            rounded(description.residual.attention.shift, &terms, &at(remainder, &axes)),
            vec![contraction(1, &at(mean, &mean_axes), &at(output_weight, &output_axes))],
            &[kv_head, group, channel],
        );
    }

    fn rotary_tables(&mut self) -> (Access, Access) {
        let Axes { position, pair, .. } = self.axes;
        let description = self.description;
        let (positions, head_dim) = (self.builder.size(position), description.shape.head_dim);
        let fraction = description.attention.rotary_fraction;
        let (cosine, sine) = functions::rotary(description.rotary_theta, head_dim, positions, fraction);
        let mut public = |name, values| {
            let values = PublicTensor::Dense { shape: vec![positions, head_dim / 2], values: Arc::new(values) };
            let tensor =
                self.builder.public(name, &[position, pair], values, Interval::new(-1 << fraction, 1 << fraction));
            at(tensor, &[position, pair])
        };
        (public("cosine", cosine), public("sine", sine))
    }

    /// Project, normalise, scale by the gain and rotate by the position.
    fn rotated(&mut self, normed: TensorId, roots: TableId, [cosine, sine]: [&Access; 2], p: &Projection) -> TensorId {
        let Axes { layer, position, hidden, half, pair, .. } = self.axes;
        let name = p.name;
        let rows = [&[layer, position], p.heads].concat();
        let axes = [rows.as_slice(), &[half, pair]].concat();
        let builder = &mut self.builder;
        let limbs = signed_limbs(builder, name, &axes, p.norm.limb_bits);
        let remainder = builder.unsigned(&format!("{name}.remainder"), &axes, p.shift);
        let terms = limb_terms(limbs, &axes, p.norm.limb_bits);
        let terms: Vec<(i64, &Access)> = terms.iter().map(|(c, access)| (*c, access)).collect();
        let weight_axes = [&[layer], p.heads, &[half, pair, hidden]].concat();
        builder.product(
            &format!("{name}: projection"),
            &axes,
            rounded(p.shift, &terms, &at(remainder, &axes)),
            vec![contraction(1, &at(normed, &[layer, position, hidden]), &at(p.weight, &weight_axes))],
            &[hidden],
        );
        let unit = self.norm(&format!("{name}_norm"), p.norm, roots, &rows, &[half, pair], limbs);

        let builder = &mut self.builder;
        let output = builder.signed(&format!("{name}_rotated"), &axes, self.description.attention.rotated_bits);
        let remainder = builder.unsigned(&format!("{name}_rotated.remainder"), &axes, p.rotary_shift);
        let outer = [rows.as_slice(), &[pair]].concat();
        let of_half = |tensor, axes: &[AxisId], which| {
            let mut access = at(tensor, axes);
            let place = access.index.len() - 2;
            access.index[place] = Index::Fixed(which);
            access
        };
        let gain_axes = [layer, half, pair];
        for which in 0..2 {
            let other = 1 - which;
            let sign = if which == 0 { -1 } else { 1 };
            builder.rows(
                &format!("{name}_rotated: half {which}"),
                &outer,
                vec![
                    monomial(1, &[&of_half(unit, &axes, which), &of_half(p.gain, &gain_axes, which), cosine]),
                    monomial(sign, &[&of_half(unit, &axes, other), &of_half(p.gain, &gain_axes, other), sine]),
                    monomial(1 << (p.rotary_shift - 1), &[]),
                    monomial(-1 << p.rotary_shift, &[&of_half(output, &axes, which)]),
                    monomial(-1, &[&of_half(remainder, &axes, which)]),
                ],
            );
        }
        output
    }

    /// Causal softmax over key positions, with [`PROBABILITY_BITS`] fractional bits.
    fn softmax(&mut self, score: TensorId) -> TensorId {
        let Axes { layer, position, key_position, kv_head, group, .. } = self.axes;
        let description = self.description;
        let step = description.attention.score_step;
        let rows = [layer, kv_head, group, position];
        let pairs = [layer, kv_head, group, position, key_position];
        let builder = &mut self.builder;
        let size = builder.size(position);
        let mask =
            builder.public("causal", &[position, key_position], PublicTensor::Causal { size }, Interval::new(0, 1));
        let mask = at(mask, &[position, key_position]);
        let future = linear(&[(-1, &mask)], 1);

        // Some unmasked score equals the maximum; the lookups below show that none exceeds it.
        let maximum = at(builder.signed("maximum", &rows, 16), &rows);
        let is_maximum = builder.selector("is_maximum", &pairs);
        builder.zero("is_maximum: one key", &rows, linear(&[(1, &summed_last(is_maximum, &rows))], -1));
        let is_maximum = linear(&[(1, &at(is_maximum, &pairs))], 0);
        let below = linear(&[(1, &maximum), (-1, &at(score, &pairs))], 0);
        builder.vanishing("is_maximum: causal", &pairs, future.clone(), is_maximum.clone());
        builder.vanishing("is_maximum: equals the score", &pairs, is_maximum, below.clone());

        let length = 1usize << TABLE_BITS;
        let indices: Vec<i32> = (0..1 << TABLE_BITS).collect();
        let exponential =
            builder.table("exponential", vec![indices.clone(), functions::exponential(step, PROBABILITY_BITS, length)]);
        let interval = Interval::unsigned(PROBABILITY_BITS);
        let masked = Certificate::Lemma("masked lookup");
        let numerator = builder.witness("numerator", &pairs, interval, masked.clone());
        let numerator_form = linear(&[(1, &at(numerator, &pairs))], 0);
        builder.vanishing("numerator: causal", &pairs, future.clone(), numerator_form.clone());
        builder.lookup(
            "numerator: exponential",
            &pairs,
            exponential,
            vec![below.clone(), numerator_form],
            Some(mask.clone()),
        );

        let shift = denominator_shift(description.shape.positions);
        let denominator =
            at(builder.witness("denominator", &rows, Interval::unsigned(TABLE_BITS), Certificate::Lookup), &rows);
        let mut sum = linear(&[(1, &summed_last(numerator, &rows)), (-1 << shift, &denominator)], 0);
        if shift > 0 {
            let low = builder.unsigned("denominator.low", &rows, shift);
            sum.terms.push((-1, at(low, &rows)));
        }
        builder.zero("denominator: sum of numerators", &rows, sum);
        let logarithms = functions::logarithm(step, PROBABILITY_BITS, shift, length);
        let largest = i64::from(logarithms.iter().copied().max().expect("a table is not empty"));
        let logarithm = builder.table("logarithm", vec![indices, logarithms]);
        let shift_index =
            at(builder.witness("log_denominator", &rows, Interval::new(0, largest), Certificate::Lookup), &rows);
        builder.lookup(
            "log_denominator: table",
            &rows,
            logarithm,
            vec![linear(&[(1, &denominator)], 0), linear(&[(1, &shift_index)], 0)],
            None,
        );

        let probability = builder.witness("probability", &pairs, interval, masked);
        let probability_form = linear(&[(1, &at(probability, &pairs))], 0);
        builder.vanishing("probability: causal", &pairs, future, probability_form.clone());
        let mut index = below;
        index.terms.push((1, shift_index));
        builder.lookup("probability: exponential", &pairs, exponential, vec![index, probability_form], Some(mask));
        // The row's total is below 2^15 and no weight is negative: that bounds every weighted mean of values.
        let total = at(builder.unsigned("total_probability", &rows, PROBABILITY_BITS + 1), &rows);
        builder.zero(
            "total_probability: sum",
            &rows,
            linear(&[(1, &summed_last(probability, &rows)), (-1, &total)], 0),
        );
        builder.bound_row_mass(probability, (1 << (PROBABILITY_BITS + 1)) - 1);
        probability
    }
}
