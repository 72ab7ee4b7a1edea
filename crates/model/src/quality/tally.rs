//! Sums over predictions of both engines.

use rayon::prelude::*;

use super::Quality;
use crate::{float, integer};

/// Logits of the float engine and of the integer engine at one position, and the token that follows.
type Row<'a> = ((&'a [f32], &'a [i32]), &'a u32);

/// What is known of the predictions so far.
pub(crate) struct Tally {
    sequences: usize,
    tokens: usize,
    agreed: usize,
    float_loss: f64,
    integer_loss: f64,
    divergence: f64,
    saturation: f64,
}

/// What one position adds.
struct Prediction {
    agrees: bool,
    float_loss: f64,
    integer_loss: f64,
    divergence: f64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            sequences: 0,
            tokens: 0,
            agreed: 0,
            float_loss: 0.0,
            integer_loss: 0.0,
            divergence: 0.0,
            saturation: 0.0,
        }
    }

    /// Count predictions. `unit` and `cap` turn integer logits into those of the float engine.
    pub(crate) fn add(&mut self, rows: &[Row], unit: f64, cap: Option<f64>) {
        let predictions: Vec<Prediction> = rows.par_iter().map(|row| Prediction::of(*row, unit, cap)).collect();
        for prediction in predictions {
            self.tokens += 1;
            self.agreed += usize::from(prediction.agrees);
            self.float_loss += prediction.float_loss;
            self.integer_loss += prediction.integer_loss;
            self.divergence += prediction.divergence;
        }
    }

    /// A sequence is done; `clamped` is the share of its roundings that were clamped.
    pub(super) fn end_sequence(&mut self, clamped: f64) {
        self.sequences += 1;
        self.saturation += clamped;
    }

    pub(crate) fn finish(self) -> Quality {
        let count = self.tokens.max(1) as f64;
        Quality {
            sequences: self.sequences,
            tokens: self.tokens,
            perplexity_float: (self.float_loss / count).exp(),
            perplexity_int: (self.integer_loss / count).exp(),
            top1_agreement: self.agreed as f64 / count,
            mean_kl: self.divergence / count,
            saturation_rate: self.saturation / self.sequences.max(1) as f64,
        }
    }
}

impl Prediction {
    fn of(((expected, actual), &next): Row, unit: f64, cap: Option<f64>) -> Self {
        let agrees = float::argmax(expected) == integer::argmax(actual);
        let expected = log_probabilities(expected.iter().map(|&logit| f64::from(logit)));
        let capped = |logit: f64| cap.map_or(logit, |cap| cap * (logit / cap).tanh());
        let actual = log_probabilities(actual.iter().map(|&logit| capped(f64::from(logit) * unit)));
        Self {
            agrees,
            float_loss: -expected[next as usize],
            integer_loss: -actual[next as usize],
            divergence: expected.iter().zip(&actual).map(|(p, q)| p.exp() * (p - q)).sum(),
        }
    }
}

fn log_probabilities(logits: impl Iterator<Item = f64>) -> Vec<f64> {
    let logits: Vec<f64> = logits.collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln();
    logits.into_iter().map(|logit| logit - largest - total).collect()
}
