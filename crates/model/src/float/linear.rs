//! Projections.

use rayon::prelude::*;

/// A weight matrix of shape [channels, width], and what is added to each channel.
pub(super) struct Linear {
    weight: Vec<f32>,
    width: usize,
    bias: Option<Vec<f32>>,
}

impl Linear {
    pub(super) fn new(weight: Vec<f32>, width: usize, bias: Option<Vec<f32>>) -> Self {
        assert!(width > 0 && weight.len().is_multiple_of(width), "a matrix of whole rows");
        Self { weight, width, bias }
    }

    /// `input [rows, width]` to shape [rows, channels]. Channels are independent, so threads do not change the result; each
    /// reads its weights once for all rows.
    pub(super) fn apply(&self, input: &[f32]) -> Vec<f32> {
        let (rows, channels) = (input.len() / self.width, self.weight.len() / self.width);
        let mut by_channel = vec![0.0; rows * channels];
        by_channel.par_chunks_mut(rows).zip(self.weight.par_chunks_exact(self.width)).enumerate().for_each(
            |(channel, (output, weights))| {
                let bias = self.bias.as_ref().map(|bias| bias[channel]);
                for (sum, row) in output.iter_mut().zip(input.chunks_exact(self.width)) {
                    let product = dot(row, weights);
                    *sum = bias.map_or(product, |bias| product + bias);
                }
            },
        );
        (0..rows).flat_map(|row| by_channel.iter().skip(row).step_by(rows)).copied().collect()
    }
}

/// Inner product in eight lanes: the order of additions is fixed, and a compiler can vectorise it.
pub(super) fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (left_parts, right_parts) = (left.chunks_exact(8), right.chunks_exact(8));
    let tail: f32 = left_parts.remainder().iter().zip(right_parts.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in left_parts.zip(right_parts) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f32>() + tail
}
