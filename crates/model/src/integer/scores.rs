//! Scores, as differences from the largest score that a position sees; the compiler's file of the same name explains them.

use std::ops::Range;

use obelysk_statement::ModelDescription;
use obelysk_statement::compile::{largest_score, score_bits};
use obelysk_statement::description::{Rounding, TABLE_BITS};
use obelysk_statement::functions::{at_clamped, clamped_argument};
use obelysk_statement::relation::Interval;

use super::IntegerModel;
use super::record::Recorder;
use super::rounding::{HighestLimb, Rounded};

/// Rows of one layer, in the order of the statement: kv head, group, position, key position.
pub(super) struct Differences {
    score: Rounded,
    /// Empty without a cap.
    capped: Vec<i32>,
    maximum: Vec<i32>,
    difference: Vec<i32>,
    /// What a difference lacks, beyond the end of differences; zero with a cap.
    beyond: Vec<i32>,
}

impl Differences {
    pub(super) fn new(description: &ModelDescription) -> Self {
        let largest = largest_score(description);
        let Rounding { shift, unclamped_bits } = description.attention.score_rounding;
        let range = match description.attention.score_cap {
            None => Interval::new(-largest, largest),
            Some(_) => Interval::signed(unclamped_bits.max(TABLE_BITS)),
        };
        Self {
            score: Rounded::new(Rounding::exact(shift), HighestLimb::whole(range)),
            capped: Vec::new(),
            maximum: Vec::new(),
            difference: Vec::new(),
            beyond: Vec::new(),
        }
    }

    /// Append one row, given by the accumulators of its scores, and return how far each is below the largest one that is
    /// seen. Of scores that are not seen this says nothing.
    pub(super) fn row(
        &mut self,
        model: &IntegerModel,
        accumulators: impl Iterator<Item = i64>,
        seen: Range<usize>,
    ) -> &[i32] {
        let first = self.difference.len();
        let mut scores: Vec<i32> = accumulators.map(|accumulator| self.score.push(accumulator)).collect();
        if let Some(caps) = &model.soft_cap {
            scores.iter_mut().for_each(|score| *score = at_clamped(caps, *score));
            self.capped.extend(&scores);
        }
        let maximum = *scores[seen].iter().max().expect("a position sees itself");
        self.maximum.push(maximum);
        for below in scores.into_iter().map(|score| maximum - score) {
            let difference = match model.difference_end {
                // What is beyond, of either sign, must be at the end.
                Some(end) if !(0..=end).contains(&below) => end,
                _ => below,
            };
            self.difference.push(difference);
            self.beyond.push(below - difference);
        }
        &self.difference[first..]
    }

    pub(super) fn record(self, description: &ModelDescription, recorder: &mut Recorder) {
        let score = self.score.record("score", recorder);
        if description.attention.score_cap.is_some() {
            recorder.count(score.iter().filter(|&&score| score != clamped_argument(score)).count(), 0);
            recorder.record("score", &score);
            recorder.record("capped_score", &self.capped);
            recorder.record("maximum", &self.maximum);
        } else {
            let [maximum_bits, beyond_bits] = score_bits(description);
            recorder.record_wide("maximum", &self.maximum, maximum_bits);
            recorder.record("score_difference", &self.difference);
            recorder.record_wide("score_beyond", &self.beyond, beyond_bits);
        }
    }
}
