//! Numbers that are too wide for one range check.

use super::builder::{Builder, at};
use super::rounding::HighestLimb;
use crate::axis::AxisId;
use crate::relation::{Access, Interval, TensorId};

/// Bits of the low limb of a number that is too wide for one range check.
pub const LIMB_BITS: u32 = 16;
/// Bits of the widest range check: a table of `2^18` rows is small beside the cells that a second limb would take.
pub const RANGE_BITS: u32 = 18;

impl Builder {
    /// A number of `bits` bits as weighted limbs, lowest first: one, or 16 low bits and the rest.
    pub(super) fn wide(&mut self, name: &str, axes: &[AxisId], bits: u32, signed: bool) -> Vec<(i64, Access)> {
        let mut checked = |name: &str, bits: u32, signed: bool| {
            let tensor = if signed { self.signed(name, axes, bits) } else { self.unsigned(name, axes, bits) };
            at(tensor, axes)
        };
        if bits <= RANGE_BITS {
            return vec![(1, checked(name, bits, signed))];
        }
        let low = checked(&format!("{name}.low"), LIMB_BITS, false);
        vec![(1, low), (1 << LIMB_BITS, checked(&format!("{name}.high"), bits - LIMB_BITS, signed))]
    }
}

/// A tensor `2^low_bits high + low`: the low limb is not negative, the high limb has the sign.
pub(super) struct TwoLimbs {
    low: TensorId,
    high: HighestLimb,
    low_bits: u32,
}

impl TwoLimbs {
    /// `unclamped_bits` are those of the high limb before it is clamped, 0 where it is not.
    pub(super) fn new(
        builder: &mut Builder,
        name: &str,
        axes: &[AxisId],
        [low_bits, high_bits]: [u32; 2],
        unclamped_bits: u32,
    ) -> Self {
        let low = builder.unsigned(&format!("{name}.low"), axes, low_bits);
        let range = Interval::signed(high_bits);
        let high = builder.highest_limb((name, &format!("{name}.high")), axes, range, unclamped_bits);
        Self { low, high, low_bits }
    }

    /// The value as weighted accesses, high limb first.
    pub(super) fn terms(&self, address: impl Fn(TensorId) -> Access) -> Vec<(i64, Access)> {
        vec![(1 << self.low_bits, address(self.high.value)), (1, address(self.low))]
    }

    /// As [`TwoLimbs::terms`], each limb addressed by its own axes.
    pub(super) fn at(&self, axes: &[AxisId]) -> Vec<(i64, Access)> {
        self.terms(|limb| at(limb, axes))
    }

    /// What it is before it is clamped.
    pub(super) fn unclamped_at(&self, axes: &[AxisId]) -> Vec<(i64, Access)> {
        vec![(1 << self.low_bits, at(self.high.unclamped, axes)), (1, at(self.low, axes))]
    }
}
