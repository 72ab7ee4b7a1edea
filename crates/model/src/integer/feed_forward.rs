//! Gated feed-forward block.

use obelysk_statement::description::TABLE_BITS;
use obelysk_statement::relation::Interval;

use super::IntegerModel;
use super::linear::project;
use super::record::Recorder;
use super::rounding::Rounded;

impl IntegerModel<'_> {
    /// What the output projection of the feed-forward block reads, shape [rows, intermediate].
    pub(super) fn feed_forward(&self, layer: usize, normed: &[i32], recorder: &mut Recorder) -> Vec<i32> {
        let shape = &self.description.shape;
        let format = &self.description.feed_forward;
        let gate = project(normed, self.weight("gate_weight", layer), shape.hidden);
        let gate = Rounded::all("gate", &gate, (format.gate_rounding, Interval::signed(TABLE_BITS)), recorder);
        recorder.record("gate", &gate);
        let up = project(normed, self.weight("up_weight", layer), shape.hidden);
        let up = Rounded::all("up", &up, (format.up_rounding, Interval::signed(format.up_bits)), recorder);
        recorder.record("up", &up);
        let activation: Vec<i32> = gate.iter().map(|&gate| self.activation[(gate + (1 << 15)) as usize]).collect();
        recorder.record("activation", &activation);
        let products: Vec<i32> = activation.iter().zip(&up).map(|(activation, up)| activation * up).collect();
        let rounding = (format.hidden_rounding, Interval::signed(format.hidden_bits));
        Rounded::all("feed_forward_hidden", &products, rounding, recorder)
    }
}
