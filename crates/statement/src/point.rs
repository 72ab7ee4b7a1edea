//! Points at which tensors are evaluated, one run of coordinates per axis. A challenge is a value here; to a contract's plan it is the place
//! where it will be found.

use std::collections::BTreeMap;

use p3_field::PrimeCharacteristicRing;

use crate::axis::{AxisId, AxisTile, tiles_of};
use crate::relation::{Access, Index};
use crate::{Challenge, Statement};

/// One coordinate. Those that are known to be boolean select tiles instead of weighing them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coordinate<V = Challenge> {
    /// 0 or 1.
    Bit(bool),
    /// One half: the evaluation there is the mean.
    Half,
    /// A challenge.
    Value(V),
}

impl Coordinate {
    /// As a field element.
    pub fn value(self) -> Challenge {
        match self {
            Self::Bit(bit) => Challenge::from_bool(bit),
            Self::Half => Challenge::ONE.halve(),
            Self::Value(value) => value,
        }
    }

    /// `eq(self, bit)`, `None` where it is zero whatever the challenges.
    fn weight(self, bit: bool) -> Option<Challenge> {
        match self {
            Self::Bit(own) => (own == bit).then_some(Challenge::ONE),
            other => Some(if bit { other.value() } else { Challenge::ONE - other.value() }),
        }
    }
}

/// Coordinates of every axis that matters, most significant first.
pub type AxisPoints<V = Challenge> = BTreeMap<AxisId, Vec<Coordinate<V>>>;

/// The coordinates of a boolean index.
#[must_use]
pub fn bits_of_index<V>(index: usize, bits: usize) -> Vec<Coordinate<V>> {
    (0..bits).rev().map(|bit| Coordinate::Bit(index >> bit & 1 == 1)).collect()
}

/// The coordinates of an axis inside a tile: the tile's address, then the local ones.
#[must_use]
pub fn inside_tile<V: Copy>(tile: AxisTile, bits: usize, local: &[V]) -> Vec<Coordinate<V>> {
    assert_eq!(local.len(), tile.log_size, "one local coordinate per variable of the tile");
    let mut coordinates = bits_of_index(tile.offset >> tile.log_size, bits - tile.log_size);
    coordinates.extend(local.iter().map(|&value| Coordinate::Value(value)));
    coordinates
}

/// Per axis of the accessed tensor: its coordinates, and the binary logarithm of the factor by which sums multiply the evaluation.
pub fn address<V: Copy>(
    statement: &Statement,
    access: &Access,
    points: &AxisPoints<V>,
) -> (Vec<Vec<Coordinate<V>>>, usize) {
    let mut summed = 0;
    let axes = &statement.tensor(access.tensor).axes;
    let coordinates = access
        .index
        .iter()
        .zip(axes)
        .map(|(index, &own)| {
            let bits = statement.axis(own).bits();
            match *index {
                Index::Axis(axis) => points[&axis].clone(),
                Index::First(axis) => {
                    let shorter = &points[&axis];
                    [bits_of_index(0, bits - shorter.len()), shorter.clone()].concat()
                }
                Index::Fixed(value) => bits_of_index(value, bits),
                Index::Sum => {
                    summed += bits;
                    vec![Coordinate::Half; bits]
                }
            }
        })
        .collect();
    (coordinates, summed)
}

/// The weight of a tile at a point of its axis, and the local coordinates; `None` where it is zero by address.
#[must_use]
pub fn at_tile(coordinates: &[Coordinate], tile: AxisTile) -> Option<(Challenge, &[Coordinate])> {
    let prefix = coordinates.len() - tile.log_size;
    let address = tile.offset >> tile.log_size;
    let mut weight = Challenge::ONE;
    for (position, &coordinate) in coordinates[..prefix].iter().enumerate() {
        weight *= coordinate.weight(address >> (prefix - 1 - position) & 1 == 1)?;
    }
    Some((weight, &coordinates[prefix..]))
}

/// Multilinear extension of the indicator of `0..size` at a point of its axis.
pub fn indicator(coordinates: &[Coordinate], size: usize) -> Challenge {
    tiles_of(size).into_iter().filter_map(|tile| at_tile(coordinates, tile)).map(|(weight, _)| weight).sum()
}
