//! Field elements and challenges side by side, as many as a register holds; of challenges, a register for each coefficient.

use obelysk_statement::{Challenge, Value};
use p3_field::{BasedVectorSpace, ExtensionField, Field, PackedFieldExtension, PackedValue as _};

/// Field elements side by side in one register.
pub(crate) type PackedValue = <Value as Field>::Packing;
/// As many challenges.
pub(crate) type PackedChallenge = <Challenge as ExtensionField<Value>>::ExtensionPacking;

/// Side by side, as many as a register holds at a time.
pub(crate) fn pack(values: &[Challenge]) -> Vec<PackedChallenge> {
    values.chunks_exact(PackedValue::WIDTH).map(PackedChallenge::from_ext_slice).collect()
}

/// One by one.
pub(crate) fn unpack(values: &[PackedChallenge]) -> Vec<Challenge> {
    <PackedChallenge as PackedFieldExtension<Value, Challenge>>::to_ext_iter(values.iter().copied()).collect()
}

/// The sum of what lies side by side.
pub(crate) fn total(sum: PackedChallenge) -> Challenge {
    let lanes: &[PackedValue] = sum.as_basis_coefficients_slice();
    Challenge::from_basis_coefficients_fn(|coordinate| lanes[coordinate].as_slice().iter().copied().sum::<Value>())
}
