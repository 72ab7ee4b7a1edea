//! Inputs of tests: from a seed, and full of the words at which arithmetic goes wrong.

use obelysk_kernels::Extension;
use obelysk_statement::words::challenge;
use obelysk_statement::{Challenge, MODULUS};
use p3_field::PrimeCharacteristicRing;

/// A generator (splitmix64) whose seed is in every message of a failure.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Self(seed)
    }

    pub fn word(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as u32
    }

    /// The word of an element of the base field, at the edge every other time.
    pub fn below_modulus(&mut self) -> u32 {
        let modulus = MODULUS as u32;
        match self.word() % 12 {
            0 => 0,
            1 => 1,
            2 => modulus - 1,
            3 => modulus - 2,
            4 => 1 << 30,
            5 => 1 << 16,
            _ => self.word() % modulus,
        }
    }

    /// An element of the extension, zero one time in eight.
    pub fn element(&mut self) -> Challenge {
        if self.word().is_multiple_of(8) {
            return Challenge::ZERO;
        }
        challenge(std::array::from_fn(|_| self.below_modulus())).unwrap()
    }

    pub fn elements(&mut self, count: usize) -> Vec<Challenge> {
        (0..count).map(|_| self.element()).collect()
    }

    pub fn words(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.below_modulus()).collect()
    }
}

pub fn to_device(elements: &[Challenge]) -> Vec<Extension> {
    elements.iter().map(|&element| element.into()).collect()
}
