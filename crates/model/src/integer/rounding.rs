//! Roundings: the nearest integer to a quotient, whose highest limb is clamped to a range where it can lie outside.

use obelysk_statement::description::{Norm, Rounding};
use obelysk_statement::relation::Interval;

use super::linear::round;
use super::record::Recorder;

/// Where the highest limb of a number begins, and its range.
#[derive(Clone, Copy)]
pub(super) struct HighestLimb {
    first_bit: u32,
    /// What makes the low limbs not negative.
    raised: i64,
    range: Interval,
}

impl HighestLimb {
    /// Of a number of one limb.
    pub(super) fn whole(range: Interval) -> Self {
        Self { first_bit: 0, raised: 0, range }
    }

    /// Above low limbs that are not negative; signed.
    pub(super) fn above(low_bits: u32, bits: u32) -> Self {
        Self { first_bit: low_bits, raised: 0, range: Interval::signed(bits) }
    }

    /// Of the balanced limbs that a norm reads.
    pub(super) fn of_norm(norm: &Norm) -> Self {
        let halves = (0..norm.limbs - 1).map(|place| 1 << (place * norm.limb_bits + norm.limb_bits - 1));
        let first_bit = (norm.limbs - 1) * norm.limb_bits;
        Self { first_bit, raised: halves.sum(), range: Interval::signed(norm.highest_bits) }
    }

    /// With another range.
    pub(super) fn within(self, range: Interval) -> Self {
        Self { range, ..self }
    }

    /// The limb, and what the number becomes when the limb is clamped to its range.
    pub(super) fn clamp(self, number: i32) -> (i32, i32) {
        let limb = (i64::from(number) + self.raised) >> self.first_bit;
        let outside = limb - limb.clamp(self.range.low, self.range.high);
        (limb as i32, (i64::from(number) - (outside << self.first_bit)) as i32)
    }
}

/// Accumulators rounded one after the other, with what the statement's relation has beside the value.
pub(super) struct Rounded {
    rounding: Rounding,
    highest: HighestLimb,
    value: Vec<i32>,
    remainder: Vec<i32>,
    /// The highest limb before it is clamped; empty where it never leaves its range.
    unclamped: Vec<i32>,
    /// How many were clamped.
    clamped: usize,
}

impl Rounded {
    pub(super) fn new(rounding: Rounding, highest: HighestLimb) -> Self {
        Self { rounding, highest, value: Vec::new(), remainder: Vec::new(), unclamped: Vec::new(), clamped: 0 }
    }

    /// All `accumulators` rounded, and recorded as `name`'s but for the value.
    pub(super) fn all(
        name: &str,
        accumulators: &[i32],
        (rounding, highest): (Rounding, HighestLimb),
        recorder: &mut Recorder,
    ) -> Vec<i32> {
        let mut rounded = Self::new(rounding, highest);
        accumulators.iter().for_each(|&accumulator| {
            rounded.push(i64::from(accumulator));
        });
        rounded.record(name, recorder)
    }

    pub(super) fn push(&mut self, accumulator: i64) -> i32 {
        let (quotient, remainder) = round(accumulator, self.rounding.shift);
        let (limb, value) = self.highest.clamp(quotient);
        if self.rounding.clamps() {
            assert!(holds(Interval::signed(self.rounding.unclamped_bits), limb), "the quantiser's bounds hold");
            self.unclamped.push(limb);
            self.clamped += usize::from(value != quotient);
        } else {
            assert!(value == quotient, "the quantiser's bounds hold");
        }
        self.value.push(value);
        self.remainder.push(remainder);
        value
    }

    /// Record everything but the value, which may be recorded as limbs, and return it.
    pub(super) fn record(self, name: &str, recorder: &mut Recorder) -> Vec<i32> {
        recorder.count(self.clamped, self.value.len());
        if self.rounding.shift > 0 {
            recorder.record(&format!("{name}.remainder"), &self.remainder);
        }
        if self.rounding.clamps() {
            recorder.record(&format!("{name}.unclamped"), &self.unclamped);
        }
        self.value
    }
}

fn holds(range: Interval, value: i32) -> bool {
    (range.low..=range.high).contains(&i64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_outside_of_the_range_becomes_its_nearest_end() {
        let whole = HighestLimb::whole(Interval::signed(6));
        let mut rounded = Rounded::new(Rounding { shift: 4, unclamped_bits: 9 }, whole);
        let values: Vec<i32> = [0, 7, 8, 503, 504, 2000, -520, -521, -3000].map(|acc| rounded.push(acc)).to_vec();
        assert_eq!(values, [0, 0, 1, 31, 31, 31, -32, -32, -32]);
        assert_eq!(rounded.unclamped, [0, 0, 1, 31, 32, 125, -32, -33, -187]);
        assert_eq!(rounded.clamped, 4);
    }

    #[test]
    fn only_the_highest_limb_is_clamped() {
        let above = HighestLimb::above(4, 3);
        assert_eq!([63, 64, 69, -64, -65, -90].map(|number| above.clamp(number).1), [63, 48, 53, -64, -49, -58]);
        let norm = Norm { limbs: 2, limb_bits: 6, highest_bits: 3, ..balanced() };
        let balanced = HighestLimb::of_norm(&norm);
        assert_eq!([223, 224, 230, -288, -289].map(|number| balanced.clamp(number).1), [223, 160, 166, -288, -225]);
    }

    fn balanced() -> Norm {
        Norm {
            limbs: 2,
            limb_bits: 6,
            highest_bits: 6,
            epsilon: 0,
            digits: 7,
            lowest: 6,
            constant: 1,
            shift: 1,
            fraction: 1,
            bits: 14,
        }
    }
}
