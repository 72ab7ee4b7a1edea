//! Weights as integers at one power-of-two scale per tensor, from eight significant bits per output channel.

use obelysk_statement::description::WeightBound;

/// A stack of real matrices, one per layer: `rows` output channels of `columns` inputs in total.
pub(super) struct Matrix {
    pub(super) columns: usize,
    pub(super) entries: Vec<f64>,
}

/// Integers `entries / 2^fraction`.
pub(super) struct Quantized {
    pub(super) columns: usize,
    pub(super) fraction: u32,
    pub(super) entries: Vec<i32>,
}

/// Significant bits of the largest weight of a channel, sign apart.
const MANTISSA: f64 = 127.0;
/// Finest scale of a weight; below it a channel is as good as zero.
const FINEST: u32 = 20;

/// Largest `f <= FINEST` with `largest * 2^f <= limit`, if that is not negative.
pub(super) fn finest_scale(largest: f64, limit: f64) -> Option<u32> {
    (0..=FINEST).rev().find(|&f| largest * f64::from(1u32 << f) <= limit)
}

impl Matrix {
    /// Quantise with the finest scale of any channel that is at most `finest`. A channel with larger weights gets fewer
    /// fractional bits: its integers are multiples of a power of two.
    pub(super) fn quantize(&self, finest: u32) -> Quantized {
        let scales: Vec<u32> = self
            .entries
            .chunks_exact(self.columns)
            .map(|row| {
                let largest = row.iter().fold(0.0f64, |largest, weight| largest.max(weight.abs()));
                if largest == 0.0 { 0 } else { finest_scale(largest, MANTISSA).unwrap_or(0) }
            })
            .collect();
        let fraction = scales.iter().copied().max().unwrap_or(0).min(finest);
        let entries = self
            .entries
            .chunks_exact(self.columns)
            .zip(&scales)
            .flat_map(|(row, &scale)| {
                let scale = scale.min(fraction);
                row.iter().map(move |weight| {
                    let mantissa = (weight * f64::from(1u32 << scale)).round();
                    (mantissa as i32) << (fraction - scale)
                })
            })
            .collect();
        Quantized { columns: self.columns, fraction, entries }
    }
}

impl Quantized {
    pub(super) fn rows(&self) -> impl Iterator<Item = &[i32]> {
        self.entries.chunks_exact(self.columns)
    }

    pub(super) fn bound(&self) -> WeightBound {
        let magnitude = self.entries.iter().map(|&weight| i64::from(weight).abs()).max().unwrap_or(0);
        let mass = |row: &[i32]| row.iter().map(|&weight| i64::from(weight).abs()).sum::<i64>();
        WeightBound { magnitude, row_mass: self.rows().map(mass).max().unwrap_or(0) }
    }

    /// Largest Euclidean norm of a row.
    pub(super) fn largest_norm(&self) -> f64 {
        self.rows().map(|row| inner(row, row).sqrt()).fold(0.0, f64::max)
    }
}

/// Inner product of two integer rows; exact, since the sums stay below `2^53`.
pub(super) fn inner(left: &[i32], right: &[i32]) -> f64 {
    left.iter().zip(right).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_keeps_seven_bits_of_its_largest_weight() {
        let matrix = Matrix { columns: 2, entries: vec![0.9, -0.01, 0.02, 0.015, 0.0, 0.0] };
        let quantized = matrix.quantize(FINEST);
        let scale = f64::from(1u32 << quantized.fraction);
        for (row, real) in quantized.rows().zip(matrix.entries.chunks(2)) {
            let largest = real[0].abs().max(real[1].abs());
            for (&integer, &weight) in row.iter().zip(real) {
                assert!((f64::from(integer) / scale - weight).abs() <= largest / 127.0, "{weight}");
            }
        }
    }

    #[test]
    fn a_coarser_limit_only_costs_small_channels() {
        let matrix = Matrix { columns: 1, entries: vec![0.9, 0.001] };
        let coarse = matrix.quantize(7);
        assert_eq!(coarse.fraction, 7);
        assert_eq!(coarse.entries, vec![115, 0]);
    }
}
