//! Reads the words of a proof: never more than there are, and no word that has another spelling.

use obelysk_statement::tree::{DIGEST_WORDS, Digest};
use obelysk_statement::words::{self, CHALLENGE_WORDS};
use obelysk_statement::{Challenge, Value};

/// Bytes that no proof has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Too few.
    #[error("the proof ends {missing} bytes too early")]
    Short {
        /// How many are missing for the next message.
        missing: usize,
    },
    /// A word that is no element of the field.
    #[error("the proof holds the word {word}, which is not below the field's modulus")]
    Word {
        /// The word.
        word: u32,
    },
    /// Too many.
    #[error("{bytes} bytes of the proof are left over")]
    Long {
        /// How many.
        bytes: usize,
    },
}

/// The bytes of a proof that were not read yet.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Read these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// # Errors
    /// If something is left.
    pub fn finish(self) -> Result<(), Unreadable> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Unreadable::Long { bytes: self.bytes.len() }) }
    }

    /// # Errors
    /// If the bytes end before.
    fn words(&mut self, count: usize) -> Result<impl Iterator<Item = u32> + use<'a>, Unreadable> {
        let wanted = 4 * count;
        let Some((own, rest)) = self.bytes.split_at_checked(wanted) else {
            return Err(Unreadable::Short { missing: wanted - self.bytes.len() });
        };
        self.bytes = rest;
        Ok(own.chunks_exact(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])))
    }

    fn array<const N: usize>(&mut self) -> Result<[u32; N], Unreadable> {
        let mut words = self.words(N)?;
        Ok(std::array::from_fn(|_| words.next().unwrap_or_default()))
    }

    /// Any word.
    ///
    /// # Errors
    /// If there is none.
    pub fn word(&mut self) -> Result<u32, Unreadable> {
        self.array().map(|[word]| word)
    }

    /// An element of the base field.
    ///
    /// # Errors
    /// If there is none.
    pub fn value(&mut self) -> Result<Value, Unreadable> {
        let [word] = self.array()?;
        words::value(word).ok_or(Unreadable::Word { word })
    }

    /// Elements of the base field.
    ///
    /// # Errors
    /// If there are not as many.
    pub fn values(&mut self, count: usize) -> Result<Vec<Value>, Unreadable> {
        self.words(count)?.map(|word| words::value(word).ok_or(Unreadable::Word { word })).collect()
    }

    /// A challenge.
    ///
    /// # Errors
    /// If there is none.
    pub fn challenge(&mut self) -> Result<Challenge, Unreadable> {
        let own: [u32; CHALLENGE_WORDS] = self.array()?;
        let wrong = own.into_iter().find(|&word| words::value(word).is_none());
        words::challenge(own).ok_or(Unreadable::Word { word: wrong.unwrap_or_default() })
    }

    /// Challenges.
    ///
    /// # Errors
    /// If there are not as many.
    pub fn challenges(&mut self, count: usize) -> Result<Vec<Challenge>, Unreadable> {
        let missing = (4 * CHALLENGE_WORDS * count).saturating_sub(self.bytes.len());
        if missing > 0 {
            return Err(Unreadable::Short { missing });
        }
        (0..count).map(|_| self.challenge()).collect()
    }

    /// A digest, whose words may be any.
    ///
    /// # Errors
    /// If there is none.
    pub fn digest(&mut self) -> Result<Digest, Unreadable> {
        self.array().map(Digest)
    }

    /// Digests.
    ///
    /// # Errors
    /// If there are not as many.
    pub fn digests(&mut self, count: usize) -> Result<Vec<Digest>, Unreadable> {
        let missing = (4 * DIGEST_WORDS * count).saturating_sub(self.bytes.len());
        if missing > 0 {
            return Err(Unreadable::Short { missing });
        }
        (0..count).map(|_| self.digest()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_words_and_only_as_many_as_there_are_can_be_read() {
        let modulus = i32::MAX.to_le_bytes();
        let bytes = [[1, 0, 0, 0], [2, 0, 0, 0], [3, 0, 0, 0], modulus].concat();
        assert_eq!(Reader::new(&bytes).challenge(), Err(Unreadable::Word { word: u32::MAX >> 1 }));
        assert_eq!(Reader::new(&bytes).values(4), Err(Unreadable::Word { word: u32::MAX >> 1 }));
        assert!(Reader::new(&bytes).values(3).is_ok());
        assert_eq!(Reader::new(&bytes).values(5), Err(Unreadable::Short { missing: 4 }));
        assert_eq!(Reader::new(&bytes).digests(1 << 40), Err(Unreadable::Short { missing: (28 << 40) - 16 }));
        assert_eq!(Reader::new(&bytes).challenges(2), Err(Unreadable::Short { missing: 16 }));
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.value(), Ok(Value::new(1)));
        assert_eq!(reader.finish(), Err(Unreadable::Long { bytes: 12 }));
    }
}
