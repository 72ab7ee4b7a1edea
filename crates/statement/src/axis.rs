//! Index axes and their cut into dyadic tiles, so that no size is ever padded in a commitment.

use serde::Serialize;

/// Position of an axis in [`crate::Statement::axes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AxisId(pub u16);

/// One index dimension. Two axes may have the same size and still be different: query position and
/// key position of attention, for example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Axis {
    /// Name used in messages.
    pub name: String,
    /// Number of indices, at least 1.
    pub size: usize,
}

/// A power-of-two run of indices: `offset .. offset + 2^log_size`, with `offset` a multiple of `2^log_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AxisTile {
    /// First index.
    pub offset: usize,
    /// Binary logarithm of the number of indices.
    pub log_size: usize,
}

impl Axis {
    /// Number of boolean variables that address this axis.
    #[must_use]
    pub fn bits(&self) -> usize {
        bits_of(self.size)
    }

    /// The binary expansion of `size`, largest tile first; the tiles cover `0..size` exactly.
    #[must_use]
    pub fn tiles(&self) -> Vec<AxisTile> {
        tiles_of(self.size)
    }
}

/// Number of boolean variables that address `0..size`.
#[must_use]
pub fn bits_of(size: usize) -> usize {
    assert!(size >= 1, "an axis has at least one index");
    size.next_power_of_two().trailing_zeros() as usize
}

/// The binary expansion of `size`, largest tile first.
#[must_use]
pub fn tiles_of(size: usize) -> Vec<AxisTile> {
    let mut offset = 0;
    (0..usize::BITS as usize)
        .rev()
        .filter(|bit| size >> bit & 1 == 1)
        .map(|log_size| {
            let tile = AxisTile { offset, log_size };
            offset += 1 << log_size;
            tile
        })
        .collect()
}
