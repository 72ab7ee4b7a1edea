//! Entries of a weight tensor, in as few bytes as their bound allows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::stored::{Stored, Unreadable, WeightsFile};

/// Entries of weight tensors by name, in storage order.
pub type Weights = BTreeMap<String, Entries>;

/// Signed integers.
#[derive(Clone, Debug)]
pub enum Entries {
    /// Of 16 bits.
    I16(Vec<i16>),
    /// Of 32 bits.
    I32(Vec<i32>),
    /// In a file.
    Stored {
        /// The file, which all tensors share.
        file: Arc<WeightsFile>,
        /// Where the first of them lies, in bytes.
        offset: u64,
        /// Their number.
        length: usize,
        /// Whether they have 32 bits, not 16.
        is_wide: bool,
    },
}

/// Some entries of a tensor.
#[derive(Clone, Copy, Debug)]
pub enum EntriesRef<'a> {
    /// Of 16 bits.
    I16(&'a [i16]),
    /// Of 32 bits.
    I32(&'a [i32]),
    /// In a file.
    Stored(Stored<'a>),
}

/// Some entries of a tensor, in memory.
#[derive(Clone, Debug)]
pub enum Loaded<'a> {
    /// Of 16 bits.
    I16(Cow<'a, [i16]>),
    /// Of 32 bits.
    I32(Cow<'a, [i32]>),
}

/// Why entries of weights could not be read so far, or are others by now.
#[must_use]
pub fn unreadable(weights: &Weights) -> Option<Unreadable> {
    weights.values().find_map(|entries| match entries {
        Entries::Stored { file, .. } => file.failure(),
        Entries::I16(_) | Entries::I32(_) => None,
    })
}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Entries {}

impl Entries {
    /// No entries yet, none of which will exceed `magnitude`.
    #[must_use]
    pub fn within(magnitude: i64) -> Self {
        if magnitude <= i64::from(i16::MAX) { Self::I16(Vec::new()) } else { Self::I32(Vec::new()) }
    }

    /// Take them into memory, to be changed.
    fn load(&mut self) {
        if let Self::Stored { .. } = self {
            *self = match self.as_ref().load() {
                Loaded::I16(entries) => Self::I16(entries.into_owned()),
                Loaded::I32(entries) => Self::I32(entries.into_owned()),
            };
        }
    }

    /// Append entries.
    ///
    /// # Panics
    /// If one exceeds the magnitude that was stated.
    pub fn extend_from_slice(&mut self, entries: &[i32]) {
        let narrow = |&entry: &i32| i16::try_from(entry).expect("entries stay within their bound");
        self.load();
        match self {
            Self::I16(own) => own.extend(entries.iter().map(narrow)),
            Self::I32(own) => own.extend_from_slice(entries),
            Self::Stored { .. } => unreachable!("they were taken into memory"),
        }
    }

    /// All of them.
    #[must_use]
    pub fn as_ref(&self) -> EntriesRef<'_> {
        match self {
            Self::I16(entries) => EntriesRef::I16(entries),
            Self::I32(entries) => EntriesRef::I32(entries),
            Self::Stored { file, offset, length, is_wide } => {
                EntriesRef::Stored(Stored { file, offset: *offset, length: *length, is_wide: *is_wide })
            }
        }
    }

    /// Their number.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_ref().len()
    }

    /// Bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let is_wide = matches!(self, Self::I32(_) | Self::Stored { is_wide: true, .. });
        self.len() * if is_wide { size_of::<i32>() } else { size_of::<i16>() }
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
        self.load();
        match self {
            Self::I16(entries) => entries[place] = i16::try_from(value).expect("an entry of 16 bits"),
            Self::I32(entries) => entries[place] = value,
            Self::Stored { .. } => unreachable!("they were taken into memory"),
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
            Self::Stored(entries) => entries.length,
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
        self.slice(place..place + 1).load().get(0)
    }

    /// All of them, in memory.
    #[must_use]
    pub fn load(self) -> Loaded<'a> {
        match self {
            Self::I16(entries) => Loaded::I16(Cow::Borrowed(entries)),
            Self::I32(entries) => Loaded::I32(Cow::Borrowed(entries)),
            Self::Stored(entries) if entries.is_wide => Loaded::I32(Cow::Owned(entries.wide())),
            Self::Stored(entries) => Loaded::I16(Cow::Owned(entries.narrow())),
        }
    }

    /// Some of them.
    #[must_use]
    pub fn slice(self, range: Range<usize>) -> Self {
        match self {
            Self::I16(entries) => Self::I16(&entries[range]),
            Self::I32(entries) => Self::I32(&entries[range]),
            Self::Stored(entries) => Self::Stored(entries.slice(range)),
        }
    }

    /// In order.
    pub fn iter(self) -> impl Iterator<Item = i32> + 'a {
        let loaded = self.load();
        (0..self.len()).map(move |place| loaded.get(place))
    }
}

impl Loaded<'_> {
    /// One of them.
    #[must_use]
    pub fn get(&self, place: usize) -> i32 {
        match self {
            Self::I16(entries) => entries[place].into(),
            Self::I32(entries) => entries[place],
        }
    }
}
