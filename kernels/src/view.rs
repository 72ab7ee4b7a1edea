//! The entries of a tensor along the bits of an index: what `native/view.cuh` reads.

use std::marker::PhantomData;

use cudarc::driver::DeviceRepr;
use obelysk_prover::DeviceError;

use crate::device::{Buffer, Device};
use crate::extension::Extension;

/// Parts of an index at most: `PARTS_MAX` in `native/view.cuh`.
const PARTS_MAX: usize = 8;

/// Bits of a part at most: its size is a word of 32 bits.
const BITS_MAX: usize = 31;

/// How entries are stored: `Storage` in `native/view.cuh`.
const WORDS: u32 = 0;
const INTEGERS_16: u32 = 1;
const INTEGERS_32: u32 = 2;
const ONE_HOT: u32 = 3;

/// Entries of a tensor in a device's memory.
pub enum Entries {
    /// Signed integers of 16 bits.
    Narrow(Buffer<i16>),
    /// Signed integers of 32 bits.
    Wide(Buffer<i32>),
    /// Rows of `width` entries, all zero but a one in the column that is named.
    OneHot {
        /// The column of each row.
        columns: Buffer<u32>,
        /// Columns of a row.
        width: usize,
    },
}

impl Entries {
    /// Number of entries.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // It is never empty.
    pub fn len(&self) -> usize {
        match self {
            Self::Narrow(entries) => entries.len(),
            Self::Wide(entries) => entries.len(),
            Self::OneHot { columns, width } => columns.len() * width,
        }
    }
}

/// Bits of an index that move by `stride` each time they count one more. There is nothing from `size` on: zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// How many.
    pub bits: usize,
    /// Number of entries, at most `2^bits`.
    pub size: usize,
    /// In entries.
    pub stride: usize,
}

/// Entries that a kernel reads. It is queued while the buffer lives.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct View<'a> {
    entries: u64,
    start: u64,
    storage: u32,
    width: u32,
    count: u32,
    unused: u32,
    parts: [DevicePart; PARTS_MAX],
    buffer: PhantomData<&'a Entries>,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
struct DevicePart {
    stride: u64,
    bits: u32,
    size: u32,
}

// SAFETY: plain words without padding, laid out as the kernels' structure is.
#[allow(unsafe_code)]
unsafe impl DeviceRepr for View<'_> {}

impl Part {
    /// All of `2^bits` indices.
    #[must_use]
    pub fn whole(bits: usize, stride: usize) -> Self {
        Self { bits, size: 1 << bits, stride }
    }
}

/// The parts of the indices whose last `bits` bits are `value`, and where these begin.
pub(crate) fn fixed(parts: &[Part], bits: usize, value: usize) -> (usize, Vec<Part>) {
    let (mut left, mut value, mut start, mut own) = (bits, value, 0, Vec::with_capacity(parts.len()));
    for part in parts.iter().rev() {
        let low = left.min(part.bits);
        let digit = value & ((1 << low) - 1);
        let size = part.size.saturating_sub(digit).div_ceil(1 << low);
        // Nothing is read of a part without entries, wherever it begins.
        start += if size > 0 { digit * part.stride } else { 0 };
        own.insert(0, Part { bits: part.bits - low, size, stride: part.stride << low });
        (left, value) = (left - low, value >> low);
    }
    assert!(left == 0 && value == 0, "the index has as many bits");
    (start, own)
}

/// Cut an index: the parts of its most significant bits, and those of the last `low`. Every part has to be whole.
pub(crate) fn cut(parts: &[Part], low: usize) -> [Vec<Part>; 2] {
    let mut left = low;
    let (mut high_parts, mut low_parts) = (Vec::new(), Vec::new());
    for part in parts.iter().rev() {
        assert_eq!(part.size, 1 << part.bits, "a part that is cut is whole");
        let own = left.min(part.bits);
        low_parts.insert(0, Part::whole(own, part.stride));
        high_parts.insert(0, Part::whole(part.bits - own, part.stride << own));
        left -= own;
    }
    assert_eq!(left, 0, "the index has as many bits");
    [high_parts, low_parts]
}

impl<'a> View<'a> {
    /// Entries of a tensor from `start` on.
    ///
    /// # Errors
    /// [`DeviceError::Unsupported`] for an index of too many parts.
    ///
    /// # Panics
    /// If an index leads beside the entries.
    pub fn new(device: &Device, entries: &'a Entries, start: usize, parts: &[Part]) -> Result<Self, DeviceError> {
        let (address, len, storage, width) = match entries {
            Entries::Narrow(buffer) => (buffer.address(), buffer.of(device).len(), INTEGERS_16, 1),
            Entries::Wide(buffer) => (buffer.address(), buffer.of(device).len(), INTEGERS_32, 1),
            Entries::OneHot { columns, width } => {
                (columns.address(), columns.of(device).len() * width, ONE_HOT, *width)
            }
        };
        Self::at(address, len, storage, width, start, parts)
    }

