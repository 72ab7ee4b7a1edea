//! Merkle trees of specification 2: digests of 224 bits, seven words, so that one of them is one field element of a
//! contract.

use crate::blake2s::{hash_words, initial};

/// Words of a digest.
pub const DIGEST_WORDS: usize = 7;
/// State before the first block of a leaf.
pub const LEAF: [u32; 8] = initial(*b"obelleaf");
/// State before the one block of a node.
pub const NODE: [u32; 8] = initial(*b"obelnode");
/// Bytes of a node's message.
pub const NODE_BYTES: u64 = 8 * DIGEST_WORDS as u64;

/// The digest of a leaf or node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Digest(pub [u32; DIGEST_WORDS]);

impl Digest {
    /// The first seven words of a finished hash.
    #[must_use]
    pub fn of_state(state: [u32; 8]) -> Self {
        Self(std::array::from_fn(|index| state[index]))
    }

    /// The digest of a row of a codeword.
    #[must_use]
    pub fn of_row(row: impl IntoIterator<Item = u32>) -> Self {
        Self::of_state(hash_words(LEAF, row))
    }

    /// The digest of two digests.
    #[must_use]
    pub fn of_children(left: Self, right: Self) -> Self {
        Self::of_state(hash_words(NODE, left.0.into_iter().chain(right.0)))
    }

    /// Its bytes, each word little endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 4 * DIGEST_WORDS] {
        std::array::from_fn(|index| self.0[index / 4].to_le_bytes()[index % 4])
    }

    /// The digest of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 4 * DIGEST_WORDS]) -> Self {
        Self(std::array::from_fn(|index| u32::from_le_bytes(std::array::from_fn(|byte| bytes[4 * index + byte]))))
    }
}

/// A node by its level, leaves being level 0, and its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Levels above the leaves.
    pub level: usize,
    /// Index from the left.
    pub index: usize,
}

/// The nodes that the root follows from besides the leaves at `positions`, in the order of a proof: level by level from
/// the leaves, each from left to right. Positions are sorted and distinct.
#[must_use]
pub fn siblings(positions: &[usize], depth: usize) -> Vec<Place> {
    let mut missing = Vec::new();
    let mut known = positions.to_vec();
    for level in 0..depth {
        let mut above = Vec::with_capacity(known.len());
        let mut rest = known.as_slice();
        while let [index, tail @ ..] = rest {
            let paired = index % 2 == 0 && tail.first() == Some(&(index + 1));
            if !paired {
                missing.push(Place { level, index: index ^ 1 });
            }
            above.push(index / 2);
            rest = if paired { &tail[1..] } else { tail };
        }
        known = above;
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_and_nodes_are_hashed_by_standard_blake2s_with_their_own_personalisation() {
        let row = [7u32; 14];
        let bytes: Vec<u8> = row.iter().flat_map(|word| word.to_le_bytes()).collect();
        let expected = |personal: &[u8; 8]| {
            let hash = blake2s_simd::Params::new().hash_length(32).personal(personal).hash(&bytes);
            hash.as_bytes()[..28].to_vec()
        };
        let leaf = Digest::of_row(row);
        let node = Digest::of_children(Digest([7; 7]), Digest([7; 7]));
        assert_eq!(leaf.to_bytes().as_slice(), expected(b"obelleaf"));
        assert_eq!(node.to_bytes().as_slice(), expected(b"obelnode"));
        assert_eq!(Digest::from_bytes(leaf.to_bytes()), leaf);
    }

    #[test]
    fn a_sibling_is_missing_only_where_no_position_lies_below_it() {
        let place = |level, index| Place { level, index };
        assert_eq!(siblings(&[2, 3, 4], 3), [place(0, 5), place(1, 0), place(1, 3)]);
        assert_eq!(siblings(&(0..8).collect::<Vec<_>>(), 3), []);
        assert_eq!(siblings(&[5], 3), [place(0, 4), place(1, 3), place(2, 0)]);
        assert_eq!(siblings(&[0], 0), []);
    }
}
