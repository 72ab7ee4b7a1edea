//! Output projections: what a block computed, in limbs, times a matrix, rounded to what the block adds to the stream.
//!
//! With `h = sum_i 2^(k i) h_i`, every limb is summed on its own, `S_i = sum h_i w`, and carries go up:
//! `S_i + c_(i-1) = 2^k c_i + r_i`. Each of these sums fits the field where that of `h` itself would not. Floors of floors are
//! floors, so with half of the divisor added on the way the result is the accumulator `sum h w`, rounded.

use super::builder::{Builder, at, contraction};
use super::two_limbs::TwoLimbs;
use crate::axis::AxisId;
use crate::description::{Branch, LowLimbs};
use crate::relation::{Access, Interval, Linear, TensorId};

/// A rounded accumulator, [`Branch`].
pub(super) struct BranchOutput {
    limbs: TwoLimbs,
    /// What the shift leaves of low sums, and its bits.
    kept: Option<(TensorId, u32)>,
    /// Of the sum of high limbs.
    top_shift: u32,
}

impl BranchOutput {
    /// `limbs` are those that the projection reads.
    pub(super) fn new(builder: &mut Builder, name: &str, axes: &[AxisId], format: Branch, limbs: LowLimbs) -> Self {
        let kept_bits = format.kept(limbs);
        let top_rounding = format.top_rounding(limbs);
        let bits = [format.low_bits, format.high_bits];
        Self {
            limbs: TwoLimbs::new(builder, name, axes, bits, top_rounding.unclamped_bits),
            kept: (kept_bits > 0).then(|| (builder.unsigned(&format!("{name}.rest"), axes, kept_bits), kept_bits)),
            top_shift: top_rounding.shift,
        }
    }

    /// The value as weighted accesses, highest limb first.
    pub(super) fn terms(&self, address: impl Fn(TensorId) -> Access) -> Vec<(i64, Access)> {
        let kept_bits = self.kept.map_or(0, |(_, bits)| bits);
        let high = self.limbs.terms(&address).into_iter().map(|(unit, limb)| (unit << kept_bits, limb));
        high.chain(self.kept.map(|(rest, _)| (1, address(rest)))).collect()
    }

    /// As [`BranchOutput::terms`], each limb addressed by its own axes.
    pub(super) fn at(&self, axes: &[AxisId]) -> Vec<(i64, Access)> {
        self.terms(|limb| at(limb, axes))
    }

    /// Of the part that is clamped, what it is before.
    pub(super) fn unclamped_at(&self, axes: &[AxisId]) -> Vec<(i64, Access)> {
        self.limbs.unclamped_at(axes)
    }

    /// The shift of the sum of high limbs.
    pub(super) fn top_shift(&self) -> u32 {
        self.top_shift
    }
}

/// What an output projection reads: low limbs, which are not negative, and the signed high one.
pub(super) struct InputLimbs {
    /// The lowest first.
    limbs: Vec<Access>,
    /// The high limb before it is clamped.
    unclamped: Access,
    pub(super) low: LowLimbs,
}

impl InputLimbs {
    /// The whole number before it is clamped, as weighted accesses, lowest limb first.
    pub(super) fn unclamped_terms(&self) -> Vec<(i64, Access)> {
        let (_, low) = self.limbs.split_last().expect("numbers have limbs");
        let limbs = low.iter().chain([&self.unclamped]).enumerate();
        limbs.map(|(place, limb)| (1 << (place as u32 * self.low.bits), limb.clone())).collect()
    }
}

/// Names of the limbs of numbers with `count` low ones, lowest first; a number of one limb has the bare name.
#[must_use]
pub fn input_limb_names(name: &str, count: u32) -> Vec<String> {
    match count {
        0 => vec![name.to_owned()],
        _ => (0..count).map(|place| format!("{name}.low_{place}")).chain([format!("{name}.high")]).collect(),
    }
}

/// What an output projection reads, and its matrix.
pub(super) struct OutputProjection {
    pub(super) input: InputLimbs,
    pub(super) weight: Access,
    /// Largest sum of absolute weights of a row.
    pub(super) mass: i64,
    pub(super) summed: Vec<AxisId>,
}

/// Bits of a carry from sums of low limbs, signed. A low limb is less than `2^k`, so a carry is at most the mass of a row.
#[must_use]
pub fn carry_bits_of(mass: i64) -> u32 {
    i64::BITS - mass.leading_zeros() + 1
}

impl Builder {
    /// Commit to signed numbers of `bits` bits in limbs; `unclamped_bits` are those of the high limb before it is clamped, 0
    /// where it is not.
    pub(super) fn limbs(
        &mut self,
        name: &str,
        axes: &[AxisId],
        (low, bits): (LowLimbs, u32),
        unclamped_bits: u32,
    ) -> InputLimbs {
        let names = input_limb_names(name, low.count);
        let (high, lows) = names.split_last().expect("numbers have limbs");
        let mut limbs: Vec<Access> = lows.iter().map(|name| at(self.unsigned(name, axes, low.bits), axes)).collect();
        let high = self.highest_limb((name, high), axes, Interval::signed(bits - low.total()), unclamped_bits);
        limbs.push(at(high.value, axes));
        InputLimbs { limbs, unclamped: at(high.unclamped, axes), low }
    }

    /// State that `output` is the rounded accumulator of `projection`.
    pub(super) fn output_projection(
        &mut self,
        name: &str,
        axes: &[AxisId],
        output: &BranchOutput,
        projection: &OutputProjection,
    ) {
        let OutputProjection { input, weight, mass, summed } = projection;
        let limbs = input.low;
        let (high, low) = input.limbs.split_last().expect("numbers have limbs");
        let mut carry: Vec<(i64, Access)> = Vec::new();
        for (place, limb) in low.iter().enumerate() {
            let carry_name = format!("{name}.carry_{place}");
            let carry_out = self.wide(&carry_name, axes, carry_bits_of(*mass), true);
            let mut terms: Vec<(i64, Access)> = carry.iter().map(|(unit, limb)| (-unit, limb.clone())).collect();
            terms.extend(carry_out.iter().map(|(unit, limb)| (unit << limbs.bits, limb.clone())));
            let is_last = place + 1 == low.len();
            let (kept, kept_bits) = match output.kept {
                Some((rest, bits)) if is_last => (Some(rest), bits),
                _ => (None, 0),
            };
            let cut = limbs.bits - kept_bits;
            terms.extend(kept.map(|rest| (1 << cut, at(rest, axes))));
            terms.push((1, at(self.unsigned(&format!("{carry_name}.remainder"), axes, cut), axes)));
            // Half of the divisor, where it does not reach the high limbs.
            let half = if is_last && output.top_shift == 0 { 1 << (cut - 1) } else { 0 };
            let sum = contraction(1, limb, weight);
            let relation = format!("{carry_name}: projection of low limbs");
            self.product(&relation, axes, Linear { terms, constant: -half }, vec![sum], summed);
            carry = carry_out;
        }
        let mut rounded = self.rounded(name, axes, output.top_shift, &output.unclamped_at(axes));
        rounded.terms.extend(carry.into_iter().map(|(unit, limb)| (-unit, limb)));
        self.product(&format!("{name}: projection"), axes, rounded, vec![contraction(1, high, weight)], summed);
    }
}
