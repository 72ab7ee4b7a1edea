//! Where the cells of many tiles lie in the one polynomial that a commitment holds, and what claims about tiles say about
//! it.
//!
//! The polynomial is cut into `2^fold` columns, the contiguous blocks of its `fold` most significant variables, which are
//! folded first. A tile is cut the same way: its own most significant variables are the polynomial's, so that each
//! column holds an equal part of every tile, and a claim about a tile splits into one partial evaluation per column.

use std::collections::BTreeMap;

use p3_field::PrimeCharacteristicRing;

use crate::Challenge;
use crate::point::eq;
use crate::public::eq_at;
use crate::words::words;

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
    /// Tiles and their claimed values.
    pub claims: Vec<(usize, Challenge)>,
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
}

impl StackedTile {
    /// Cells of its part of a column.
    #[must_use]
    pub fn length(&self) -> usize {
        1 << self.column_arity
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
        for tile in order {
            let arity = arities[tile];
            let column_arity = arity.max(fold) - fold;
            tiles[tile] = StackedTile { arity, column_arity, offset: used };
            used += 1 << column_arity;
        }
        let variables = (fold + used.next_power_of_two().trailing_zeros() as usize).max(least);
        Self { tiles, fold, variables }
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
            for &(tile, _) in &group.claims {
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
            for &(tile, _) in &group.claims {
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
        groups.iter().map(|group| group.claims.len()).sum()
    }

    /// The sum of all claimed values: `alpha^c` times the value of claim `c`.
    pub fn sum(groups: &[Self], alpha: Challenge) -> Challenge {
        let values = groups.iter().flat_map(|group| &group.claims).map(|&(_, value)| value);
        values.zip(powers(alpha)).map(|(value, power)| value * power).sum()
    }
}

/// Group claims (tile, local point, value) by their point, in order of appearance.
#[must_use]
pub fn grouped<'a>(claims: impl IntoIterator<Item = (usize, &'a [Challenge], Challenge)>) -> Vec<ClaimGroup> {
    let mut groups: Vec<ClaimGroup> = Vec::new();
    let mut known: BTreeMap<Vec<[u32; 4]>, usize> = BTreeMap::new();
    for (tile, point, value) in claims {
        let key = point.iter().map(|&coordinate| words(coordinate)).collect();
        let group = *known.entry(key).or_insert_with(|| {
            groups.push(ClaimGroup { point: point.to_vec(), claims: Vec::new() });
            groups.len() - 1
        });
        groups[group].claims.push((tile, value));
    }
    groups
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
        let groups = grouped([(0, &a[..], Challenge::ONE), (1, &b[..], Challenge::TWO), (2, &a[..], Challenge::ZERO)]);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].claims, [(0, Challenge::ONE), (2, Challenge::ZERO)]);
        assert_eq!(ClaimGroup::count(&groups), 3);
        let stack = Stack::new(&[1, 1, 2], 1, 0);
        assert_eq!(stack.check(&groups), Err(Misfit::Point { tile: 2, arity: 2, coordinates: 1 }));
        assert_eq!(Stack::new(&[1, 1], 1, 0).check(&groups), Err(Misfit::Tile { tile: 2, tiles: 2 }));
        assert_eq!(Stack::new(&[1, 1, 1], 1, 0).check(&groups), Ok(()));
    }
}
