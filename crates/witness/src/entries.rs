//! Entries of a weight tensor, in as few bytes as their bound allows.

use std::collections::BTreeMap;
use std::ops::Range;

/// Entries of weight tensors by name, in storage order.
pub type Weights = BTreeMap<String, Entries>;

/// Signed integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entries {
    /// Of 16 bits.
    I16(Vec<i16>),
    /// Of 32 bits.
    I32(Vec<i32>),
}

/// Some entries of a tensor.
#[derive(Clone, Copy, Debug)]
pub enum EntriesRef<'a> {
    /// Of 16 bits.
    I16(&'a [i16]),
    /// Of 32 bits.
    I32(&'a [i32]),
}

impl Entries {
    /// No entries yet, none of which will exceed `magnitude`.
    #[must_use]
    pub fn within(magnitude: i64) -> Self {
        if magnitude <= i64::from(i16::MAX) { Self::I16(Vec::new()) } else { Self::I32(Vec::new()) }
    }

    /// Append entries.
    ///
    /// # Panics
    /// If one exceeds the magnitude that was stated.
    pub fn extend_from_slice(&mut self, entries: &[i32]) {
        let narrow = |&entry: &i32| i16::try_from(entry).expect("entries stay within their bound");
        match self {
            Self::I16(own) => own.extend(entries.iter().map(narrow)),
            Self::I32(own) => own.extend_from_slice(entries),
        }
    }

    /// All of them.
    #[must_use]
    pub fn as_ref(&self) -> EntriesRef<'_> {
        match self {
            Self::I16(entries) => EntriesRef::I16(entries),
            Self::I32(entries) => EntriesRef::I32(entries),
        }
    }

    /// Their number.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_ref().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, place: usize) -> i32 {
        self.as_ref().get(place)
    }

    /// Change one of them.
    ///
    /// # Panics
    /// If the value needs more bits than the entries have.
    pub fn set(&mut self, place: usize, value: i32) {
        match self {
            Self::I16(entries) => entries[place] = i16::try_from(value).expect("an entry of 16 bits"),
            Self::I32(entries) => entries[place] = value,
        }
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = i32> + '_ {
        self.as_ref().iter()
    }
}

impl<'a> EntriesRef<'a> {
    /// Their number.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Self::I16(entries) => entries.len(),
            Self::I32(entries) => entries.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// One of them.
    #[must_use]
    pub fn get(self, place: usize) -> i32 {
        match self {
            Self::I16(entries) => entries[place].into(),
            Self::I32(entries) => entries[place],
        }
    }

    /// Some of them.
    #[must_use]
    pub fn slice(self, range: Range<usize>) -> Self {
        match self {
            Self::I16(entries) => Self::I16(&entries[range]),
            Self::I32(entries) => Self::I32(&entries[range]),
        }
    }

    /// In order.
    pub fn iter(self) -> impl Iterator<Item = i32> + 'a {
        (0..self.len()).map(move |place| self.get(place))
    }
}
