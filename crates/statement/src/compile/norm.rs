//! Root-mean-square norm, `y = x / sqrt(mean(x^2) + epsilon)`, of vectors given by balanced limbs.
//!
//! Per row: the sum of squares `S` as base-16 digits, the position `j` of its leading digit, the 16-bit window `w` of
//! the four digits from `j` down, and `q = constant / sqrt(w + 1)` from a table. Per element:
//! `u = floor(4^(6 - j) x)`, 15 bits whatever the scale of the row, and `y = round((2 u + 1) q / 2^(shift + 1))`:
//! the middle of `u`'s cell stands for it, so the floor leaves no bias.
//!
//! With `x = sum_i 2^(w i) x_i`, `S` is the sum over `k` of `2^(w k)` times the sums of `x_i x_j` with `i + j = k`: squares
//! once, other products twice. Where `k` is odd all are twice, so the factor two goes into the power of two.

use super::Compiler;
use super::builder::{Builder, at, at_fixed, contraction, linear, monomial, summed_last};
use crate::axis::AxisId;
use crate::description::Norm;
use crate::relation::{Access, Certificate, Interval, TensorId};
use crate::statement::CompileError;
use crate::table::TableId;

/// A vector `sum_i 2^(w i) x_i` of signed limbs of `w` bits, lowest first; the highest has bits of its own.
#[derive(Clone)]
pub(crate) struct Limbs {
    tensors: Vec<TensorId>,
    bits: u32,
    /// The highest limb before it is clamped.
    unclamped: TensorId,
}

impl Limbs {
    /// Commit to the limbs that a norm reads; `unclamped_bits` are those of the highest one before it is clamped, 0 where it is
    /// not.
    pub(crate) fn new(builder: &mut Builder, name: &str, axes: &[AxisId], norm: &Norm, unclamped_bits: u32) -> Self {
        let names = limb_names(norm.limbs).iter().map(|limb| format!("{name}.{limb}"));
        let names: Vec<String> = names.collect();
        let (highest, low) = names.split_last().expect("a norm has limbs");
        let mut tensors: Vec<TensorId> = low.iter().map(|name| builder.signed(name, axes, norm.limb_bits)).collect();
        let highest = builder.highest_limb((name, highest), axes, Interval::signed(norm.highest_bits), unclamped_bits);
        tensors.push(highest.value);
        Self { tensors, bits: norm.limb_bits, unclamped: highest.unclamped }
    }

    /// The vector as weighted accesses, highest limb first.
    pub(crate) fn terms(&self, axes: &[AxisId]) -> Vec<(i64, Access)> {
        self.terms_by(|limb| at(limb, axes))
    }

    /// As [`Limbs::terms`], each limb addressed by a rule.
    pub(crate) fn terms_by(&self, address: impl Fn(TensorId) -> Access) -> Vec<(i64, Access)> {
        let limbs = self.tensors.iter().enumerate().rev();
        limbs.map(|(place, &tensor)| (1 << (place as u32 * self.bits), address(tensor))).collect()
    }

    /// What the vector is before it is clamped.
    pub(crate) fn unclamped_terms(&self, axes: &[AxisId]) -> Vec<(i64, Access)> {
        let highest = self.highest();
        self.terms_by(|limb| at(if limb == highest { self.unclamped } else { limb }, axes))
    }

    /// The highest limb.
    pub(crate) fn highest(&self) -> TensorId {
        *self.tensors.last().expect("a norm has limbs")
    }
}

/// What the limbs that a norm reads can hold.
#[must_use]
pub fn limb_range(norm: &Norm) -> Interval {
    let place = (norm.limbs - 1) * norm.limb_bits;
    let ones = (0..norm.limbs - 1).map(|place| 1i64 << (place * norm.limb_bits)).sum::<i64>();
    let (limb, highest) = (Interval::signed(norm.limb_bits), Interval::signed(norm.highest_bits));
    Interval::new(limb.low * ones + (highest.low << place), limb.high * ones + (highest.high << place))
}

