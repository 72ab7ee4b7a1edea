//! The messages of an opening and their one encoding: words in order of use, without lengths.

use obelysk_statement::tree::Digest;
use obelysk_statement::words::{word, words_of};
use obelysk_statement::{Challenge, Value};

/// A round of a sumcheck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Constant and square coefficient.
    pub coefficients: [Challenge; 2],
    /// Proof of work, where the plan asks for one.
    pub work: Option<u32>,
}

/// Queried rows of a codeword.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Proof of work, where the plan asks for one.
    pub work: Option<u32>,
    /// Their entries in order of the positions, coordinates of challenges one after the other.
    pub entries: Vec<Value>,
    /// Nodes that lead to the root.
    pub siblings: Vec<Digest>,
}

/// All messages of an opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Folds of each codeword's polynomial.
    pub folds: Vec<Vec<Fold>>,
    /// Roots of the codewords after the first.
    pub roots: Vec<Digest>,
    /// Rows of each codeword.
    pub rows: Vec<Rows>,
    /// The polynomial that is left.
    pub last: Vec<Challenge>,
    /// Its folds.
    pub last_folds: Vec<Fold>,
}

impl Opening {
    /// The words in order.
    #[must_use]
    pub fn words(&self) -> Vec<u32> {
        let mut words = Vec::new();
        for (index, folds) in self.folds.iter().enumerate() {
            if let Some(before) = index.checked_sub(1) {
                words.extend(self.roots[before].0);
                self.rows[before].append(&mut words);
            }
            folds.iter().for_each(|fold| fold.append(&mut words));
        }
        words.extend(words_of(&self.last));
        if let Some(rows) = self.rows.last() {
            rows.append(&mut words);
        }
        self.last_folds.iter().for_each(|fold| fold.append(&mut words));
        words
    }

    /// The bytes of the words, little endian.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.words().into_iter().flat_map(u32::to_le_bytes).collect()
    }
}

impl Fold {
    fn append(&self, words: &mut Vec<u32>) {
        words.extend(words_of(&self.coefficients));
        words.extend(self.work);
    }
}

impl Rows {
    fn append(&self, words: &mut Vec<u32>) {
        words.extend(self.work);
        words.extend(self.entries.iter().map(|&entry| word(entry)));
        words.extend(self.siblings.iter().flat_map(|sibling| sibling.0));
    }
}
