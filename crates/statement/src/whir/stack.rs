//! Where the cells of many tiles lie in the one polynomial that a commitment holds, and what claims about tiles say about
//! it.
//!
//! The polynomial is cut into `2^fold` columns, the contiguous blocks of its `fold` most significant variables, which are
//! folded first. A tile is cut the same way: its own most significant variables are the polynomial's, so that each
//! column holds an equal part of every tile, and a claim about a tile splits into one partial evaluation per column.

use std::collections::BTreeMap;
use std::ops::Range;

use p3_field::PrimeCharacteristicRing;

use crate::Challenge;
use crate::eq::{eq, eq_at};
use crate::words::words_of;

/// A tile's place in every column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackedTile {
    /// Variables of the tile.
    pub arity: usize,
    /// Variables of its part of a column.
    pub column_arity: usize,
    /// First cell of that part, a multiple of its length.
    pub offset: usize,
}

/// The tiles of one commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// In the caller's order.
    pub tiles: Vec<StackedTile>,
    /// The tiles by their place in a column.
    order: Vec<usize>,
    /// Binary logarithm of the number of columns.
    pub fold: usize,
    /// Variables of the polynomial.
    pub variables: usize,
}

/// Claims about tiles at one point, local to each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimGroup {
    /// Coordinates, most significant first.
    pub point: Vec<Challenge>,
    /// The tiles.
    pub tiles: Vec<usize>,
    /// The value of each; none before they are known.
    pub values: Vec<Challenge>,
}

/// A claim that is not about the commitment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// No such tile.
    #[error("a claim is about tile {tile} of a commitment of {tiles} tiles")]
    Tile {
        /// Claimed.
        tile: usize,
        /// Number of tiles.
        tiles: usize,
    },
    /// A point of the wrong length.
    #[error("a claim about tile {tile}, which has {arity} variables, is at a point of {coordinates}")]
    Point {
        /// Claimed.
        tile: usize,
        /// Its variables.
        arity: usize,
        /// Those of the point.
        coordinates: usize,
    },
    /// Not one value per tile.
    #[error("{values} values are claimed of {tiles} tiles")]
    Values {
        /// Claimed.
        values: usize,
        /// Tiles of the group.
        tiles: usize,
    },
}

impl StackedTile {
    /// Cells of its part of a column.
    #[must_use]
    pub fn length(&self) -> usize {
        1 << self.column_arity
    }

    /// The places of a column that hold its part.
    #[must_use]
    pub fn places(&self) -> Range<usize> {
        self.offset..self.offset + self.length()
    }

    /// The cell of the tile that lies at a place of a column.
    #[must_use]
    pub fn cell(&self, column: usize, place: usize) -> usize {
        column * self.length() + place - self.offset
    }

    /// Columns that hold a part of it, from the first: fewer than all for a tile of fewer variables than are folded.
    #[must_use]
    pub fn columns(&self, fold: usize) -> usize {
        1 << self.arity.min(fold)
    }
}

impl Stack {
    /// Stack tiles of these arities, largest first, under `fold` variables; at least `least` variables in all. Tiles of
    /// fewer than `fold` variables are as long as `fold` says, the rest of theirs being of no claim.
    #[must_use]
    pub fn new(arities: &[usize], fold: usize, least: usize) -> Self {
        let mut order: Vec<usize> = (0..arities.len()).collect();
        order.sort_by_key(|&tile| std::cmp::Reverse(arities[tile].max(fold)));
        let mut tiles = vec![StackedTile { arity: 0, column_arity: 0, offset: 0 }; arities.len()];
        let mut used = 0;
        for &tile in &order {
            let arity = arities[tile];
            let column_arity = arity.max(fold) - fold;
            tiles[tile] = StackedTile { arity, column_arity, offset: used };
            used += 1 << column_arity;
        }
        let variables = (fold + used.next_power_of_two().trailing_zeros() as usize).max(least);
        Self { tiles, order, fold, variables }
    }

    /// Tiles that have cells between two places of a column, each with the places of these.
    pub fn tiles_between(&self, from: usize, to: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
        let first = self.order.partition_point(|&tile| self.tiles[tile].places().end <= from);
        let tiles = self.order[first..].iter().map(|&tile| (tile, self.tiles[tile].places()));
        let inside = tiles.take_while(move |(_, places)| places.start < to);
        inside.map(move |(tile, places)| (tile, places.start.max(from)..places.end.min(to)))
    }

    /// Variables of a column.
    #[must_use]
    pub fn column_variables(&self) -> usize {
        self.variables - self.fold
    }

    /// # Errors
    /// The first claim that is not about this commitment.
    pub fn check(&self, groups: &[ClaimGroup]) -> Result<(), Misfit> {
        for group in groups {
            let (values, tiles) = (group.values.len(), group.tiles.len());
            if values != tiles {
                return Err(Misfit::Values { values, tiles });
            }
            for &tile in &group.tiles {
                let Some(stacked) = self.tiles.get(tile) else {
                    return Err(Misfit::Tile { tile, tiles: self.tiles.len() });
                };
                if stacked.arity != group.point.len() {
                    return Err(Misfit::Point { tile, arity: stacked.arity, coordinates: group.point.len() });
                }
            }
        }
        Ok(())
    }

