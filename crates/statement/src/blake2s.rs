//! The compression function of BLAKE2s (RFC 7693, section 3.2) on bare states, of one message or of eight at once. Libraries
//! keep 112 bytes per unfinished hash and hide the state; trees need 32 bytes per row, and the transcript draws its
//! challenges from the state.

use wide::u32x8;

/// Messages that one call hashes: as many as a register of AVX2 holds words.
pub const LANES: usize = 8;
/// Words of a block.
pub const BLOCK: usize = 16;

/// A word of one message, or the same word of several messages side by side.
pub trait Word: Copy {
    /// The same value for all messages.
    fn repeated(value: u32) -> Self;
    /// Sum modulo `2^32`.
    fn plus(self, other: Self) -> Self;
    /// Exclusive or.
    fn xor(self, other: Self) -> Self;
    /// Rotation to the right.
    fn rotate<const BITS: u32>(self) -> Self;
}

/// The constants that a hash starts from: those of SHA-256.
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Order of the message's words in each round.
const ORDER: [[usize; BLOCK]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/// The state before the first block of a hash of 32 bytes with a personalisation and no key.
#[must_use]
pub const fn initial(personal: [u8; 8]) -> [u32; 8] {
    let mut state = START;
    state[0] ^= 0x0101_0020;
    state[6] ^= u32::from_le_bytes([personal[0], personal[1], personal[2], personal[3]]);
    state[7] ^= u32::from_le_bytes([personal[4], personal[5], personal[6], personal[7]]);
    state
}

impl Word for u32 {
    #[inline(always)]
    fn repeated(value: u32) -> Self {
        value
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }

    #[inline(always)]
    fn rotate<const BITS: u32>(self) -> Self {
        self.rotate_right(BITS)
    }
}

impl Word for u32x8 {
    #[inline(always)]
    fn repeated(value: u32) -> Self {
        Self::splat(value)
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }

    #[inline(always)]
    fn rotate<const BITS: u32>(self) -> Self {
        (self >> BITS) | (self << (32 - BITS))
    }
}

#[inline(always)]
fn mix<W: Word>([a, b, c, d]: [&mut W; 4], x: W, y: W) {
    *a = a.plus(*b).plus(x);
    *d = d.xor(*a).rotate::<16>();
    *c = c.plus(*d);
    *b = b.xor(*c).rotate::<12>();
    *a = a.plus(*b).plus(y);
    *d = d.xor(*a).rotate::<8>();
    *c = c.plus(*d);
    *b = b.xor(*c).rotate::<7>();
}

/// Absorb one block. `bytes` counts the message up to the end of this block, `last` says that nothing follows.
#[inline]
pub fn compress<W: Word>(state: &mut [W; 8], block: &[W; BLOCK], bytes: u64, last: bool) {
    let [mut v0, mut v1, mut v2, mut v3, mut v4, mut v5, mut v6, mut v7] = *state;
    let [mut v8, mut v9, mut v10, mut v11, mut v12, mut v13, mut v14, mut v15] = START.map(W::repeated);
    v12 = v12.xor(W::repeated(bytes as u32));
    v13 = v13.xor(W::repeated((bytes >> 32) as u32));
    if last {
        v14 = v14.xor(W::repeated(u32::MAX));
    }
    for order in &ORDER {
        let word = |position: usize| block[order[position]];
        mix([&mut v0, &mut v4, &mut v8, &mut v12], word(0), word(1));
        mix([&mut v1, &mut v5, &mut v9, &mut v13], word(2), word(3));
        mix([&mut v2, &mut v6, &mut v10, &mut v14], word(4), word(5));
        mix([&mut v3, &mut v7, &mut v11, &mut v15], word(6), word(7));
        mix([&mut v0, &mut v5, &mut v10, &mut v15], word(8), word(9));
        mix([&mut v1, &mut v6, &mut v11, &mut v12], word(10), word(11));
        mix([&mut v2, &mut v7, &mut v8, &mut v13], word(12), word(13));
        mix([&mut v3, &mut v4, &mut v9, &mut v14], word(14), word(15));
    }
    let lower = [v0, v1, v2, v3, v4, v5, v6, v7];
    let upper = [v8, v9, v10, v11, v12, v13, v14, v15];
    for (word, (low, high)) in state.iter_mut().zip(lower.into_iter().zip(upper)) {
        *word = word.xor(low).xor(high);
    }
}

/// The hash of a message of whole words that begins at `state`: all of it, padded with zeros to whole blocks.
#[must_use]
pub fn hash_words(mut state: [u32; 8], words: impl IntoIterator<Item = u32>) -> [u32; 8] {
    let mut block = [0; BLOCK];
    let mut filled = 0;
    let mut bytes = 0;
    for word in words {
        if filled == BLOCK {
            compress(&mut state, &block, bytes, false);
            block = [0; BLOCK];
            filled = 0;
        }
        block[filled] = word;
        filled += 1;
        bytes += 4;
    }
    compress(&mut state, &block, bytes, true);
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(count: usize, seed: u32) -> Vec<u32> {
        (0..count as u32).map(|index| (index + seed).wrapping_mul(0x9e37_79b9)).collect()
    }

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn hashes_are_those_of_an_independent_implementation() {
        for count in [0, 1, 14, 15, 16, 17, 32, 33, 64, 256] {
            let message = words(count, 7);
            let expected = blake2s_simd::Params::new().hash_length(32).personal(b"12345678").hash(&bytes(&message));
            let own = hash_words(initial(*b"12345678"), message);
            assert_eq!(bytes(&own), expected.as_bytes(), "{count} words");
        }
    }

    #[test]
    fn every_lane_is_hashed_as_if_it_were_alone() {
        let messages: Vec<Vec<u32>> = (0..LANES as u32).map(|lane| words(2 * BLOCK, 100 * lane)).collect();
        let mut states = initial([0; 8]).map(u32x8::repeated);
        for (position, last) in [(0, false), (1, true)] {
            let block = std::array::from_fn(|word| {
                u32x8::from(std::array::from_fn::<u32, LANES, _>(|lane| messages[lane][position * BLOCK + word]))
            });
            compress(&mut states, &block, 64 * (position as u64 + 1), last);
        }
        for (lane, message) in messages.iter().enumerate() {
            let alone = hash_words(initial([0; 8]), message.iter().copied());
            assert_eq!(states.map(|word| word.to_array()[lane]), alone);
        }
    }
}
