//! The residual stream: the embedding and the branches of every layer, added exactly.

use obelysk_statement::compile::limb_names;
use obelysk_statement::description::{Branch, BranchNorm, Norm};
use obelysk_statement::relation::Interval;

use super::IntegerModel;
use super::linear::balanced_limbs;
use super::record::Recorder;
use super::rounding::Rounded;

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
        let own = (format.rounding, Interval::signed(format.low_bits + format.high_bits));
        let branch_name = format!("{name}_branch");
        let branch = match norm {
            None => Rounded::all(&branch_name, accumulators, own, recorder),
            Some(BranchNorm { rounding, norm }) => {
                let output_name = format!("{name}_output");
                let output = Rounded::all(&output_name, accumulators, (*rounding, limb_range(norm)), recorder);
                record_limbs(&output_name, &output, norm, recorder);
                let unit = self.norm(&format!("{name}_output_norm"), &self.over_hidden(norm), &output, recorder);
                let gain = self.weight(&format!("{name}_output_gain"), layer);
                let scaled: Vec<i32> = unit.iter().zip(gain.iter().cycle()).map(|(unit, gain)| unit * gain).collect();
                Rounded::all(&branch_name, &scaled, own, recorder)
            }
        };
        for (entry, added) in stream.iter_mut().zip(&branch) {
            *entry += added;
        }
        recorder.record_limbs(&branch_name, &branch, format.low_bits);
    }

    /// Record the limbs of the stream, the input of a norm.
    pub(super) fn record_input(&self, name: &str, stream: &[i32], recorder: &mut Recorder) {
        record_limbs(name, stream, &self.description.hidden_norm, recorder);
    }
}

/// What the limbs of a norm's input can hold.
pub(super) fn limb_range(norm: &Norm) -> Interval {
    let ones = (0..norm.limbs).map(|place| 1i64 << (place * norm.limb_bits)).sum::<i64>();
    let limb = Interval::signed(norm.limb_bits);
    Interval::new(limb.low * ones, limb.high * ones)
}

/// Record `values` as the balanced limbs that a norm reads.
pub(super) fn record_limbs(name: &str, values: &[i32], norm: &Norm, recorder: &mut Recorder) {
    if recorder.is_on() {
        let names = limb_names(norm.limbs);
        let mut limbs: Vec<Vec<i32>> = vec![Vec::with_capacity(values.len()); names.len()];
        for &value in values {
            let parts = balanced_limbs(value, norm.limb_bits, norm.limbs);
            limbs.iter_mut().zip(parts).for_each(|(limb, part)| limb.push(part));
        }
        for (limb, values) in names.iter().zip(&limbs) {
            recorder.record(&format!("{name}.{limb}"), values);
        }
    }
}
