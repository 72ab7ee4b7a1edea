//! Last norm, logits and the claim about the output tokens.

use obelysk_statement::Inference;

use super::IntegerModel;
use super::linear::Matrix;
use super::record::Recorder;
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
    /// Logits of rows of what the last layer leaves, shape [rows, vocabulary].
    pub(super) fn logits(&self, mut stream: Vec<i32>, recorder: &mut Recorder) -> Vec<i32> {
        self.enter("head_input", &mut stream, recorder);
        let normed = self.norm("head_norm", &self.over_hidden(&self.description.hidden_norm), &stream, recorder);
        let shape = &self.description.shape;
        let head = Matrix { weight: "head_weight", first: 0, channels: shape.vocabulary, width: shape.hidden };
        self.project(&normed, head)
    }

    /// Record the head of an inference; `outputs` holds the index of each row's output token. The logits of these rows.
    pub(super) fn claim(
        &self,
        inference: &Inference,
        outputs: &[usize],
        stream: &[i32],
        recorder: &mut Recorder,
    ) -> Result<Vec<i32>, ModelError> {
        let shape = &self.description.shape;
        let first = inference.prompt_tokens.len() - 1;
        let selected: Vec<i32> = outputs
            .iter()
            .flat_map(|output| &stream[(first + output) * shape.hidden..][..shape.hidden])
            .copied()
            .collect();
        let logits = self.logits(selected, recorder);
        let mut best = Vec::with_capacity(outputs.len());
        let mut gaps = Vec::with_capacity(logits.len());
        for (&output, logits) in outputs.iter().zip(logits.chunks_exact(shape.vocabulary)) {
            let claimed = inference.output_tokens[output];
            let answer = argmax(logits);
            if claimed != answer {
                return Err(ModelError::Mismatch(format!(
                    "output token {output} is {claimed}, but the model answers {answer}",
                )));
            }
            let largest = logits[claimed as usize];
            best.push(largest);
            let gap = |(token, logit): (usize, &i32)| largest - logit - i32::from(token < claimed as usize);
            gaps.extend(logits.iter().enumerate().map(gap));
        }
        recorder.record_limbs("best", &best, LIMB_BITS);
        recorder.record_limbs("logit_gap", &gaps, LIMB_BITS);
        Ok(logits)
    }
}
