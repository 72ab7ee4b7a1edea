//! Root-mean-square norm, `y = x / sqrt(mean(x^2) + epsilon)`, of vectors given by two balanced limbs.
//!
//! Per row: the sum of squares `S` as base-16 digits, the position `j` of its leading digit, the 16-bit window `w` of
//! the four digits from `j` down, and `q = constant / sqrt(w + 1)` from a table. Per element:
//! `u = floor(4^(6 - j) x)`, 15 bits whatever the scale of the row, and `y = round((2 u + 1) q / 2^(shift + 1))`:
//! the middle of `u`'s cell stands for it, so the floor leaves no bias.

use super::Compiler;
use super::builder::{Builder, at, at_fixed, contraction, linear, monomial, summed_last};
use crate::axis::AxisId;
use crate::description::Norm;
use crate::functions;
use crate::relation::{Access, Certificate, Interval, TensorId};
use crate::statement::CompileError;
use crate::table::TableId;

/// A vector `2^bits high + low` with both limbs signed.
#[derive(Clone, Copy)]
pub(crate) struct Limbs {
    pub(crate) low: TensorId,
    pub(crate) high: TensorId,
}

/// Bits of a shifted element, signed: `x < 4^(j + 1)`, so `u < 4^7`.
const SHIFTED_BITS: u32 = 15;
/// Digits of the window.
const WINDOW: usize = 4;

pub(super) fn validate(norm: &Norm) -> Result<(), CompileError> {
    let sound = (6..=12).contains(&norm.limb_bits)
        && (3..=6).contains(&norm.lowest)
        && (norm.lowest + 1..=norm.lowest + 9).contains(&norm.digits)
        && 4 * norm.digits > 2 * norm.limb_bits
        && norm.epsilon < 1 << 28
        && (1..=1 << 20).contains(&norm.constant)
        && (1..=15).contains(&norm.shift)
        && (2..=16).contains(&norm.bits);
    if sound { Ok(()) } else { Err(CompileError::Unsupported(format!("norm parameters out of range: {norm:?}"))) }
}

/// Where the three sums of limb products start, in bits of the sum of squares.
fn boundaries(norm: &Norm) -> [u32; 2] {
    [norm.limb_bits + 1, 2 * norm.limb_bits]
}

/// Bits of the carries out of the first two sums: unsigned, signed. `width` elements per row.
#[must_use]
pub fn carry_bits(norm: &Norm, width: usize) -> [u32; 2] {
    let [first, second] = boundaries(norm);
    let sum = (width as u64) << (2 * (norm.limb_bits - 1));
    let low = (sum + norm.epsilon) >> first;
    let middle = (low + sum) >> (second - first);
    let bits = |value: u64| u64::BITS - value.leading_zeros();
    [bits(low), bits(middle) + 1]
}

/// A carry as 16 low bits and the rest.
fn carry(builder: &mut Builder, name: &str, rows: &[AxisId], bits: u32, signed: bool) -> Vec<(i64, Access)> {
    let split = |builder: &mut Builder, name: &str, bits: u32| {
        let tensor = if signed { builder.signed(name, rows, bits) } else { builder.unsigned(name, rows, bits) };
        at(tensor, rows)
    };
    if bits <= 16 {
        return vec![(1, split(builder, name, bits))];
    }
    let low = builder.unsigned(&format!("{name}.low"), rows, 16);
    vec![(1, at(low, rows)), (1 << 16, split(builder, &format!("{name}.high"), bits - 16))]
}

