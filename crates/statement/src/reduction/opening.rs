//! The claims about one commitment as they are sent and opened: grouped by point.

use super::Claims;
use crate::Challenge;
use crate::whir::{ClaimGroup, grouped};

/// The claims about one commitment by point, in order of appearance.
pub struct Grouped {
    /// Groups, without values until they are known.
    pub groups: Vec<ClaimGroup>,
    /// Group and place in it of each of the commitment's claims.
    places: Vec<(usize, usize)>,
}

impl Claims<'_> {
    /// Number of claims about a commitment.
    #[must_use]
    pub fn count(&self, commitment: usize) -> usize {
        self.lists[commitment].len()
    }

    /// The claims about a commitment in groups.
    #[must_use]
    pub fn grouped(&self, commitment: usize) -> Grouped {
        let list = &self.lists[commitment];
        let (groups, places) = grouped(list.iter().map(|(tile, point)| (*tile, point.as_slice())));
        Grouped { groups, places }
    }
}

impl Grouped {
    /// Take over values, group by group; returns them in order of the commitment's claims.
    ///
    /// # Panics
    /// If there is not one value per claim.
    pub fn fill(&mut self, values: &[Challenge]) -> Vec<Challenge> {
        assert_eq!(self.places.len(), values.len(), "one value per claim");
        let mut rest = values;
        for group in &mut self.groups {
            let (own, later) = rest.split_at(group.tiles.len());
            group.values = own.to_vec();
            rest = later;
        }
        self.places.iter().map(|&(group, place)| self.groups[group].values[place]).collect()
    }
}
