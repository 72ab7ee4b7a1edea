//! Gated feed-forward block.

use obelysk_statement::compile::down_carry_bits;
use obelysk_statement::description::TABLE_BITS;
use obelysk_statement::relation::Interval;

use super::IntegerModel;
use super::linear::{project, two_limbs};
use super::record::Recorder;
use super::rounding::Rounded;

impl IntegerModel<'_> {
    /// Accumulators of the feed-forward branch, shape [rows, hidden].
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
        let inner = Rounded::all("feed_forward_hidden", &products, rounding, recorder);
        let down = self.weight("down_weight", layer);
        match format.hidden_low_bits {
            0 => {
                recorder.record("feed_forward_hidden", &inner);
                project(&inner, down, shape.intermediate)
            }
            _ => self.project_limbs(&inner, down, recorder),
        }
    }

    /// `inner` times `down`, divided by a power of two and rounded down: the high limbs' accumulators and the carry from those
    /// of the low limbs.
    fn project_limbs(&self, inner: &[i32], down: &[i32], recorder: &mut Recorder) -> Vec<i32> {
        let bits = self.description.feed_forward.hidden_low_bits;
        let width = self.description.shape.intermediate;
        let [low, high] = two_limbs(inner, bits);
        recorder.record("feed_forward_hidden.low", &low);
        recorder.record("feed_forward_hidden.high", &high);
        let [remainder, carry] = two_limbs(&project(&low, down, width), bits);
        recorder.record("feed_forward_carry.remainder", &remainder);
        recorder.record_wide("feed_forward_carry", &carry, down_carry_bits(self.description));
        let mut accumulators = project(&high, down, width);
        accumulators.iter_mut().zip(&carry).for_each(|(sum, carry)| *sum += carry);
        accumulators
    }
}