impl Compiler<'_> {
    /// The table of windows and reciprocal roots that norms with this constant share.
    pub(super) fn reciprocal_root_table(&mut self, norm: &Norm, width: &str) -> TableId {
        let windows = (0..1 << 16).collect();
        self.builder
            .table(&format!("{width} reciprocal root"), vec![windows, functions::reciprocal_square_root(norm.constant)])
    }

    /// Normalise `input`, of axes `rows` then `columns`, over `columns`.
    pub(super) fn norm(
        &mut self,
        name: &str,
        norm: &Norm,
        roots: TableId,
        rows: &[AxisId],
        columns: &[AxisId],
        input: Limbs,
    ) -> TensorId {
        let digits = self.sum_of_squares(name, norm, rows, columns, input);
        let (power, root) = self.leading_digit(name, norm, roots, rows, digits);
        let axes = [rows, columns].concat();
        let (power, root) = (at(power, rows), at(root, rows));
        let builder = &mut self.builder;

        let shifted = at(builder.signed(&format!("{name}.shifted"), &axes, SHIFTED_BITS), &axes);
        let cut = at(builder.unsigned(&format!("{name}.cut"), &axes, 16), &axes);
        builder.range(&format!("{name}.cut: below the power"), &axes, linear(&[(1, &power), (-1, &cut)], -1), 16);
        let scale = 1 << (2 * (6 - norm.lowest));
        let (low, high) = (at(input.low, &axes), at(input.high, &axes));
        builder.rows(
            &format!("{name}.shifted: divide by the power"),
            &axes,
            vec![
                monomial(scale << norm.limb_bits, &[&high]),
                monomial(scale, &[&low]),
                monomial(-1, &[&power, &shifted]),
                monomial(-1, &[&cut]),
            ],
        );

        let output = builder.signed(name, &axes, norm.bits);
        let remainder = builder.unsigned(&format!("{name}.remainder"), &axes, norm.shift + 1);
        builder.rows(
            &format!("{name}: multiply by the root"),
            &axes,
            vec![
                monomial(2, &[&shifted, &root]),
                monomial(1, &[&root]),
                monomial(1 << norm.shift, &[]),
                monomial(-1 << (norm.shift + 1), &[&at(output, &axes)]),
                monomial(-1, &[&at(remainder, &axes)]),
            ],
        );
        output
    }

    /// The digits of `epsilon + sum x^2`, from the three sums of limb products and their carries.
    fn sum_of_squares(
        &mut self,
        name: &str,
        norm: &Norm,
        rows: &[AxisId],
        columns: &[AxisId],
        input: Limbs,
    ) -> TensorId {
        let width = columns.iter().map(|&axis| self.builder.size(axis)).product();
        let builder = &mut self.builder;
        let digit_axis = builder.axis(&format!("{name}: digit"), norm.digits as usize);
        let digits = builder.unsigned(&format!("{name}.digits"), &[rows, &[digit_axis]].concat(), 4);
        let [first, second] = boundaries(norm);
        let [low_bits, middle_bits] = carry_bits(norm, width);
        let low_carry = carry(builder, &format!("{name}.low_carry"), rows, low_bits, false);
        let middle_carry = carry(builder, &format!("{name}.middle_carry"), rows, middle_bits, true);

        // Pieces of the digits by their first bit; a digit that a boundary cuts becomes two pieces.
        let mut pieces: Vec<(u32, Access)> = Vec::new();
        for k in 0..norm.digits {
            let digit = at_fixed(digits, rows, k as usize);
            match [first, second].into_iter().find(|boundary| (4 * k + 1..4 * k + 4).contains(boundary)) {
                None => pieces.push((4 * k, digit)),
                Some(boundary) => {
                    let bits = boundary - 4 * k;
                    let low = at(builder.unsigned(&format!("{name}.digit_{k}.low"), rows, bits), rows);
                    let high = at(builder.unsigned(&format!("{name}.digit_{k}.high"), rows, 4 - bits), rows);
                    let whole = linear(&[(1, &digit), (-1, &low), (-1 << bits, &high)], 0);
                    builder.zero(&format!("{name}.digit_{k}: parts"), rows, whole);
                    pieces.push((4 * k, low));
                    pieces.push((boundary, high));
                }
            }
        }

        let axes = [rows, columns].concat();
        let (low, high) = (at(input.low, &axes), at(input.high, &axes));
        let epsilon = i64::try_from(norm.epsilon).expect("validated");
        let sums = [
            ("squares of low limbs", 0, first, Some(&low_carry), None, epsilon, &low, &low),
            ("products of limbs", first, second, Some(&middle_carry), Some(&low_carry), 0, &low, &high),
            ("squares of high limbs", second, 4 * norm.digits, None, Some(&middle_carry), 0, &high, &high),
        ];
        for (what, from, to, carry_out, carry_in, constant, left, right) in sums {
            let mut form = linear(&[], -constant);
            let inside = pieces.iter().filter(|(bit, _)| (from..to).contains(bit));
            form.terms.extend(inside.map(|(bit, piece)| (1i64 << (bit - from), piece.clone())));
            form.terms.extend(carry_out.into_iter().flatten().map(|(c, limb)| (c << (to - from), limb.clone())));
            form.terms.extend(carry_in.into_iter().flatten().map(|(c, limb)| (-c, limb.clone())));
            builder.product(&format!("{name}: {what}"), rows, form, vec![contraction(1, left, right)], columns);
        }
        digits
    }

    /// The power `4^(j - lowest)` of the leading digit's position `j` and the reciprocal root of its window.
    fn leading_digit(
        &mut self,
        name: &str,
        norm: &Norm,
        roots: TableId,
        rows: &[AxisId],
        digits: TensorId,
    ) -> (TensorId, TensorId) {
        let builder = &mut self.builder;
        let lowest = norm.lowest as usize;
        let positions = lowest..norm.digits as usize;
        let leading_axis = builder.axis(&format!("{name}: leading digit"), positions.len());
        let axes = [rows, &[leading_axis]].concat();
        let leading =
            builder.witness(&format!("{name}.leading"), &axes, Interval::new(0, 1), Certificate::Lemma("boolean"));
        let flag = at(leading, &axes);
        builder.rows(
            &format!("{name}.leading: boolean"),
            &axes,
            vec![monomial(1, &[&flag, &flag]), monomial(-1, &[&flag])],
        );
        builder.zero(&format!("{name}.leading: one position"), rows, linear(&[(1, &summed_last(leading, rows))], -1));
        let is_leading = |position: usize| at_fixed(leading, rows, position - lowest);
        let digit = |position: usize| at_fixed(digits, rows, position);

        let above = positions
            .clone()
            .flat_map(|j| (j + 1..positions.end).map(move |k| monomial(1, &[&is_leading(j), &digit(k)])));
        let above: Vec<_> = above.collect();
        if !above.is_empty() {
            builder.rows(&format!("{name}.leading: nothing above"), rows, above);
        }

        let window = builder.witness(&format!("{name}.window"), rows, Interval::unsigned(16), Certificate::Lookup);
        let root = builder.witness(&format!("{name}.root"), rows, Interval::unsigned(15), Certificate::Lookup);
        let mut monomials = vec![monomial(1, &[&at(window, rows)])];
        for j in positions.clone() {
            for place in 0..WINDOW {
                let weight = 1 << (4 * (WINDOW - 1 - place));
                monomials.push(monomial(-weight, &[&is_leading(j), &digit(j - place)]));
            }
        }
        builder.rows(&format!("{name}.window: leading digits"), rows, monomials);
        // A leading zero is allowed at the lowest position only.
        let normalised = linear(&[(1, &at(window, rows)), (1 << 12, &is_leading(lowest))], -(1 << 12));
        builder.range(&format!("{name}.window: leads with a digit"), rows, normalised, 16);
        let columns = vec![linear(&[(1, &at(window, rows))], 0), linear(&[(1, &at(root, rows))], 0)];
        builder.lookup(&format!("{name}.root: table"), rows, roots, columns, None);

        let largest = 1i64 << (2 * (positions.len() - 1));
        let lemma = Certificate::Lemma("one-hot combination");
        let power = builder.witness(&format!("{name}.power"), rows, Interval::new(1, largest), lemma);
        let mut form = linear(&[(1, &at(power, rows))], 0);
        form.terms.extend(positions.map(|j| (-(1i64 << (2 * (j - lowest))), is_leading(j))));
        builder.zero(&format!("{name}.power: of the leading position"), rows, form);
        (power, root)
    }
}
