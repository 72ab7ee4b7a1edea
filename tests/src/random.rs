//! Numbers that follow from a seed.

use obelysk_statement::{Challenge, Value};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};

/// A linear congruential generator: the same numbers everywhere.
pub struct Random(u64);

impl Random {
    /// Numbers of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 32 bits.
    pub fn word(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// Challenges.
    pub fn challenges(&mut self, count: usize) -> Vec<Challenge> {
        (0..count).map(|_| Challenge::from_basis_coefficients_fn(|_| Value::from_u32(self.word() >> 1))).collect()
    }
}
