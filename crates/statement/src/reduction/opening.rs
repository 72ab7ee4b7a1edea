//! The claims about one commitment as they are sent and opened: grouped by point.

use std::collections::BTreeMap;

use p3_field::PrimeCharacteristicRing;

use super::{Claims, key};
use crate::Challenge;
use crate::whir::ClaimGroup;

/// The claims about one commitment by point, in order of appearance.
pub struct Grouped {
    /// Groups, whose values are zero until they are known.
    pub groups: Vec<ClaimGroup>,
    /// The place among the commitment's claims of each claim, group by group.
    order: Vec<usize>,
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
        let mut groups: Vec<ClaimGroup> = Vec::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        let mut known = BTreeMap::new();
        for (place, (tile, point)) in self.lists[commitment].iter().enumerate() {
            let group = *known.entry(key(point)).or_insert_with(|| {
                groups.push(ClaimGroup { point: point.clone(), claims: Vec::new() });
                members.push(Vec::new());
                groups.len() - 1
            });
            groups[group].claims.push((*tile, Challenge::ZERO));
            members[group].push(place);
        }
        Grouped { groups, order: members.concat() }
    }
}

impl Grouped {
    /// Take over values, group by group; returns them in order of the commitment's claims.
    ///
    /// # Panics
    /// If there is not one value per claim.
    pub fn fill(&mut self, values: &[Challenge]) -> Vec<Challenge> {
        assert_eq!(self.order.len(), values.len(), "one value per claim");
        let mut by_claim = vec![Challenge::ZERO; values.len()];
        let claims = self.groups.iter_mut().flat_map(|group| &mut group.claims);
        for (((_, own), &value), &place) in claims.zip(values).zip(&self.order) {
            *own = value;
            by_claim[place] = value;
        }
        by_claim
    }
}
