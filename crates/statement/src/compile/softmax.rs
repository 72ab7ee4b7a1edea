//! Softmax without a division: with `E(k)` a table of `exp(-step k)` and `e_j` how far a score is below the largest, the
//! denominator `sum_j E(e_j)` is looked up in a table of logarithms in units of the step, `z`, and the weight of `j` is
//! `E(e_j + z)`.

use std::sync::Arc;

use super::builder::{at, linear, summed_last};
use super::{Axes, Compiler};
use crate::description::{PROBABILITY_BITS, TABLE_BITS};
use crate::functions::FunctionTable;
use crate::public::PublicTensor;
use crate::relation::{Access, Certificate, Interval, Linear, TensorId};

/// How many low bits of a softmax denominator the logarithm ignores, so that the rest addresses its table. A matter of
/// the model's longest sequence, not of this one's: the same prompt means the same numbers however it goes on.
#[must_use]
pub fn denominator_shift(positions: usize) -> u32 {
    (positions.next_power_of_two().trailing_zeros() + PROBABILITY_BITS).saturating_sub(TABLE_BITS)
}

impl Compiler<'_> {
    /// Softmax over the key positions that each position sees, with [`PROBABILITY_BITS`] fractional bits, from the
    /// differences of scores.
    pub(super) fn softmax(&mut self, difference: Linear, seen: &Access) -> TensorId {
        let Axes { layer, entry, position, key_position, kv_head, group, .. } = self.axes;
        let description = self.description;
        let rows = [layer, entry, kv_head, group, position];
        let pairs = [layer, entry, kv_head, group, position, key_position];
        let builder = &mut self.builder;
        let hidden = linear(&[(-1, seen)], 1);

        // The difference of some visible score is zero; the lookups below show that none is negative.
        let is_maximum = builder.selector("is_maximum", &pairs);
        builder.zero("is_maximum: one key", &rows, linear(&[(1, &summed_last(is_maximum, &rows))], -1));
        let is_maximum = linear(&[(1, &at(is_maximum, &pairs))], 0);
        builder.vanishing("is_maximum: seen", &pairs, hidden.clone(), is_maximum.clone());
        builder.vanishing("is_maximum: no difference", &pairs, is_maximum, difference.clone());

        let exponential = FunctionTable::exponential(description).add_to(builder);
        let interval = Interval::unsigned(PROBABILITY_BITS);
        let masked = Certificate::Lemma("masked lookup");
        let numerator = builder.witness("numerator", &pairs, interval, masked.clone());
        let numerator_form = linear(&[(1, &at(numerator, &pairs))], 0);
        builder.vanishing("numerator: seen", &pairs, hidden.clone(), numerator_form.clone());
        builder.lookup(
            "numerator: exponential",
            &pairs,
            exponential,
            vec![difference.clone(), numerator_form],
            Some(seen.clone()),
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
        let logarithms = FunctionTable::logarithm(description);
        let logarithm = logarithms.add_to(builder);
        let shift_index = at(builder.witness("log_denominator", &rows, logarithms.range, Certificate::Lookup), &rows);
        builder.lookup(
            "log_denominator: table",
            &rows,
            logarithm,
            vec![linear(&[(1, &denominator)], 0), linear(&[(1, &shift_index)], 0)],
            None,
        );

        let probability = builder.witness("probability", &pairs, interval, masked);
        let probability_form = linear(&[(1, &at(probability, &pairs))], 0);
        builder.vanishing("probability: seen", &pairs, hidden, probability_form.clone());
        let mut index = difference;
        index.terms.push((1, shift_index));
        builder.lookup(
            "probability: exponential",
            &pairs,
            exponential,
            vec![index, probability_form],
            Some(seen.clone()),
        );
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

    /// 1 where a key position is seen: not later than the position, and inside of the layer's window.
    pub(super) fn seen_keys(&mut self) -> Access {
        let Axes { layer, position, key_position, .. } = self.axes;
        let builder = &mut self.builder;
        let size = builder.size(position);
        let bits = Interval::new(0, 1);
        let mut windows: Vec<usize> =
            self.description.windows.iter().map(|window| window.map_or(size, |window| window.min(size))).collect();
        windows.resize(builder.size(layer), size);
        if windows.iter().all(|&window| window == size) {
            let axes = [position, key_position];
            return at(builder.public("causal", &axes, PublicTensor::Causal { size }, bits), &axes);
        }
        let axes = [layer, position, key_position];
        let windowed = PublicTensor::Windowed { windows: Arc::new(windows), size };
        at(builder.public("windowed", &axes, windowed, bits), &axes)
    }
}
