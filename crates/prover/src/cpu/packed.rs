//! Challenges side by side: a register for each coefficient.

use obelysk_statement::{Challenge, Value};
use p3_field::{PackedFieldExtension, PackedValue as _};

use super::{PackedChallenge, PackedValue};

/// Side by side, as many as a register holds at a time.
pub(super) fn pack(values: &[Challenge]) -> Vec<PackedChallenge> {
    values.chunks_exact(PackedValue::WIDTH).map(PackedChallenge::from_ext_slice).collect()
}

/// One by one.
pub(super) fn unpack(values: &[PackedChallenge]) -> Vec<Challenge> {
    <PackedChallenge as PackedFieldExtension<Value, Challenge>>::to_ext_iter(values.iter().copied()).collect()
}
