//! Gated feed-forward block.

use super::IntegerModel;
use super::linear::{project, round, round_all};
use super::record::Recorder;

impl IntegerModel<'_> {
    /// Accumulators of the feed-forward branch, shape [rows, hidden].
    pub(super) fn feed_forward(&self, layer: usize, normed: &[i32], recorder: &mut Recorder) -> Vec<i32> {
        let shape = &self.description.shape;
        let format = &self.description.feed_forward;
        let gate = project(normed, self.weight("gate_weight", layer), shape.hidden);
        let (gate, remainder) = round_all(&gate, format.gate_shift);
        recorder.record("gate", &gate);
        recorder.record("gate.remainder", &remainder);
        let up = project(normed, self.weight("up_weight", layer), shape.hidden);
        let (up, remainder) = round_all(&up, format.up_shift);
        recorder.record("up", &up);
        recorder.record("up.remainder", &remainder);
        let activation: Vec<i32> = gate.iter().map(|&gate| self.activation[(gate + (1 << 15)) as usize]).collect();
        recorder.record("activation", &activation);
        let product = |(&a, &u): (&i32, &i32)| round(i64::from(a) * i64::from(u), format.hidden_shift);
        let (inner, remainder): (Vec<i32>, Vec<i32>) = activation.iter().zip(&up).map(product).unzip();
        recorder.record("feed_forward_hidden", &inner);
        recorder.record("feed_forward_hidden.remainder", &remainder);
        project(&inner, self.weight("down_weight", layer), shape.intermediate)
    }
}
