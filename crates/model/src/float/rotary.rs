//! Rotary position embedding (Su et al., RoFormer): halves of a head turn as pairs.

use std::f64::consts::TAU;

use crate::config::{RotaryConfig, RotaryScaling};

/// Frequencies of the pairs of a head.
pub(super) struct Rotary {
    frequencies: Vec<f64>,
}

impl Rotary {
    pub(super) fn new(config: &RotaryConfig, head_dim: usize) -> Self {
        let frequency = |pair: usize| {
            let frequency = libm::pow(config.theta, -2.0 * pair as f64 / head_dim as f64);
            config.scaling.map_or(frequency, |scaling| scaling.stretch(frequency))
        };
        Self { frequencies: (0..head_dim / 2).map(frequency).collect() }
    }

    /// Turn one head by its position.
    pub(super) fn turn(&self, head: &mut [f32], position: usize) {
        let (first, second) = head.split_at_mut(self.frequencies.len());
        for ((a, b), frequency) in first.iter_mut().zip(second).zip(&self.frequencies) {
            let (sine, cosine) = libm::sincos(position as f64 * frequency);
            let (sine, cosine) = (sine as f32, cosine as f32);
            (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
        }
    }
}

impl RotaryScaling {
    fn stretch(&self, frequency: f64) -> f64 {
        let turns = self.original as f64 * frequency / TAU;
        let kept = ((turns - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        frequency * (kept + (1.0 - kept) / self.factor)
    }
}
