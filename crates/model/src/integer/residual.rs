//! The residual stream: the embedding and the branches of every layer, added exactly.

use obelysk_statement::description::{Branch, BranchNorm};

use super::IntegerModel;
use super::linear::{balanced_limbs, round, round_all};
use super::record::Recorder;

/// A block of every layer, as far as the stream is concerned.
pub(super) struct Block<'a> {
    pub(super) name: &'a str,
    pub(super) format: &'a Branch,
    pub(super) norm: Option<&'a BranchNorm>,
}

impl IntegerModel<'_> {
    /// Embeddings of `tokens`, shape [tokens, hidden].
    pub(super) fn embed(&self, tokens: &[u32]) -> Vec<i32> {
        let hidden = self.description.shape.hidden;
        let embedding = &self.weights["embedding"];
        tokens.iter().flat_map(|&token| &embedding[token as usize * hidden..][..hidden]).copied().collect()
    }

    /// Round the output of a block, normalise and scale it where the model does so, and add it to the stream.
    pub(super) fn add_branch(
        &self,
        block: &Block,
        layer: usize,
        stream: &mut [i32],
        accumulators: &[i32],
        recorder: &mut Recorder,
    ) {
        let Block { name, format, norm } = *block;
        let (branch, remainder) = match norm {
            None => round_all(accumulators, format.shift),
            Some(BranchNorm { shift, norm }) => {
                let (output, remainder) = round_all(accumulators, *shift);
                record_limbs(&format!("{name}_output"), &output, norm.limb_bits, recorder);
                recorder.record(&format!("{name}_output.remainder"), &remainder);
                let unit = self.norm(&format!("{name}_output_norm"), &self.over_hidden(norm), &output, recorder);
                let gain = self.weight(&format!("{name}_output_gain"), layer);
                let scaled = unit.iter().zip(gain.iter().cycle());
                scaled.map(|(&unit, &gain)| round(i64::from(unit) * i64::from(gain), format.shift)).unzip()
            }
        };
        for (entry, added) in stream.iter_mut().zip(&branch) {
            *entry += added;
        }
        if recorder.is_on() {
            let mask = (1 << format.low_bits) - 1;
            recorder
                .record(&format!("{name}_branch.low"), &branch.iter().map(|value| value & mask).collect::<Vec<_>>());
            let high: Vec<i32> = branch.iter().map(|value| value >> format.low_bits).collect();
            recorder.record(&format!("{name}_branch.high"), &high);
            recorder.record(&format!("{name}_branch.remainder"), &remainder);
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
