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

    /// `input [rows, width]` to shape [rows, channels]. Rows are independent, so threads do not change the result.
    pub(super) fn apply(&self, input: &[f32]) -> Vec<f32> {
        let channels = self.weight.len() / self.width;
        let mut output = vec![0.0; input.len() / self.width * channels];
        output.par_chunks_mut(channels).zip(input.par_chunks(self.width)).for_each(|(output, row)| {
            for (sum, weights) in output.iter_mut().zip(self.weight.chunks_exact(self.width)) {
                *sum = dot(row, weights);
            }
            if let Some(bias) = &self.bias {
                output.iter_mut().zip(bias).for_each(|(sum, added)| *sum += added);
            }
        });
        output
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
