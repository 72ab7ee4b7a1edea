//! Root-mean-square norm; the compiler's file of the same name explains the arithmetic.

use obelysk_statement::compile::carry_bits;
use obelysk_statement::description::Norm;

use super::IntegerModel;
use super::linear::balanced_limbs;
use super::record::Recorder;

/// Reads a carry of a row.
type Carry = fn(&Row) -> i64;

/// A norm, over how many entries, and its table of reciprocal roots.
#[derive(Clone, Copy)]
pub(super) struct NormRow<'a> {
    pub(super) norm: &'a Norm,
    pub(super) width: usize,
    pub(super) roots: &'a [i32],
}

/// What one row contributes to the row tensors.
struct Row {
    digits: Vec<i32>,
    low_carry: i64,
    middle_carry: i64,
    position: usize,
    window: i32,
}

impl IntegerModel<'_> {
    /// A norm over the hidden axis.
    pub(super) fn over_hidden<'a>(&'a self, norm: &'a Norm) -> NormRow<'a> {
        NormRow { norm, width: self.description.shape.hidden, roots: &self.hidden_roots }
    }

    /// Normalise every row of `input`, shape [rows, width].
    pub(super) fn norm(&self, name: &str, format: &NormRow, input: &[i32], recorder: &mut Recorder) -> Vec<i32> {
        let NormRow { norm, width, roots } = *format;
        let rows: Vec<Row> = input.chunks_exact(width).map(|row| analyse(norm, row)).collect();
        let root_of = |row: &Row| i64::from(roots[row.window as usize]);

        let scale = 2 * (6 - norm.lowest);
        let mut shifted = Vec::with_capacity(input.len());
        let mut cut = Vec::with_capacity(input.len());
        let mut output = Vec::with_capacity(input.len());
        let mut remainder = Vec::with_capacity(input.len());
        for (row, entries) in rows.iter().zip(input.chunks_exact(width)) {
            let power = 2 * (row.position as u32 - norm.lowest);
            let root = root_of(row);
            for &entry in entries {
                let scaled = i64::from(entry) << scale;
                let floor = scaled >> power;
                shifted.push(floor as i32);
                cut.push((scaled - (floor << power)) as i32);
                let product = (2 * floor + 1) * root + (1 << norm.shift);
                let rounded = product >> (norm.shift + 1);
                output.push(rounded as i32);
                remainder.push((product - (rounded << (norm.shift + 1))) as i32);
            }
        }
        if recorder.is_on() {
            record_rows(name, norm, width, &rows, recorder);
            let root: Vec<i32> = rows.iter().map(|row| root_of(row) as i32).collect();
            recorder.record(&format!("{name}.root"), &root);
            recorder.record(&format!("{name}.shifted"), &shifted);
            recorder.record(&format!("{name}.cut"), &cut);
            recorder.record(name, &output);
            recorder.record(&format!("{name}.remainder"), &remainder);
        }
        output
    }
}

fn analyse(norm: &Norm, row: &[i32]) -> Row {
    let bits = norm.limb_bits;
    let mut sums = [norm.epsilon as i64, 0, 0];
    for &entry in row {
        let (low, high) = balanced_limbs(entry, bits);
        let (low, high) = (i64::from(low), i64::from(high));
        sums[0] += low * low;
        sums[1] += low * high;
        sums[2] += high * high;
    }
    let low_carry = sums[0] >> (bits + 1);
    let middle = low_carry + sums[1];
    let middle_carry = middle >> (bits - 1);
    let square = sums[0] + (sums[1] << (bits + 1)) + (sums[2] << (2 * bits));
    let digits: Vec<i32> = (0..norm.digits).map(|k| (square >> (4 * k) & 15) as i32).collect();
    assert!(square >> (4 * norm.digits) == 0, "the residual stream stays within the description's bound");
    let leading = digits.iter().rposition(|&digit| digit != 0).unwrap_or(0);
    let position = leading.max(norm.lowest as usize);
    let window = (square >> (4 * (position - 3))) as i32;
    Row { digits, low_carry, middle_carry, position, window }
}

fn record_rows(name: &str, norm: &Norm, width: usize, rows: &[Row], recorder: &mut Recorder) {
    let mut record = |part: &str, values: Vec<i32>| recorder.record(&format!("{name}.{part}"), &values);
    record("digits", rows.iter().flat_map(|row| row.digits.iter().copied()).collect());
    for boundary in [norm.limb_bits + 1, 2 * norm.limb_bits] {
        let (k, bits) = (boundary / 4, boundary % 4);
        if bits > 0 {
            let digit = |row: &Row| row.digits[k as usize];
            record(&format!("digit_{k}.low"), rows.iter().map(|row| digit(row) & ((1 << bits) - 1)).collect());
            record(&format!("digit_{k}.high"), rows.iter().map(|row| digit(row) >> bits).collect());
        }
    }
    let [low_bits, middle_bits] = carry_bits(norm, width);
    let carries: [(&str, u32, Carry); 2] =
        [("low_carry", low_bits, |row| row.low_carry), ("middle_carry", middle_bits, |row| row.middle_carry)];
    for (part, bits, carry) in carries {
        if bits <= 16 {
            record(part, rows.iter().map(|row| carry(row) as i32).collect());
        } else {
            record(&format!("{part}.low"), rows.iter().map(|row| (carry(row) & 0xFFFF) as i32).collect());
            record(&format!("{part}.high"), rows.iter().map(|row| (carry(row) >> 16) as i32).collect());
        }
    }
    let positions = norm.lowest as usize..norm.digits as usize;
    let is_leading = |row: &Row| positions.clone().map(|j| i32::from(j == row.position)).collect::<Vec<_>>();
    record("leading", rows.iter().flat_map(is_leading).collect());
    record("window", rows.iter().map(|row| row.window).collect());
    record("power", rows.iter().map(|row| 1 << (2 * (row.position as u32 - norm.lowest))).collect());
}
