//! Roundings: the nearest integer to a quotient, clamped to a range where it can lie outside.

use obelysk_statement::description::Rounding;
use obelysk_statement::relation::Interval;

use super::linear::round;
use super::record::Recorder;

/// Accumulators rounded one after the other, with what the statement's relation has beside the value.
pub(super) struct Rounded {
    rounding: Rounding,
    low: i32,
    high: i32,
    pub(super) value: Vec<i32>,
    remainder: Vec<i32>,
    /// How far the quotient lies above and below the range; empty where it never does.
    above: Vec<i32>,
    below: Vec<i32>,
}

impl Rounded {
    pub(super) fn new(rounding: Rounding, range: Interval) -> Self {
        let end = |value: i64| i32::try_from(value).expect("ranges have at most 30 bits");
        let (low, high) = (end(range.low), end(range.high));
        Self { rounding, low, high, value: Vec::new(), remainder: Vec::new(), above: Vec::new(), below: Vec::new() }
    }

    /// All `accumulators` rounded, and recorded as `name`'s but for the value.
    pub(super) fn all(
        name: &str,
        accumulators: &[i32],
        (rounding, range): (Rounding, Interval),
        recorder: &mut Recorder,
    ) -> Vec<i32> {
        let mut rounded = Self::new(rounding, range);
        accumulators.iter().for_each(|&accumulator| {
            rounded.push(i64::from(accumulator));
        });
        rounded.record(name, recorder)
    }

    pub(super) fn push(&mut self, accumulator: i64) -> i32 {
        let (quotient, remainder) = round(accumulator, self.rounding.shift);
        let value = if self.rounding.excess_bits == 0 { quotient } else { quotient.clamp(self.low, self.high) };
        assert!((self.low..=self.high).contains(&value), "the quantiser's bounds hold");
        if self.rounding.excess_bits > 0 {
            self.above.push((quotient - value).max(0));
            self.below.push((value - quotient).max(0));
        }
        self.value.push(value);
        self.remainder.push(remainder);
        value
    }

    /// Record everything but the value, which may be recorded as limbs, and return it.
    pub(super) fn record(self, name: &str, recorder: &mut Recorder) -> Vec<i32> {
        let clamped = self.above.iter().chain(&self.below).filter(|&&excess| excess > 0).count();
        recorder.count(clamped, self.value.len());
        if self.rounding.shift > 0 {
            recorder.record(&format!("{name}.remainder"), &self.remainder);
        }
        if self.rounding.excess_bits > 0 {
            recorder.record_wide(&format!("{name}.above"), &self.above, self.rounding.excess_bits);
            recorder.record_wide(&format!("{name}.below"), &self.below, self.rounding.excess_bits);
        }
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_outside_of_the_range_becomes_its_nearest_end() {
        let mut rounded = Rounded::new(Rounding { shift: 4, excess_bits: 8 }, Interval::signed(6));
        let values: Vec<i32> = [0, 7, 8, 503, 504, 2000, -520, -521, -3000].map(|acc| rounded.push(acc)).to_vec();
        assert_eq!(values, [0, 0, 1, 31, 31, 31, -32, -32, -32]);
        assert_eq!(rounded.above, [0, 0, 0, 0, 1, 94, 0, 0, 0]);
        assert_eq!(rounded.below, [0, 0, 0, 0, 0, 0, 0, 1, 155]);
    }
}
