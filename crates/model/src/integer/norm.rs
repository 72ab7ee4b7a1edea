//! Root-mean-square norm; the compiler's file of the same name explains the arithmetic.

use obelysk_statement::compile::{carry_bits, carry_positions};
use obelysk_statement::description::Norm;

use super::IntegerModel;
use super::linear::balanced_limbs;
use super::record::Recorder;

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
    /// Out of all sums of products of limbs but the highest.
    carries: Vec<i64>,
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
    let limbs = norm.limbs as usize;
    // Sums of the products of limbs by the sum of their places; twice what differs counts once where all do.
    let mut sums = [norm.epsilon as i64, 0, 0, 0, 0];
    for &entry in row {
        let mut parts = [0i64; 3];
        parts.iter_mut().zip(balanced_limbs(entry, norm.limb_bits, norm.limbs)).for_each(|(p, limb)| *p = limb.into());
        for low in 0..limbs {
            for high in low..limbs {
                let times = if low != high && (low + high) % 2 == 0 { 2 } else { 1 };
                sums[low + high] += times * parts[low] * parts[high];
            }
        }
    }
    let positions = carry_positions(norm);
    let mut square = i128::from(sums[0]);
    let mut carries = Vec::with_capacity(positions.len());
    let (mut carry, mut from) = (0, 0);
    for (place, &to) in positions.iter().enumerate() {
        square += i128::from(sums[place + 1]) << to;
        carry = (sums[place] + carry) >> (to - from);
        carries.push(carry);
        from = to;
    }
    let digits: Vec<i32> = (0..norm.digits).map(|k| (square >> (4 * k) & 15) as i32).collect();
    assert!(square >> (4 * norm.digits) == 0, "the residual stream stays within the description's bound");
    let leading = digits.iter().rposition(|&digit| digit != 0).unwrap_or(0);
    let position = leading.max(norm.lowest as usize);
    let window = (square >> (4 * (position - 3))) as i32;
    Row { digits, carries, position, window }
}

fn record_rows(name: &str, norm: &Norm, width: usize, rows: &[Row], recorder: &mut Recorder) {
    let digits: Vec<i32> = rows.iter().flat_map(|row| row.digits.iter().copied()).collect();
    recorder.record(&format!("{name}.digits"), &digits);
    for boundary in carry_positions(norm) {
        let (k, bits) = (boundary / 4, boundary % 4);
        if bits > 0 {
            let digits: Vec<i32> = rows.iter().map(|row| row.digits[k as usize]).collect();
            recorder.record_limbs(&format!("{name}.digit_{k}"), &digits, bits);
        }
    }
    for (place, bits) in carry_bits(norm, width).into_iter().enumerate() {
        let carries: Vec<i64> = rows.iter().map(|row| row.carries[place]).collect();
        recorder.record_wide(&format!("{name}.carry_{place}"), &carries, bits);
    }
    let mut record = |part: &str, values: Vec<i32>| recorder.record(&format!("{name}.{part}"), &values);
    let positions = norm.lowest as usize..norm.digits as usize;
    let is_leading = |row: &Row| positions.clone().map(|j| i32::from(j == row.position)).collect::<Vec<_>>();
    record("leading", rows.iter().flat_map(is_leading).collect());
    record("window", rows.iter().map(|row| row.window).collect());
    record("power", rows.iter().map(|row| 1 << (2 * (row.position as u32 - norm.lowest))).collect());
}
