//! Softmax; the compiler's file of the same name explains the arithmetic.

use std::ops::Range;

use obelysk_statement::ModelDescription;
use obelysk_statement::compile::denominator_shift;

use super::IntegerModel;
use super::record::Recorder;
use super::scores::Differences;

/// Softmax rows of one layer, in the order of the statement: kv head, group, position, key position.
pub(super) struct Softmax {
    differences: Differences,
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
        Softmax {
            differences: Differences::new(self.description),
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
        let first = self.probability.len();
        let differences = self.differences.row(model, scores, seen.clone());
        let count = differences.len();
        let place = seen.clone().find(|&key| differences[key] == 0).expect("the maximum is one of them");
        self.is_maximum.extend((0..count).map(|key| i32::from(key == place)));
        let exponential = |moved: i32, key: usize| {
            if seen.contains(&key) { model.exponential[(differences[key] + moved) as usize] } else { 0 }
        };
        self.numerator.extend((0..count).map(|key| exponential(0, key)));
        let sum: i32 = self.numerator[first..].iter().sum();
        let shift = denominator_shift(model.description.shape.positions);
        let log_denominator = model.logarithm[(sum >> shift) as usize];
        self.probability.extend((0..count).map(|key| exponential(log_denominator, key)));
        self.total.push(self.probability[first..].iter().sum());
        self.denominator.push(sum >> shift);
        self.denominator_low.push(sum & ((1 << shift) - 1));
        self.log_denominator.push(log_denominator);
        &self.probability[first..]
    }

    pub(super) fn record(self, description: &ModelDescription, recorder: &mut Recorder) {
        self.differences.record(description, recorder);
        recorder.record("is_maximum", &self.is_maximum);
        recorder.record("numerator", &self.numerator);
        recorder.record("denominator", &self.denominator);
        recorder.record("denominator.low", &self.denominator_low);
        recorder.record("log_denominator", &self.log_denominator);
        recorder.record("probability", &self.probability);
        recorder.record("total_probability", &self.total);
    }
}
