//! Numbers that are too wide for one range check.

use super::builder::{Builder, at};
use crate::axis::AxisId;
use crate::relation::{Access, Interval, TensorId};

/// A tensor `2^low_bits high + low`: the low limb is not negative, the high limb has the sign.
pub(super) struct TwoLimbs {
    low: TensorId,
    high: TensorId,
    low_bits: u32,
    high_bits: u32,
}

impl TwoLimbs {
    pub(super) fn new(builder: &mut Builder, name: &str, axes: &[AxisId], [low_bits, high_bits]: [u32; 2]) -> Self {
        Self {
            low: builder.unsigned(&format!("{name}.low"), axes, low_bits),
            high: builder.signed(&format!("{name}.high"), axes, high_bits),
            low_bits,
            high_bits,
        }
    }

    /// The value as weighted accesses, high limb first.
    pub(super) fn terms(&self, address: impl Fn(TensorId) -> Access) -> Vec<(i64, Access)> {
        vec![(1 << self.low_bits, address(self.high)), (1, address(self.low))]
    }

    /// As [`TwoLimbs::terms`], each limb addressed by its own axes.
    pub(super) fn at(&self, axes: &[AxisId]) -> Vec<(i64, Access)> {
        self.terms(|limb| at(limb, axes))
    }

    pub(super) fn range(&self) -> Interval {
        Interval::signed(self.low_bits + self.high_bits)
    }
}
