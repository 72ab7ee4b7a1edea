//! Points by their places on the tape: the other side of `obelysk_statement::point`, which has their values.

use std::collections::BTreeMap;

use obelysk_statement::axis::{AxisTile, tiles_of};
use obelysk_statement::relation::Index;
use obelysk_statement::{Access, AxisId, Statement};

use super::program::{HALF, ONE, Place, Program, ZERO};

/// One coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coordinate {
    /// 0 or 1.
    Bit(bool),
    /// One half.
    Half,
    /// What the tape holds.
    Tape(Place),
}

/// Coordinates of every axis that matters, most significant first.
pub type AxisPoints = BTreeMap<AxisId, Vec<Coordinate>>;

impl Coordinate {
    /// Where the tape holds it.
    #[must_use]
    pub fn place(self) -> Place {
        match self {
            Self::Bit(false) => ZERO,
            Self::Bit(true) => ONE,
            Self::Half => HALF,
            Self::Tape(place) => place,
        }
    }
}

/// The coordinates that lie side by side from a place on.
#[must_use]
pub fn run_from(first: Place, length: usize) -> Vec<Coordinate> {
    (first.0..first.0 + length as u32).map(|place| Coordinate::Tape(Place(place))).collect()
}

/// The coordinates of a boolean index.
#[must_use]
pub fn bits_of_index(index: usize, bits: usize) -> Vec<Coordinate> {
    (0..bits).rev().map(|bit| Coordinate::Bit(index >> bit & 1 == 1)).collect()
}

/// The coordinates of an axis inside a tile: the tile's address, then the local ones.
#[must_use]
pub fn inside_tile(tile: AxisTile, bits: usize, local: &[Coordinate]) -> Vec<Coordinate> {
    let mut coordinates = bits_of_index(tile.offset >> tile.log_size, bits - tile.log_size);
    coordinates.extend_from_slice(local);
    coordinates
}

/// Per axis of the accessed tensor: its coordinates, and the factor by which sums multiply the evaluation.
#[must_use]
pub fn address(statement: &Statement, access: &Access, points: &AxisPoints) -> (Vec<Vec<Coordinate>>, i64) {
    let mut scale = 1i64;
    let axes = &statement.tensor(access.tensor).axes;
    let coordinates = access.index.iter().zip(axes).map(|(index, &own)| {
        let bits = statement.axis(own).bits();
        match *index {
            Index::Axis(axis) => points[&axis].clone(),
            Index::First(axis) => {
                let shorter = &points[&axis];
                [bits_of_index(0, bits - shorter.len()), shorter.clone()].concat()
            }
            Index::Fixed(value) => bits_of_index(value, bits),
            Index::Sum => {
                scale <<= bits;
                vec![Coordinate::Half; bits]
            }
        }
    });
    (coordinates.collect(), scale)
}

impl Program {
    /// `whole` times the weight of a tile at a point of its axis, and the local coordinates; `None` where it is zero by address.
    pub fn at_tile<'a>(
        &mut self,
        whole: Place,
        coordinates: &'a [Coordinate],
        tile: AxisTile,
    ) -> Option<(Place, &'a [Coordinate])> {
        let prefix = coordinates.len() - tile.log_size;
        let address = tile.offset >> tile.log_size;
        let mut weight = whole;
        for (position, &coordinate) in coordinates[..prefix].iter().enumerate() {
            let bit = address >> (prefix - 1 - position) & 1 == 1;
            weight = match coordinate {
                Coordinate::Bit(own) if own == bit => weight,
                Coordinate::Bit(_) => return None,
                Coordinate::Half => self.multiply(weight, HALF),
                Coordinate::Tape(place) => self.split(weight, place, bit),
            };
        }
        Some((weight, &coordinates[prefix..]))
    }

    /// The indicator of `0..size` at a point of its axis.
    pub fn indicator(&mut self, coordinates: &[Coordinate], size: usize) -> Place {
        let tiles = tiles_of(size).into_iter();
        let weights: Vec<(Place, Place)> =
            tiles.filter_map(|tile| self.at_tile(ONE, coordinates, tile)).map(|(weight, _)| (ONE, weight)).collect();
        self.dot(&weights)
    }

    /// `eq` of two runs, cut to indices below `size`.
    pub fn restricted_eq(&mut self, left: Place, right: Place, bits: usize, size: usize) -> Place {
        let mut sum = ZERO;
        for tile in tiles_of(size) {
            let prefix = bits - tile.log_size;
            let address = tile.offset >> tile.log_size;
            let [outer_left, outer_right] = [left, right].map(|run| self.selector(ONE, run, prefix, address));
            let outer = self.multiply(outer_left, outer_right);
            let [left, right] = [left, right].map(|run| Place(run.0 + prefix as u32));
            let inner = self.equal(left, right, tile.log_size);
            let part = self.multiply(outer, inner);
            sum = self.add(sum, part);
        }
        sum
    }

    /// Coordinates as a run.
    pub fn run_of(&mut self, coordinates: &[Coordinate]) -> Place {
        let places: Vec<Place> = coordinates.iter().map(|coordinate| coordinate.place()).collect();
        self.gather(&places)
    }
}
