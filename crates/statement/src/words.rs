//! Field elements as 32-bit words: the only form in which they are hashed and sent.

use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, PrimeField32};

use crate::{Challenge, MODULUS, Value};

/// Words of a challenge.
pub const CHALLENGE_WORDS: usize = 4;

/// The word of an element of the base field, below the modulus.
#[must_use]
pub fn word(value: Value) -> u32 {
    value.as_canonical_u32()
}

/// The words of a challenge: its coordinates in the basis `1, i, u, iu`.
#[must_use]
pub fn words(challenge: Challenge) -> [u32; CHALLENGE_WORDS] {
    let coordinates: &[Value] = challenge.as_basis_coefficients_slice();
    std::array::from_fn(|index| word(coordinates[index]))
}

/// The words of several challenges, one after the other.
#[must_use]
pub fn words_of(challenges: &[Challenge]) -> Vec<u32> {
    challenges.iter().flat_map(|&challenge| words(challenge)).collect()
}

/// The element of a word; `None` for the modulus and above.
#[must_use]
pub fn value(word: u32) -> Option<Value> {
    (i64::from(word) < MODULUS).then(|| Value::from_u32(word))
}

/// The challenge of four words; `None` if one of them is not below the modulus.
#[must_use]
pub fn challenge(words: [u32; CHALLENGE_WORDS]) -> Option<Challenge> {
    let mut coordinates = [Value::ZERO; CHALLENGE_WORDS];
    for (coordinate, word) in coordinates.iter_mut().zip(words) {
        *coordinate = value(word)?;
    }
    Challenge::from_basis_coefficients_slice(&coordinates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_has_one_word_only() {
        let modulus = u32::try_from(MODULUS).unwrap();
        assert_eq!(value(modulus - 1).map(word), Some(modulus - 1));
        assert_eq!(value(modulus), None);
        assert_eq!(value(u32::MAX), None);
        assert_eq!(challenge([1, 2, 3, modulus]), None);
        assert_eq!(challenge([1, 2, 3, 4]).map(words), Some([1, 2, 3, 4]));
        assert_eq!(word(-Value::ZERO), 0);
    }
}
