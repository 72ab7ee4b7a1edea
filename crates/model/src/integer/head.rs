//! Last norm, logits and the claim about the output tokens.

use obelysk_statement::Inference;
use obelysk_statement::compile::padded_size;

use super::IntegerModel;
use super::linear::project;
use super::record::Recorder;
use super::residual::record_limbs;
use crate::error::ModelError;

/// Bits of each limb of a logit difference.
const LIMB_BITS: u32 = 15;

/// The lowest id of the largest logit.
#[must_use]
pub fn argmax(logits: &[i32]) -> u32 {
    let best = logits.iter().max().expect("a vocabulary is not empty");
    let token = logits.iter().position(|logit| logit == best).expect("the best is one of them");
    u32::try_from(token).expect("token ids have 32 bits")
}

impl IntegerModel<'_> {
    /// Logits of rows of the final residual stream, shape [rows, vocabulary].
    pub(super) fn logits(&self, stream: &[i32], recorder: &mut Recorder) -> Vec<i32> {
        record_limbs("head_input", stream, &self.description.hidden_norm, recorder);
        let normed = self.norm("head_norm", &self.over_hidden(&self.description.hidden_norm), stream, recorder);
        project(&normed, &self.weights["head_weight"], self.description.shape.hidden)
    }

    /// Record the head of an inference, padding rows repeating the last one.
    pub(super) fn claim(
        &self,
        inference: &Inference,
        stream: &[i32],
        recorder: &mut Recorder,
    ) -> Result<(), ModelError> {
        let shape = &self.description.shape;
        let outputs = &inference.output_tokens;
        let rows = padded_size(outputs.len());
        let first = inference.prompt_tokens.len() - 1;
        let of_row = |row: usize| row.min(outputs.len() - 1);
        let selected: Vec<i32> = (0..rows)
            .flat_map(|row| &stream[(first + of_row(row)) * shape.hidden..][..shape.hidden])
            .copied()
            .collect();
        let logits = self.logits(&selected, recorder);
        let mask = (1 << LIMB_BITS) - 1;
        let mut best = [Vec::new(), Vec::new()];
        let mut gaps = [Vec::new(), Vec::new()];
        for (row, logits) in logits.chunks_exact(shape.vocabulary).enumerate() {
            let claimed = outputs[of_row(row)];
            let answer = argmax(logits);
            if claimed != answer {
                return Err(ModelError::Mismatch(format!(
                    "output token {} is {claimed}, but the model answers {answer}",
                    of_row(row)
                )));
            }
            let largest = logits[claimed as usize];
            best[0].push(largest & mask);
            best[1].push(largest >> LIMB_BITS);
            for (token, logit) in logits.iter().enumerate() {
                let gap = largest - logit - i32::from(token < claimed as usize);
                gaps[0].push(gap & mask);
                gaps[1].push(gap >> LIMB_BITS);
            }
        }
        for (name, limbs) in [("best", best), ("logit_gap", gaps)] {
            recorder.record(&format!("{name}.low"), &limbs[0]);
            recorder.record(&format!("{name}.high"), &limbs[1]);
        }
        Ok(())
    }
}
