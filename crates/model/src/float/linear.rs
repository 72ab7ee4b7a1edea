//! Projections.

use rayon::prelude::*;

use crate::checkpoint::Stored;

/// Rows whose inner products are computed together.
const TOGETHER: usize = 4;
/// Channels that meet rows while both are in a processor's first cache.
const BLOCK: usize = 8;

/// A weight matrix of shape [channels, width], and what is added to each channel.
pub(super) struct Linear {
    weight: Stored,
    width: usize,
    bias: Option<Vec<f32>>,
}

impl Linear {
    pub(super) fn new(weight: Stored, width: usize, bias: Option<Vec<f32>>) -> Self {
        assert!(width > 0 && weight.len().is_multiple_of(width), "a matrix of whole rows");
        Self { weight, width, bias }
    }

    /// The weights of a channel.
    pub(super) fn row(&self, channel: usize) -> Vec<f32> {
        self.weight.read(channel * self.width..(channel + 1) * self.width, &mut Vec::new()).to_vec()
    }

    /// `input [rows, width]` to shape [rows, channels]. Channels are independent, so threads do not change the result; each
    /// reads its weights once for all rows.
    pub(super) fn apply(&self, input: &[f32]) -> Vec<f32> {
        let (rows, channels) = (input.len() / self.width, self.weight.len() / self.width);
        let mut by_channel = vec![0.0; rows * channels];
        let blocks = by_channel.par_chunks_mut(BLOCK * rows).enumerate();
        blocks.for_each_init(Vec::new, |buffer, (block, output)| {
            let first = block * BLOCK;
            let weights = first * self.width..(first + output.len() / rows) * self.width;
            let weights = self.weight.read(weights, buffer);
            for (place, together) in input.chunks(TOGETHER * self.width).enumerate() {
                let places = place * TOGETHER..place * TOGETHER + together.len() / self.width;
                for (sums, weights) in output.chunks_exact_mut(rows).zip(weights.chunks_exact(self.width)) {
                    dots(together, weights, &mut sums[places.clone()]);
                }
            }
            if let Some(bias) = &self.bias {
                for (sums, bias) in output.chunks_exact_mut(rows).zip(&bias[first..]) {
                    sums.iter_mut().for_each(|sum| *sum += bias);
                }
            }
        });
        (0..rows).flat_map(|row| by_channel.iter().skip(row).step_by(rows)).copied().collect()
    }
}

/// Sums of an inner product: the order of additions is fixed, and a compiler can vectorise it.
type Lanes = [f32; 8];

/// Inner product in eight lanes.
pub(super) fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = Lanes::default();
    let tail = add_products(&mut lanes, left, right);
    lanes.iter().sum::<f32>() + tail
}

/// The inner products of several rows with one, each as [`dot`] computes it. Rows take turns in short pieces: an addition waits for
/// the one before it in its row, and a processor computes other rows meanwhile.
fn dots(rows: &[f32], right: &[f32], products: &mut [f32]) {
    const PIECE: usize = 96;
    let mut lanes = [Lanes::default(); TOGETHER];
    let mut tails = [0.0; TOGETHER];
    for (place, right_piece) in right.chunks(PIECE).enumerate() {
        let rows = rows.chunks_exact(right.len());
        for ((row, lanes), tail) in rows.zip(&mut lanes).zip(&mut tails) {
            *tail = add_products(lanes, &row[place * PIECE..][..right_piece.len()], right_piece);
        }
    }
    for ((product, lanes), tail) in products.iter_mut().zip(lanes).zip(tails) {
        *product = lanes.iter().sum::<f32>() + tail;
    }
}

/// Add the products of two rows, lane by lane; the sum of those that fill no lanes.
fn add_products(lanes: &mut Lanes, left: &[f32], right: &[f32]) -> f32 {
    let mut sums = *lanes;
    let (left_parts, right_parts) = (left.chunks_exact(8), right.chunks_exact(8));
    let tail = left_parts.remainder().iter().zip(right_parts.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in left_parts.zip(right_parts) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    *lanes = sums;
    tail
}
