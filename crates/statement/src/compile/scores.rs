//! Scores, as differences from the largest score that a position sees.
//!
//! Without a cap a difference takes one 16-bit cell however large scores are: the exponential is zero long before differences end,
//! and what a difference lacks is committed beside it.

use super::builder::{at, linear};
use super::{Axes, Compiler, denominator_shift};
use crate::description::{ModelDescription, PROBABILITY_BITS, TABLE_BITS};
use crate::functions::{self, FunctionTable};
use crate::relation::{Access, Certificate, Contraction, Interval, Linear};

/// Largest magnitude of a score before the cap, rounded without a clamp.
#[must_use]
pub fn largest_score(description: &ModelDescription) -> i64 {
    let end = i64::from(description.attention.rotated_end);
    let entries = i64::try_from(description.shape.head_dim).expect("validated");
    ((entries * end * end) >> description.attention.score_rounding.shift) + 1
}

/// Bits of the largest score that a position sees, and of what differences from it lack; both signed.
#[must_use]
pub fn score_bits(description: &ModelDescription) -> [u32; 2] {
    let largest = largest_score(description);
    // A score that is not seen may exceed the largest that is, and lacks the end of the differences besides.
    [largest, 2 * largest + (1 << TABLE_BITS)].map(|size| i64::BITS - size.leading_zeros() + 1)
}

/// Where differences of scores end: with any logarithm of a denominator added they address the exponential's table. `None`
/// where the exponential there is not zero, so that an end would change a weight.
#[must_use]
pub fn difference_end(description: &ModelDescription) -> Option<i32> {
    let step = description.attention.score_step;
    let shift = denominator_shift(description.shape.positions);
    let end = (1 << TABLE_BITS) - 1 - functions::most_logarithm(step, PROBABILITY_BITS, shift, TABLE_BITS);
    let end = i32::try_from(end).ok()?;
    functions::exponential_ends(step, PROBABILITY_BITS, end).then_some(end)
}

impl Compiler<'_> {
    /// How far each score, a product rounded, is below the largest that its position sees. Of scores that a position does not see,
    /// it says nothing.
    pub(super) fn differences(&mut self, product: Contraction, seen: &Access) -> Linear {
        match FunctionTable::soft_cap(self.description) {
            None => self.ended_differences(product, seen),
            Some(cap) => self.capped_differences(&cap, product),
        }
    }

    /// `2^shift (maximum - difference - beyond) + remainder - 2^(shift - 1)` is the product.
    fn ended_differences(&mut self, product: Contraction, seen: &Access) -> Linear {
        let Axes { layer, entry, kv_head, group, position, key_position, half, pair, .. } = self.axes;
        let shift = self.description.attention.score_rounding.shift;
        let [maximum_bits, beyond_bits] = score_bits(self.description);
        let end = difference_end(self.description).expect("validated");
        let rows = [layer, entry, kv_head, group, position];
        let pairs = [layer, entry, kv_head, group, position, key_position];
        let builder = &mut self.builder;
        let maximum = builder.wide("maximum", &rows, maximum_bits, true);
        let difference = at(builder.unsigned("score_difference", &pairs, TABLE_BITS), &pairs);
        let beyond = builder.wide("score_beyond", &pairs, beyond_bits, true);

        let scaled = |sign: i64, terms: &[(i64, Access)]| -> Vec<(i64, Access)> {
            terms.iter().map(|(unit, access)| ((sign * unit) << shift, access.clone())).collect()
        };
        let mut terms = scaled(1, &maximum);
        terms.extend(scaled(-1, &[(1, difference.clone())]));
        terms.extend(scaled(-1, &beyond));
        terms.push((1, at(builder.unsigned("score.remainder", &pairs, shift), &pairs)));
        let output = Linear { terms, constant: -(1 << (shift - 1)) };
        builder.product("score: query times key", &pairs, output, vec![product], &[half, pair]);

        let (unit, sign) = beyond.last().expect("a number has a limb").clone();
        let sign_bits = if unit == 1 { beyond_bits } else { TABLE_BITS };
        let difference = linear(&[(1, &difference)], 0);
        let inside = linear(&[(-1, &difference.terms[0].1)], end.into());
        let beyond = Linear { terms: beyond, constant: 0 };
        builder.vanishing("score_beyond: only at the end", &pairs, beyond, inside);
        builder.masked_range("score_beyond: seen", &pairs, linear(&[(1, &sign)], 0), sign_bits, seen.clone());
        difference
    }

    /// `maximum - Cap(score)`.
    fn capped_differences(&mut self, cap: &FunctionTable, product: Contraction) -> Linear {
        let Axes { layer, entry, kv_head, group, position, key_position, half, pair, .. } = self.axes;
        let shift = self.description.attention.score_rounding.shift;
        let rows = [layer, entry, kv_head, group, position];
        let pairs = [layer, entry, kv_head, group, position, key_position];
        let builder = &mut self.builder;
        // The table clamps scores besides.
        let score = at(builder.witness("score", &pairs, Interval::signed(cap.bits), Certificate::Lookup), &pairs);
        let output = builder.rounded("score", &pairs, shift, &[(1, score.clone())]);
        builder.product("score: query times key", &pairs, output, vec![product], &[half, pair]);

        let table = cap.add_to(builder);
        let capped = builder.witness("capped_score", &pairs, cap.range, Certificate::Lookup);
        let capped = at(capped, &pairs);
        let columns = vec![linear(&[(1, &score)], 0), linear(&[(1, &capped)], 0)];
        builder.lookup("capped_score: table", &pairs, table, columns, None);
        let maximum = at(builder.signed("maximum", &rows, TABLE_BITS), &rows);
        linear(&[(1, &maximum), (-1, &capped)], 0)
    }
}
