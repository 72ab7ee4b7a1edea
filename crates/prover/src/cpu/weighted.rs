//! Weighted sums of rows of integers: the one pass over a model's weights that a product needs.

use obelysk_statement::{Challenge, Value};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, PrimeField32};
use rayon::prelude::*;

/// Columns that are summed at once: their sums stay in the nearest cache.
const COLUMNS: usize = 128;
/// Rows between reductions: `2^16` products of 16 by 31 bits fit 63 bits.
const ROWS: usize = 1 << 16;

/// `sum over rows of weight * row`, for a matrix of `weights.len()` rows.
pub(super) fn weighted_rows(entries: &[i16], weights: &[Challenge]) -> Vec<Challenge> {
    let columns = entries.len() / weights.len();
    let weights: Vec<[i64; 4]> = weights.iter().map(coefficients).collect();
    let mut sums = vec![Challenge::ZERO; columns];
    sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(block, sums)| {
        let (first, width) = (block * COLUMNS, sums.len());
        for (rows, weights) in entries.chunks(ROWS * columns).zip(weights.chunks(ROWS)) {
            let mut wide = [[0i64; COLUMNS]; 4];
            for (row, weight) in rows.chunks_exact(columns).zip(weights) {
                let row = &row[first..first + width];
                for (wide, &weight) in wide.iter_mut().zip(weight) {
                    for (sum, &entry) in wide.iter_mut().zip(row) {
                        *sum = sum.wrapping_add(weight.wrapping_mul(entry.into()));
                    }
                }
            }
            for (column, sum) in sums.iter_mut().enumerate() {
                *sum += Challenge::from_basis_coefficients_fn(|place| Value::from_i64(wide[place][column]));
            }
        }
    });
    sums
}

fn coefficients(challenge: &Challenge) -> [i64; 4] {
    let coefficients: &[Value] = challenge.as_basis_coefficients_slice();
    std::array::from_fn(|place| coefficients[place].as_canonical_u32().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_field_whatever_the_signs_and_sizes() {
        let challenge = |seed: usize| {
            Challenge::from_basis_coefficients_fn(|place| -Value::from_usize((seed * 7919 + 1) * (place * place + 1)))
        };
        for (rows, columns) in [(1, 1), (3, 200), (70_000, 2)] {
            let weights: Vec<Challenge> = (0..rows).map(challenge).collect();
            let entry = |place: usize| if place.is_multiple_of(5) { i16::MIN } else { (place * 31) as i16 };
            let entries: Vec<i16> = (0..rows * columns).map(entry).collect();
            let expected: Vec<Challenge> = (0..columns)
                .map(|column| {
                    (0..rows).map(|row| weights[row] * Value::from_i16(entries[row * columns + column])).sum()
                })
                .collect();
            assert_eq!(weighted_rows(&entries, &weights), expected);
        }
    }
}
