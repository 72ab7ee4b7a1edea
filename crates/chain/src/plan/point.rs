//! Points by their places on the tape.

use obelysk_statement::axis::{AxisTile, tiles_of};
use obelysk_statement::point;

use super::program::{HALF, ONE, Place, Program, ZERO};

/// One coordinate; a challenge is what the tape holds at a place.
pub type Coordinate = point::Coordinate<Place>;
/// Coordinates of every axis that matters, most significant first.
pub type AxisPoints = point::AxisPoints<Place>;

/// Where the tape holds a coordinate.
#[must_use]
pub fn place(coordinate: Coordinate) -> Place {
    match coordinate {
        Coordinate::Bit(false) => ZERO,
        Coordinate::Bit(true) => ONE,
        Coordinate::Half => HALF,
        Coordinate::Value(place) => place,
    }
}

/// Places that lie side by side from one on.
#[must_use]
pub fn places_from(first: Place, length: usize) -> Vec<Place> {
    (first.0..first.0 + length as u32).map(Place).collect()
}

/// The coordinates that lie side by side from a place on.
#[must_use]
pub fn run_from(first: Place, length: usize) -> Vec<Coordinate> {
    places_from(first, length).into_iter().map(Coordinate::Value).collect()
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
                Coordinate::Value(place) => self.split(weight, place, bit),
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
        let places: Vec<Place> = coordinates.iter().map(|&coordinate| place(coordinate)).collect();
        self.gather(&places)
    }
}
