//! Claims about committed tiles, each once, and where the tape holds their values: by point, in order of appearance.

use std::collections::HashMap;

use super::point::Coordinate;
use super::program::Place;

/// Claims at one point.
#[derive(Clone, Debug)]
pub struct Group {
    /// Coordinates, most significant first.
    pub point: Vec<Coordinate>,
    /// The tiles.
    pub tiles: Vec<usize>,
}

/// The claims about every commitment.
#[derive(Debug)]
pub struct Claims {
    /// Per commitment: its claims in order of appearance.
    lists: Vec<Vec<(usize, Vec<Coordinate>)>>,
    known: HashMap<(usize, usize, Vec<Coordinate>), usize>,
    /// Per commitment: the place of each claim, once all are known.
    places: Option<Vec<Vec<Place>>>,
    /// Per commitment: the claims by point, once all are known.
    pub groups: Vec<Vec<Group>>,
}

impl Claims {
    /// No claims yet.
    #[must_use]
    pub fn new(commitments: usize) -> Self {
        Self { lists: vec![Vec::new(); commitments], known: HashMap::new(), places: None, groups: Vec::new() }
    }

    /// Where the value of a claim lies; anywhere until all are known.
    ///
    /// # Panics
    /// If the claim is new and all were known.
    pub fn claim(&mut self, commitment: usize, tile: usize, point: Vec<Coordinate>) -> Place {
        let list = &mut self.lists[commitment];
        let index = *self.known.entry((commitment, tile, point.clone())).or_insert_with(|| {
            assert!(self.places.is_none(), "all claims are known");
            list.push((tile, point));
            list.len() - 1
        });
        self.places.as_ref().map_or(Place(u32::MAX), |places| places[commitment][index])
    }

    /// All claims are known: their values follow the inputs of the tape.
    pub fn settle(&mut self, inputs: u32) {
        let mut next = inputs;
        let mut places = Vec::new();
        for list in &self.lists {
            let mut groups: Vec<(Group, Vec<usize>)> = Vec::new();
            let mut group_of: HashMap<&[Coordinate], usize> = HashMap::new();
            for (index, (tile, point)) in list.iter().enumerate() {
                let group = *group_of.entry(point).or_insert_with(|| {
                    groups.push((Group { point: point.clone(), tiles: Vec::new() }, Vec::new()));
                    groups.len() - 1
                });
                groups[group].0.tiles.push(*tile);
                groups[group].1.push(index);
            }
            let mut own = vec![Place(0); list.len()];
            for index in groups.iter().flat_map(|(_, indices)| indices) {
                own[*index] = Place(next);
                next += 1;
            }
            places.push(own);
            self.groups.push(groups.into_iter().map(|(group, _)| group).collect());
        }
        self.places = Some(places);
    }

    /// Number of claims about a commitment.
    #[must_use]
    pub fn count(&self, commitment: usize) -> usize {
        self.lists[commitment].len()
    }
}
