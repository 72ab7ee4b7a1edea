//! Softmax; the compiler's file of the same name explains the arithmetic.

use std::ops::Range;

use obelysk_statement::compile::denominator_shift;

use super::IntegerModel;
use super::record::Recorder;

/// Softmax rows of one layer, in the order of the statement: kv head, group, position, key position.
#[derive(Default)]
pub(super) struct Softmax {
    score: Vec<i32>,
    remainder: Vec<i32>,
    /// Empty without a cap.
    capped: Vec<i32>,
    maximum: Vec<i32>,
    is_maximum: Vec<i32>,
    numerator: Vec<i32>,
    denominator: Vec<i32>,
    denominator_low: Vec<i32>,
    log_denominator: Vec<i32>,
    probability: Vec<i32>,
    total: Vec<i32>,
}

impl Softmax {
    /// Append one row and return its weights; those of unseen keys are zero.
    pub(super) fn row(
        &mut self,
        model: &IntegerModel,
        scores: impl Iterator<Item = (i32, i32)>,
        seen: Range<usize>,
    ) -> &[i32] {
        let first = self.score.len();
        for (score, remainder) in scores {
            self.score.push(score);
            self.remainder.push(remainder);
            if let Some(caps) = &model.soft_cap {
                self.capped.push(caps[(score + (1 << 15)) as usize]);
            }
        }
        let scores = if model.soft_cap.is_some() { &self.capped[first..] } else { &self.score[first..] };
        let count = scores.len();
        let maximum = *scores[seen.clone()].iter().max().expect("a position sees itself");
        let place = seen.clone().find(|&key| scores[key] == maximum).expect("the maximum is one of them");
        self.is_maximum.extend((0..count).map(|key| i32::from(key == place)));
        let exponential = |moved: i32, key: usize| {
            if seen.contains(&key) { model.exponential[(maximum - scores[key] + moved) as usize] } else { 0 }
        };
        self.numerator.extend((0..count).map(|key| exponential(0, key)));
        let sum: i32 = self.numerator[first..].iter().sum();
        let shift = denominator_shift(model.description.shape.positions);
        let log_denominator = model.logarithm[(sum >> shift) as usize];
        self.probability.extend((0..count).map(|key| exponential(log_denominator, key)));
        self.total.push(self.probability[first..].iter().sum());
        self.maximum.push(maximum);
        self.denominator.push(sum >> shift);
        self.denominator_low.push(sum & ((1 << shift) - 1));
        self.log_denominator.push(log_denominator);
        &self.probability[first..]
    }

    pub(super) fn record(self, recorder: &mut Recorder) {
        recorder.record("score", &self.score);
        recorder.record("score.remainder", &self.remainder);
        if !self.capped.is_empty() {
            recorder.record("capped_score", &self.capped);
        }
        recorder.record("maximum", &self.maximum);
        recorder.record("is_maximum", &self.is_maximum);
        recorder.record("numerator", &self.numerator);
        recorder.record("denominator", &self.denominator);
        recorder.record("denominator.low", &self.denominator_low);
        recorder.record("log_denominator", &self.log_denominator);
        recorder.record("probability", &self.probability);
        recorder.record("total_probability", &self.total);
    }
}
