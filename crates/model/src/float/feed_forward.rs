//! Gated feed-forward block.

use std::f32::consts::PI;

use super::{Extremes, Layer};
use crate::config::Activation;

impl Layer {
    /// The feed-forward branch of `normed`, shape [rows, hidden].
    pub(super) fn feed_forward(&self, activation: Activation, normed: &[f32], extremes: &mut Extremes) -> Vec<f32> {
        let gate = self.gate.apply(normed);
        let up = self.up.apply(normed);
        let inner: Vec<f32> = gate.iter().zip(&up).map(|(&gate, &up)| activation.of(gate) * up).collect();
        extremes.see("gate", &gate);
        extremes.see("up", &up);
        extremes.see("feed_forward_hidden", &inner);
        self.down.apply(&inner)
    }
}

impl Activation {
    fn of(self, x: f32) -> f32 {
        match self {
            Self::Silu => x / (1.0 + libm::expf(-x)),
            Self::GeluTanh => 0.5 * x * (1.0 + libm::tanhf((2.0 / PI).sqrt() * (x + 0.044_715 * x * x * x))),
        }
    }
}
