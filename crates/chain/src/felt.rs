//! Elements of the chain's field as calldata has them, and how words are packed into them. No arithmetic: packed values are below
//! `2^248`, far below the modulus.

use std::fmt;

use obelysk_statement::tree::Digest;

/// Words of 31 bits in a felt.
pub const WORDS: usize = 8;
/// Words of 32 bits in a felt: those of a digest.
pub const WIDE_WORDS: usize = 7;
/// Entries of 16 bits in a felt.
pub const ENTRIES: usize = 15;

/// An integer below `2^248`, the lowest byte first.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Felt([u8; 32]);

impl Felt {
    /// Numbers of `bits` bits side by side, the first lowest.
    ///
    /// # Panics
    /// If they have more than 248 bits in all, or one of them has more than `bits`.
    #[must_use]
    pub fn packed(numbers: &[u32], bits: usize) -> Self {
        assert!(numbers.len() * bits <= 248, "a felt holds 248 bits");
        let mut bytes = [0; 32];
        for (place, &number) in numbers.iter().enumerate() {
            assert!(u64::from(number) < 1 << bits, "{number} has more than {bits} bits");
            for bit in (0..bits).filter(|bit| number >> bit & 1 == 1) {
                let position = place * bits + bit;
                bytes[position / 8] |= 1 << (position % 8);
            }
        }
        Self(bytes)
    }

    /// Its bytes, the lowest first.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

impl From<u64> for Felt {
    fn from(number: u64) -> Self {
        Self::packed(&[number as u32, (number >> 32) as u32], 32)
    }
}

impl From<Digest> for Felt {
    fn from(digest: Digest) -> Self {
        Self::packed(&digest.0, 32)
    }
}

impl fmt::Display for Felt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex: String = self.0.iter().rev().map(|byte| format!("{byte:02x}")).collect();
        let digits = hex.trim_start_matches('0');
        write!(formatter, "0x{}", if digits.is_empty() { "0" } else { digits })
    }
}

impl fmt::Debug for Felt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Words of 31 bits, eight a felt.
pub fn words(words: &[u32]) -> impl Iterator<Item = Felt> {
    words.chunks(WORDS).map(|own| Felt::packed(own, 31))
}

/// Words of 32 bits, seven a felt.
pub fn wide_words(words: &[u32]) -> impl Iterator<Item = Felt> {
    words.chunks(WIDE_WORDS).map(|own| Felt::packed(own, 32))
}

/// Entries of 16 bits, fifteen a felt.
pub fn entries(entries: &[u16]) -> impl Iterator<Item = Felt> {
    let chunks = entries.chunks(ENTRIES);
    chunks.map(|own| Felt::packed(&own.iter().map(|&entry| entry.into()).collect::<Vec<u32>>(), 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_side_by_side_the_first_lowest() {
        assert_eq!(Felt::packed(&[1, 2, 3], 16).to_string(), "0x300020001");
        assert_eq!(Felt::packed(&[(1 << 31) - 1, 1], 31).to_string(), "0xffffffff");
        assert_eq!(Felt::from(Digest([1, 0, 0, 0, 0, 0, 0x8000_0000])).to_string(), format!("0x8{}1", "0".repeat(54)));
        assert_eq!(Felt::from(u64::MAX).to_string(), "0xffffffffffffffff");
        assert_eq!(Felt::default().to_string(), "0x0");
    }

    #[test]
    #[should_panic(expected = "has more than 31 bits")]
    fn a_word_that_does_not_fit_is_no_felt() {
        let _ = Felt::packed(&[1 << 31], 31);
    }
}