/// Names of limbs, lowest first.
#[must_use]
pub fn limb_names(limbs: u32) -> &'static [&'static str] {
    match limbs {
        2 => &["low", "high"],
        3 => &["low", "middle", "high"],
        _ => unreachable!("two or three limbs are validated"),
    }
}

/// The sums of products of limbs that make up a sum of squares, lowest first.
struct Sums {
    /// First bit of each sum.
    first_bits: Vec<u32>,
    /// Multiplicity and limbs of the products of each sum.
    products: Vec<Vec<(i64, usize, usize)>>,
}

impl Sums {
    fn new(norm: &Norm) -> Self {
        let (limbs, bits) = (norm.limbs as usize, norm.limb_bits);
        let first_bit = |degree: u32| degree * bits + degree % 2;
        let products = |degree: usize| {
            let pairs = (0..limbs).filter_map(|low| degree.checked_sub(low).map(|high| (low, high)));
            let pairs = pairs.filter(|&(low, high)| low <= high && high < limbs);
            pairs.map(|(low, high)| (if low != high && degree.is_multiple_of(2) { 2 } else { 1 }, low, high)).collect()
        };
        let degrees = 2 * norm.limbs - 1;
        Self {
            first_bits: (0..degrees).map(first_bit).collect(),
            products: (0..degrees as usize).map(products).collect(),
        }
    }
}

/// Bits of a shifted element, signed: `x < 4^(j + 1)`, so `u < 4^7`.
const SHIFTED_BITS: u32 = 15;
/// Digits of the window.
const WINDOW: usize = 4;

pub(super) fn validate(norm: &Norm) -> Result<(), CompileError> {
    let sound = (2..=3).contains(&norm.limbs)
        && (6..=12).contains(&norm.limb_bits)
        && (2..=norm.limb_bits).contains(&norm.highest_bits)
        && (3..=6).contains(&norm.lowest)
        && (norm.lowest + 1..=norm.lowest + 9).contains(&norm.digits)
        && 4 * norm.digits > 2 * (norm.limbs - 1) * norm.limb_bits
        && norm.limbs * norm.limb_bits <= 30
        && norm.epsilon < 1 << 28
        && (1..=1 << 20).contains(&norm.constant)
        && (1..=15).contains(&norm.shift)
        && (2..=16).contains(&norm.bits);
    if sound { Ok(()) } else { Err(CompileError::Unsupported(format!("norm parameters out of range: {norm:?}"))) }
}

/// First bits of the sums of products of limbs but the lowest, in the sum of squares: where carries go.
#[must_use]
pub fn carry_positions(norm: &Norm) -> Vec<u32> {
    Sums::new(norm).first_bits[1..].to_vec()
}

/// Bits of the carries out of all sums but the highest: the first unsigned, the others signed. `width` elements per row.
#[must_use]
pub fn carry_bits(norm: &Norm, width: usize) -> Vec<u32> {
    let sums = Sums::new(norm);
    let product = (width as u64) << (2 * (norm.limb_bits - 1));
    let mut carry = norm.epsilon;
    let carries = sums.first_bits.windows(2).zip(&sums.products).enumerate().map(|(place, (bits, products))| {
        let count: u64 = products.iter().map(|&(times, ..)| times as u64).sum();
        carry = (carry + count * product) >> (bits[1] - bits[0]);
        // A floor of a negative sum is one more in magnitude; the bits of a magnitude hold that too.
        u64::BITS - carry.leading_zeros() + u32::from(place > 0)
    });
    carries.collect()
}