    /// A group's point cut at the columns: the coordinates that are folded first, and those of a column. Coordinates that
    /// a small tile lacks are zero.
    #[must_use]
    pub fn split(&self, group: &ClaimGroup) -> (Vec<Challenge>, Vec<Challenge>) {
        let missing = self.fold.saturating_sub(group.point.len());
        let mut head = vec![Challenge::ZERO; missing];
        let (own, rest) = group.point.split_at(self.fold - missing);
        head.extend_from_slice(own);
        (head, rest.to_vec())
    }

    /// The sum of all weights at a point of the polynomial: `alpha^c` times the weight of claim `c`.
    pub fn weight(&self, groups: &[ClaimGroup], alpha: Challenge, point: &[Challenge]) -> Challenge {
        let (columns, column) = point.split_at(self.fold);
        let mut selectors: Vec<Option<Challenge>> = vec![None; self.tiles.len()];
        let mut power = Challenge::ONE;
        let mut sum = Challenge::ZERO;
        for group in groups {
            let (head, rest) = self.split(group);
            let (address, local) = column.split_at(column.len() - rest.len());
            let mut selected = Challenge::ZERO;
            for &tile in &group.tiles {
                let stacked = self.tiles[tile];
                let selector =
                    *selectors[tile].get_or_insert_with(|| eq_at(address, stacked.offset >> stacked.column_arity));
                selected += power * selector;
                power *= alpha;
            }
            sum += eq(&head, columns) * eq(&rest, local) * selected;
        }
        sum
    }
}

impl ClaimGroup {
    /// Number of claims in all groups.
    #[must_use]
    pub fn count(groups: &[Self]) -> usize {
        groups.iter().map(|group| group.tiles.len()).sum()
    }

    /// The sum of all claimed values: `alpha^c` times the value of claim `c`.
    pub fn sum(groups: &[Self], alpha: Challenge) -> Challenge {
        groups.iter().flat_map(|group| &group.values).zip(powers(alpha)).map(|(&value, power)| value * power).sum()
    }
}

/// Group claims (tile, local point) by their point, in order of appearance. With the groups: the group and the place in
/// it of each claim.
#[must_use]
pub fn grouped<'a>(
    claims: impl IntoIterator<Item = (usize, &'a [Challenge])>,
) -> (Vec<ClaimGroup>, Vec<(usize, usize)>) {
    let mut groups: Vec<ClaimGroup> = Vec::new();
    let mut known: BTreeMap<Vec<u32>, usize> = BTreeMap::new();
    let places = claims
        .into_iter()
        .map(|(tile, point)| {
            let group = *known.entry(words_of(point)).or_insert_with(|| {
                groups.push(ClaimGroup { point: point.to_vec(), tiles: Vec::new(), values: Vec::new() });
                groups.len() - 1
            });
            groups[group].tiles.push(tile);
            (group, groups[group].tiles.len() - 1)
        })
        .collect();
    (groups, places)
}

/// `1, base, base^2, ...`.
pub fn powers(base: Challenge) -> impl Iterator<Item = Challenge> {
    std::iter::successors(Some(Challenge::ONE), move |&power| Some(power * base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_lie_side_by_side_largest_first_and_small_ones_fill_a_row() {
        let stack = Stack::new(&[1, 6, 4, 6, 0], 3, 0);
        let place = |tile: usize| (stack.tiles[tile].column_arity, stack.tiles[tile].offset);
        assert_eq!((0..5).map(place).collect::<Vec<_>>(), [(0, 18), (3, 0), (1, 16), (3, 8), (0, 19)]);
        assert_eq!(stack.variables, 3 + 5);
        assert_eq!(Stack::new(&[2], 3, 12).variables, 12);
    }

    #[test]
    fn claims_at_one_point_form_one_group() {
        let [a, b] = [[Challenge::TWO], [Challenge::ONE]];
        let (mut groups, places) = grouped([(0, &a[..]), (1, &b[..]), (2, &a[..])]);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].tiles, [0, 2]);
        assert_eq!(places, [(0, 0), (1, 0), (0, 1)]);
        assert_eq!(ClaimGroup::count(&groups), 3);
        let stack = Stack::new(&[1, 1, 1], 1, 0);
        assert_eq!(stack.check(&groups), Err(Misfit::Values { values: 0, tiles: 2 }));
        groups[0].values = vec![Challenge::ONE, Challenge::ZERO];
        groups[1].values = vec![Challenge::TWO];
        assert_eq!(stack.check(&groups), Ok(()));
        assert_eq!(
            Stack::new(&[1, 1, 2], 1, 0).check(&groups),
            Err(Misfit::Point { tile: 2, arity: 2, coordinates: 1 })
        );
        assert_eq!(Stack::new(&[1, 1], 1, 0).check(&groups), Err(Misfit::Tile { tile: 2, tiles: 2 }));
        let alpha = Challenge::from_u32(10);
        assert_eq!(ClaimGroup::sum(&groups, alpha), Challenge::from_u32(1 + 200));
    }
}