    /// All words of a buffer, canonical ones of the field.
    pub(crate) fn of_words(device: &Device, words: &'a Buffer<u32>, bits: usize) -> Result<Self, DeviceError> {
        Self::at(words.address(), words.of(device).len(), WORDS, 1, 0, &[Part::whole(bits, 1)])
    }

    /// One coordinate of elements from `start` on: strides and start count words.
    pub(crate) fn of_coordinates(
        device: &Device,
        elements: &'a Buffer<Extension>,
        start: usize,
        parts: &[Part],
    ) -> Result<Self, DeviceError> {
        Self::at(elements.address(), 4 * elements.of(device).len(), WORDS, 1, start, parts)
    }

    fn at(
        entries: u64,
        len: usize,
        storage: u32,
        width: usize,
        start: usize,
        parts: &[Part],
    ) -> Result<Self, DeviceError> {
        if parts.iter().all(|part| part.size > 0) {
            let last: usize = parts.iter().map(|part| (part.size - 1) * part.stride).sum();
            assert!(start + last < len, "an index leads to an entry");
        }
        let parts = merged(parts);
        if parts.len() > PARTS_MAX {
            let reason = format!("a tensor is read along {} axes at once; at most {PARTS_MAX}", parts.len());
            return Err(DeviceError::Unsupported(reason));
        }
        let word = |number: usize| u32::try_from(number).expect("an axis has fewer indices");
        let mut own = [DevicePart::default(); PARTS_MAX];
        for (own, part) in own.iter_mut().zip(&parts) {
            *own = DevicePart { stride: part.stride as u64, bits: word(part.bits), size: word(part.size) };
        }
        let (width, count) = (word(width), word(parts.len()));
        Ok(Self { entries, start: start as u64, storage, width, count, unused: 0, parts: own, buffer: PhantomData })
    }
}

/// The same with as few parts as possible.
fn merged(parts: &[Part]) -> Vec<Part> {
    let mut merged: Vec<Part> = Vec::new();
    for &part in parts.iter().filter(|part| part.bits > 0 || part.size == 0) {
        match merged.last_mut() {
            Some(outer)
                if part.size == 1 << part.bits
                    && outer.stride == part.stride << part.bits
                    && outer.bits + part.bits <= BITS_MAX =>
            {
                *outer = Part { bits: outer.bits + part.bits, size: outer.size << part.bits, stride: part.stride };
            }
            _ => merged.push(part),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_follow_each_other_are_one() {
        let (outer, inner) = (Part { bits: 3, size: 5, stride: 16 }, Part::whole(4, 1));
        assert_eq!(merged(&[outer, inner]), [Part { bits: 7, size: 80, stride: 1 }]);
        assert_eq!(merged(&[Part::whole(0, 7), inner]), [inner]);
        assert_eq!(merged(&[inner, outer]), [inner, outer]);
        let ragged = Part { bits: 4, size: 9, stride: 1 };
        assert_eq!(
            merged(&[outer, ragged]),
            [outer, ragged],
            "the outer part does not begin anew where the inner one ends"
        );
    }

    #[test]
    fn indices_with_the_same_last_bits_are_read_as_all_of_them_are() {
        let parts = [
            Part { bits: 2, size: 3, stride: 40 },
            Part { bits: 1, size: 1, stride: 9 },
            Part { bits: 3, size: 5, stride: 2 },
        ];
        let place = |start: usize, parts: &[Part], mut index: usize| {
            let mut place = start;
            for part in parts.iter().rev() {
                let digit = index & ((1 << part.bits) - 1);
                index >>= part.bits;
                if digit >= part.size {
                    return None;
                }
                place += digit * part.stride;
            }
            Some(place)
        };
        for bits in 0..=6 {
            for value in 0..1 << bits {
                let (start, own) = fixed(&parts, bits, value);
                for index in 0..1 << (6 - bits) {
                    let whole = place(0, &parts, index << bits | value);
                    assert_eq!(place(start, &own, index), whole, "{bits} bits, {value}, {index}");
                }
            }
        }
    }

    #[test]
    fn an_index_is_cut_within_a_part() {
        let [high, low] = cut(&[Part::whole(2, 100), Part::whole(5, 3)], 3);
        assert_eq!(high, [Part::whole(2, 100), Part::whole(2, 24)]);
        assert_eq!(low, [Part::whole(0, 100), Part::whole(3, 3)]);
    }
}
