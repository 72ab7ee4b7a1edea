//! Roundings: the nearest integer to a quotient, clamped to a range where it can lie outside.

use super::builder::{Builder, at, linear};
use crate::axis::AxisId;
use crate::description::Rounding;
use crate::relation::{Access, Interval, Linear, Monomial};

impl Builder {
    /// The left side of a relation whose right side, an accumulator, is rounded to `value` in `range`:
    /// `2^shift value + remainder - 2^(shift - 1)`. With the remainder in `0..2^shift`, `value` is the nearest integer,
    /// halves upwards. A shift of zero leaves no remainder.
    ///
    /// With excess bits, `2^shift (above - below)` is added. Neither is negative; `above` vanishes unless `value` is the
    /// largest of its range, `below` unless it is the smallest: so the nearest integer is clamped to the range.
    pub(crate) fn rounded(
        &mut self,
        name: &str,
        axes: &[AxisId],
        rounding: Rounding,
        value: &[(i64, Access)],
        range: Interval,
    ) -> Linear {
        let Rounding { shift, excess_bits } = rounding;
        let ends = [range.high, range.low].map(|end| linear(&[], end));
        let excess = self.excess(name, axes, excess_bits, value, ends);
        let whole = value.iter().chain(&excess);
        let mut terms: Vec<(i64, Access)> =
            whole.map(|(coefficient, access)| (coefficient << shift, access.clone())).collect();
        if shift == 0 {
            return Linear { terms, constant: 0 };
        }
        terms.push((1, at(self.unsigned(&format!("{name}.remainder"), axes, shift), axes)));
        Linear { terms, constant: -(1 << (shift - 1)) }
    }

    /// `above - below` for a value that may lie outside of its range: neither is negative, and each vanishes unless the value is
    /// the end of its side; `ends` are the largest and the smallest. Nothing without excess bits.
    pub(crate) fn excess(
        &mut self,
        name: &str,
        axes: &[AxisId],
        bits: u32,
        value: &[(i64, Access)],
        ends: [Linear; 2],
    ) -> Vec<(i64, Access)> {
        let mut terms = Vec::new();
        if bits == 0 {
            return terms;
        }
        for ((side, sign), mut inside) in [("above", 1), ("below", -1)].into_iter().zip(ends) {
            let excess_name = format!("{name}.{side}");
            let excess = self.wide(&excess_name, axes, bits, false);
            inside.terms.extend(value.iter().map(|(coefficient, access)| (-coefficient, access.clone())));
            let relation = format!("{excess_name}: only at the end of the range");
            terms.extend(excess.iter().map(|(unit, limb)| (sign * unit, limb.clone())));
            self.vanishing(&relation, axes, Linear { terms: excess, constant: 0 }, inside);
        }
        terms
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
