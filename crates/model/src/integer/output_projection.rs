//! Output projections: the compiler's file of the same name explains the arithmetic.

use obelysk_statement::compile::{carry_bits_of, input_limb_names};
use obelysk_statement::description::{Branch, LowLimbs};

use super::IntegerModel;
use super::linear::{Matrix, two_limbs};
use super::record::Recorder;
use super::rounding::{HighestLimb, Rounded};

/// A matrix, and the limbs of what it reads.
pub(super) struct OutputProjection<'a> {
    /// Name of what it reads.
    pub(super) input: &'a str,
    pub(super) limbs: LowLimbs,
    pub(super) matrix: Matrix<'a>,
}

impl OutputProjection<'_> {
    /// The rounded accumulators of `input`, whose limbs are recorded, shape [rows, channels]; `mass` bounds the sum of absolute
    /// weights of a row.
    pub(super) fn apply(
        &self,
        model: &IntegerModel,
        name: &str,
        input: &[i32],
        format: &Branch,
        mass: i64,
        recorder: &mut Recorder,
    ) -> Vec<i32> {
        let LowLimbs { count, bits } = self.limbs;
        let kept_bits = format.kept(self.limbs);
        let top = format.top_rounding(self.limbs);
        let names = input_limb_names(self.input, count);
        let mut high = input.to_vec();
        let mut carry = vec![0i64; input.len() / self.matrix.width * self.matrix.channels];
        let mut rest = Vec::new();
        for place in 0..count {
            let [low, higher] = two_limbs(&high, bits);
            high = higher;
            recorder.record(&names[place as usize], &low);
            let is_last = place + 1 == count;
            let kept_bits = if is_last { kept_bits } else { 0 };
            let cut = bits - kept_bits;
            let half = if is_last && top.shift == 0 { 1 << (cut - 1) } else { 0 };
            let sums = model.project(&low, self.matrix);
            let mut remainder = Vec::with_capacity(sums.len());
            for (carry, sum) in carry.iter_mut().zip(sums) {
                let sum = i64::from(sum) + *carry + half;
                *carry = sum >> bits;
                let below = (sum - (*carry << bits)) as i32;
                remainder.push(below & ((1 << cut) - 1));
                if kept_bits > 0 {
                    rest.push(below >> cut);
                }
            }
            recorder.record_wide(&format!("{name}.carry_{place}"), &carry, carry_bits_of(mass));
            recorder.record(&format!("{name}.carry_{place}.remainder"), &remainder);
        }
        recorder.record(&names[count as usize], &high);
        if kept_bits > 0 {
            recorder.record(&format!("{name}.rest"), &rest);
        }
        let mut rounded = Rounded::new(top, HighestLimb::above(format.low_bits, format.high_bits));
        let sums = model.project(&high, self.matrix);
        for (sum, carry) in sums.into_iter().zip(carry) {
            rounded.push(i64::from(sum) + carry);
        }
        let value = rounded.record(name, recorder);
        recorder.record_limbs(name, &value, format.low_bits);
        match kept_bits {
            0 => value,
            _ => value.into_iter().zip(rest).map(|(value, rest)| (value << kept_bits) + rest).collect(),
        }
    }
}
