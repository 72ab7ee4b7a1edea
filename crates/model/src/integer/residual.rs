//! The residual stream: the embedding and the branches of every layer, added exactly.

use obelysk_statement::description::Branch;

use super::IntegerModel;
use super::linear::{balanced_limbs, round_all};
use super::record::Recorder;

impl IntegerModel<'_> {
    /// Embeddings of `tokens`, shape [tokens, hidden].
    pub(super) fn embed(&self, tokens: &[u32]) -> Vec<i32> {
        let hidden = self.description.shape.hidden;
        let embedding = &self.weights["embedding"];
        tokens.iter().flat_map(|&token| &embedding[token as usize * hidden..][..hidden]).copied().collect()
    }

    /// Round the accumulators of a branch and add them to the stream.
    pub(super) fn add_branch(
        &self,
        name: &str,
        format: &Branch,
        stream: &mut [i32],
        accumulators: &[i32],
        recorder: &mut Recorder,
    ) {
        let (branch, remainder) = round_all(accumulators, format.shift);
        for (entry, added) in stream.iter_mut().zip(&branch) {
            *entry += added;
        }
        if recorder.is_on() {
            let mask = (1 << format.low_bits) - 1;
            recorder.record(&format!("{name}.low"), &branch.iter().map(|value| value & mask).collect::<Vec<_>>());
            let high: Vec<i32> = branch.iter().map(|value| value >> format.low_bits).collect();
            recorder.record(&format!("{name}.high"), &high);
            recorder.record(&format!("{name}.remainder"), &remainder);
        }
    }

    /// Record the limbs of a norm's input.
    pub(super) fn record_input(&self, name: &str, stream: &[i32], recorder: &mut Recorder) {
        record_limbs(name, stream, self.description.hidden_norm.limb_bits, recorder);
    }
}

/// Record `values` as two balanced limbs.
pub(super) fn record_limbs(name: &str, values: &[i32], bits: u32, recorder: &mut Recorder) {
    if recorder.is_on() {
        let (low, high): (Vec<i32>, Vec<i32>) = values.iter().map(|&value| balanced_limbs(value, bits)).unzip();
        recorder.record(&format!("{name}.low"), &low);
        recorder.record(&format!("{name}.high"), &high);
    }
}