/// A bound of the Euclidean norm of `width` outputs of a norm, for any input.
///
/// With `4^(6 - j) x` in place of `u + 1/2`, the outputs are `4^(6 - j) x q / 2^shift`, and `q` is at most
/// `constant 4^(j - 3) / sqrt(S)`: their norm is at most `64 constant / 2^shift`. The floor moves an output by at most half
/// of `q / 2^shift`, the rounding by at most half.
#[must_use]
pub fn output_norm(norm: &Norm, width: usize) -> i64 {
    let root = (1..).find(|root| root * root >= width as u64).expect("widths are small") as i64;
    let constant = i64::try_from(norm.constant).expect("validated");
    let error = (1i64 << 15 >> (norm.shift + 1)) + 1;
    ((64 * constant) >> norm.shift) + 1 + root * error
}

impl Compiler<'_> {
    /// Normalise `input`, of axes `rows` then `columns`, over `columns`.
    pub(super) fn norm(
        &mut self,
        name: &str,
        norm: &Norm,
        roots: TableId,
        rows: &[AxisId],
        columns: &[AxisId],
        input: &Limbs,
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
        let limbs = input.terms(&axes);
        let mut monomials: Vec<_> = limbs.iter().map(|(unit, limb)| monomial(scale * unit, &[limb])).collect();
        monomials.extend([monomial(-1, &[&power, &shifted]), monomial(-1, &[&cut])]);
        builder.rows(&format!("{name}.shifted: divide by the power"), &axes, monomials);

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
        let width = columns.iter().map(|&axis| builder.size(axis)).product();
        builder.bound_row_norm(output, output_norm(norm, width));
        output
    }

    /// The digits of `epsilon + sum x^2`, from the sums of products of limbs and their carries.
    fn sum_of_squares(
        &mut self,
        name: &str,
        norm: &Norm,
        rows: &[AxisId],
        columns: &[AxisId],
        input: &Limbs,
    ) -> TensorId {
        let width = columns.iter().map(|&axis| self.builder.size(axis)).product();
        let builder = &mut self.builder;
        let digit_axis = builder.axis(&format!("{name}: digit"), norm.digits as usize);
        let digits = builder.unsigned(&format!("{name}.digits"), &[rows, &[digit_axis]].concat(), 4);
        let sums = Sums::new(norm);
        let carries: Vec<_> = carry_bits(norm, width)
            .into_iter()
            .enumerate()
            .map(|(place, bits)| builder.wide(&format!("{name}.carry_{place}"), rows, bits, place > 0))
            .collect();

        // Pieces of the digits by their first bit; a digit that a boundary cuts becomes two pieces.
        let mut pieces: Vec<(u32, Access)> = Vec::new();
        for k in 0..norm.digits {
            let digit = at_fixed(digits, rows, k as usize);
            match sums.first_bits.iter().find(|&boundary| (4 * k + 1..4 * k + 4).contains(boundary)) {
                None => pieces.push((4 * k, digit)),
                Some(&boundary) => {
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
        let limb = |place: usize| at(input.tensors[place], &axes);
        for (place, products) in sums.products.iter().enumerate() {
            let from = sums.first_bits[place];
            let to = sums.first_bits.get(place + 1).copied().unwrap_or(4 * norm.digits);
            let epsilon = if place == 0 { i64::try_from(norm.epsilon).expect("validated") } else { 0 };
            let mut form = linear(&[], -epsilon);
            let inside = pieces.iter().filter(|(bit, _)| (from..to).contains(bit));
            form.terms.extend(inside.map(|(bit, piece)| (1i64 << (bit - from), piece.clone())));
            let carry_out = carries.get(place).into_iter().flatten();
            form.terms.extend(carry_out.map(|(c, limb)| (c << (to - from), limb.clone())));
            let carry_in = place.checked_sub(1).map(|place| &carries[place]).into_iter().flatten();
            form.terms.extend(carry_in.map(|(c, limb)| (-c, limb.clone())));
            let contractions = products.iter().map(|&(times, low, high)| contraction(times, &limb(low), &limb(high)));
            builder.product(
                &format!("{name}: sum {place} of limb products"),
                rows,
                form,
                contractions.collect(),
                columns,
            );
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
