//! Roundings: the nearest integer to a quotient, whose highest limb is clamped to a range where it can lie outside.

use super::builder::{Builder, at, linear};
use crate::axis::AxisId;
use crate::relation::{Access, Certificate, Interval, Linear, Monomial, TensorId};

/// Most bits of what is clamped, signed: a table of `2^20` rows.
pub const UNCLAMPED_BITS: u32 = 20;

/// The highest limb of a rounded number.
#[derive(Clone, Copy)]
pub(crate) struct HighestLimb {
    /// Within its range.
    pub(crate) value: TensorId,
    /// As the rounding leaves it; the value itself where that never leaves the range.
    pub(crate) unclamped: TensorId,
}

impl Builder {
    /// Commit to the highest limb, `limb_name`, of the rounded number `name`. Where it is clamped, `(unclamped, value)` is a row of
    /// the clamp's table.
    pub(crate) fn highest_limb(
        &mut self,
        (name, limb_name): (&str, &str),
        axes: &[AxisId],
        range: Interval,
        unclamped_bits: u32,
    ) -> HighestLimb {
        if unclamped_bits == 0 {
            let value = self.within(limb_name, axes, range);
            return HighestLimb { value, unclamped: value };
        }
        let table = self.clamp_table(unclamped_bits, range);
        let unclamped = Interval::signed(unclamped_bits);
        let unclamped = self.witness(&format!("{name}.unclamped"), axes, unclamped, Certificate::Lookup);
        let value = self.witness(limb_name, axes, range, Certificate::Lookup);
        let columns = [unclamped, value].map(|tensor| linear(&[(1, &at(tensor, axes))], 0));
        self.lookup(&format!("{limb_name}: clamped"), axes, table, columns.to_vec(), None);
        HighestLimb { value, unclamped }
    }

    /// The left side of a relation whose right side, an accumulator, is rounded to `value`, before it is clamped:
    /// `2^shift value + remainder - 2^(shift - 1)`. With the remainder in `0..2^shift`, `value` is the nearest integer, halves
    /// upwards. A shift of zero leaves no remainder.
    pub fn rounded(&mut self, name: &str, axes: &[AxisId], shift: u32, value: &[(i64, Access)]) -> Linear {
        let mut terms: Vec<(i64, Access)> =
            value.iter().map(|(coefficient, access)| (coefficient << shift, access.clone())).collect();
        if shift == 0 {
            return Linear { terms, constant: 0 };
        }
        terms.push((1, at(self.unsigned(&format!("{name}.remainder"), axes, shift), axes)));
        Linear { terms, constant: -(1 << (shift - 1)) }
    }
}

/// `-form` as monomials.
pub(crate) fn minus(form: &Linear) -> Vec<Monomial> {
    let constant = Monomial { coefficient: -form.constant, factors: Vec::new() };
    let terms = form.terms.iter();
    let terms =
        terms.map(|(coefficient, access)| Monomial { coefficient: -coefficient, factors: vec![access.clone()] });
    terms.chain([constant]).collect()
}
