//! Gated feed-forward block.

use obelysk_statement::description::{Rounding, TABLE_BITS};
use obelysk_statement::functions::{at_clamped, clamped_argument};
use obelysk_statement::relation::Interval;

use super::IntegerModel;
use super::record::Recorder;
use super::rounding::{HighestLimb, Rounded};

impl IntegerModel<'_> {
    /// What the output projection of the feed-forward block reads, shape [rows, intermediate].
    pub(super) fn feed_forward(&self, layer: usize, normed: &[i32], recorder: &mut Recorder) -> Vec<i32> {
        let shape = &self.description.shape;
        let format = &self.description.feed_forward;
        let gate = self.project(normed, self.matrix("gate_weight", layer, shape.hidden));
        let Rounding { shift, unclamped_bits } = format.gate_rounding;
        let wide = HighestLimb::whole(Interval::signed(unclamped_bits.max(TABLE_BITS)));
        let gate = Rounded::all("gate", &gate, (Rounding::exact(shift), wide), recorder);
        recorder.record("gate", &gate);
        recorder.count(gate.iter().filter(|&&gate| gate != clamped_argument(gate)).count(), 0);
        let up = self.project(normed, self.matrix("up_weight", layer, shape.hidden));
        let up = Rounded::all(
            "up",
            &up,
            (format.up_rounding, HighestLimb::whole(Interval::signed(format.up_bits))),
            recorder,
        );
        recorder.record("up", &up);
        let activation: Vec<i32> = gate.iter().map(|&gate| at_clamped(&self.activation, gate)).collect();
        recorder.record("activation", &activation);
        let products: Vec<i32> = activation.iter().zip(&up).map(|(activation, up)| activation * up).collect();
        let low_bits = format.hidden_limbs.total();
        let highest = HighestLimb::above(low_bits, format.hidden_bits - low_bits);
        Rounded::all("feed_forward_hidden", &products, (format.hidden_rounding, highest), recorder)
    }
}
