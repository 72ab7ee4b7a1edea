//! Softmax; the compiler's file of the same name explains the arithmetic.

use std::ops::Range;

use obelysk_statement::compile::denominator_shift;
use obelysk_statement::relation::Interval;

use super::IntegerModel;
use super::record::Recorder;
use super::rounding::Rounded;

/// Softmax rows of one layer, in the order of the statement: kv head, group, position, key position.
pub(super) struct Softmax {
    score: Rounded,
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

impl IntegerModel<'_> {
    /// No rows of softmax yet.
    pub(super) fn no_rows(&self) -> Softmax {
        let format = &self.description.attention;
        Softmax {
            score: Rounded::new(format.score_rounding, Interval::signed(format.score_bits)),
            capped: Vec::new(),
            maximum: Vec::new(),
            is_maximum: Vec::new(),
            numerator: Vec::new(),
            denominator: Vec::new(),
            denominator_low: Vec::new(),
            log_denominator: Vec::new(),
            probability: Vec::new(),
            total: Vec::new(),
        }
    }
}

impl Softmax {
    /// Append one row, given by the accumulators of its scores, and return its weights; those of unseen keys are zero.
    pub(super) fn row(
        &mut self,
        model: &IntegerModel,
        scores: impl Iterator<Item = i64>,
        seen: Range<usize>,
    ) -> &[i32] {
        let first = self.score.value.len();
        for accumulator in scores {
            let score = self.score.push(accumulator);
            if let Some(caps) = &model.soft_cap {
                self.capped.push(caps[(score + (1 << 15)) as usize]);
            }
        }
        let scores = if model.soft_cap.is_some() { &self.capped[first..] } else { &self.score.value[first..] };
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
        let score = self.score.record("score", recorder);
        recorder.record("score", &score);
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
