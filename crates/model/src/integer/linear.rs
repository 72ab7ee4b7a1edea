//! Matrix products, exact roundings and limbs.

use obelysk_witness::{EntriesRef, Loaded};
use rayon::prelude::*;

use super::IntegerModel;

/// Weights that a task takes along: they stay in its cache for all rows.
const AT_ONCE: usize = 1 << 16;

/// A part of a weight, as a matrix of shape [channels, width].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix<'a> {
    /// The weight's name.
    pub weight: &'a str,
    /// Its first entry of this part.
    pub first: usize,
    /// Rows.
    pub channels: usize,
    /// Entries of a row.
    pub width: usize,
}

/// Who multiplies by a model's weights in place of this processor: a device that holds them. Products are exact, so the answers are the
/// same.
pub trait Multiplier: Sync {
    /// `input [rows, width]` times the transpose of a matrix, shape [rows, channels], modulo 2^32. Anything of this shape after a fault.
    fn project(&self, input: &[i32], matrix: Matrix) -> Vec<i32>;

    /// Why products so far may be wrong.
    fn fault(&self) -> Option<String>;
}

impl IntegerModel<'_> {
    /// One layer's share of a stacked weight whose rows have so many entries.
    pub(super) fn matrix<'n>(&self, weight: &'n str, layer: usize, width: usize) -> Matrix<'n> {
        let size = self.weights[weight].len() / self.description.shape.padded_layers();
        Matrix { weight, first: layer * size, channels: size / width, width }
    }

    /// `input [rows, width]` times the transpose of a matrix: accumulators of shape [rows, channels].
    pub(super) fn project(&self, input: &[i32], matrix: Matrix) -> Vec<i32> {
        match self.multiplier {
            Some(multiplier) => multiplier.project(input, matrix),
            None => {
                let Matrix { weight, first, channels, width } = matrix;
                project(input, self.weights[weight].as_ref().slice(first..first + channels * width), width)
            }
        }
    }
}

/// `input [rows, width]` times the transpose of `weight [channels, width]`: accumulators of shape [rows, channels].
/// The model's bounds keep every sum inside 31 bits, so wrapping arithmetic is exact.
fn project(input: &[i32], weight: EntriesRef, width: usize) -> Vec<i32> {
    let channels = weight.len() / width;
    let at_once = (AT_ONCE / width).max(1);
    let parts: Vec<Vec<i32>> = (0..channels)
        .into_par_iter()
        .step_by(at_once)
        .map(|first| {
            let end = channels.min(first + at_once);
            match weight.slice(first * width..end * width).load() {
                Loaded::I16(weight) => project_by(input, &weight, width),
                Loaded::I32(weight) => project_by(input, &weight, width),
            }
        })
        .collect();
    let mut output = vec![0; input.len() / width * channels];
    for (row, output) in output.chunks_exact_mut(channels).enumerate() {
        for (part, output) in parts.iter().zip(output.chunks_mut(at_once)) {
            output.copy_from_slice(&part[row * output.len()..][..output.len()]);
        }
    }
    output
}

fn project_by<T: Copy + Into<i32>>(input: &[i32], weight: &[T], width: usize) -> Vec<i32> {
    let of_row = |row| weight.chunks_exact(width).map(move |weights| dot(row, weights));
    input.chunks_exact(width).flat_map(of_row).collect()
}

/// Add a bias to every row of `accumulators`, shape [rows, channels].
pub(super) fn add_bias(accumulators: &mut [i32], bias: EntriesRef) {
    let bias: Vec<i32> = bias.iter().collect();
    for row in accumulators.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(&bias).for_each(|(sum, added)| *sum += added);
    }
}

/// Inner product, exact while it fits 32 bits.
pub(super) fn dot<T: Copy + Into<i32>>(left: &[i32], right: &[T]) -> i32 {
    left.iter().zip(right).fold(0i32, |sum, (&a, &b)| sum.wrapping_add(a.wrapping_mul(b.into())))
}

/// `accumulator + 2^(shift - 1) = 2^shift value + remainder`: the nearest integer and what is left. Nothing is left by a
/// shift of zero.
pub(super) fn round(accumulator: i64, shift: u32) -> (i32, i32) {
    let raised = accumulator + (1 << shift >> 1);
    let value = raised >> shift;
    (value as i32, (raised - (value << shift)) as i32)
}

/// Low and high limbs of `2^low_bits high + low`, the low ones not negative.
pub(super) fn two_limbs<T: Copy + Into<i64>>(values: &[T], low_bits: u32) -> [Vec<i32>; 2] {
    let mask = (1 << low_bits) - 1;
    values
        .iter()
        .map(|&value| value.into())
        .map(|value: i64| ((value & mask) as i32, (value >> low_bits) as i32))
        .unzip()
        .into()
}

/// `value = sum_i 2^(bits i) limb_i` with every limb but the last in `-2^(bits-1)..2^(bits-1)`, lowest first.
pub(super) fn balanced_limbs(mut value: i32, bits: u32, count: u32) -> impl Iterator<Item = i32> {
    (1..=count).map(move |place| {
        let rest = if place == count { 0 } else { (value + (1 << (bits - 1))) >> bits };
        let limb = value - (rest << bits);
        value = rest;
        limb
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rounding_takes_the_nearest_integer_halves_upwards(accumulator in -(1i64 << 40)..1 << 40, shift in 10u32..16) {
            let (value, remainder) = round(accumulator, shift);
            let exact = accumulator as f64 / f64::from(1 << shift);
            prop_assert_eq!(f64::from(value), (exact + 0.5).floor());
            prop_assert!((0..1 << shift).contains(&remainder));
        }

        #[test]
        fn balanced_limbs_add_up(value in -8_000_000..8_000_000, bits in 8u32..10, count in 2u32..4) {
            let limbs: Vec<i32> = balanced_limbs(value, bits, count).collect();
            prop_assert_eq!(limbs.iter().rev().fold(0, |sum, limb| (sum << bits) + limb), value);
            prop_assert!(limbs[..count as usize - 1].iter().all(|limb| (-(1 << (bits - 1))..1 << (bits - 1)).contains(limb)));
        }
    }
}
