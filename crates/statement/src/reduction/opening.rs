//! How the claims about one commitment are opened: by table and by point.

use std::collections::BTreeMap;

use p3_field::PrimeCharacteristicRing;
use p3_multilinear_util::point::Point;
use p3_sumcheck::{OpeningBatch, OpeningEvals, OpeningProtocol, TableShape, TableSpec};

use super::{Claims, key};
use crate::Challenge;
use crate::plan::Committed;

/// How the claims about one commitment are opened.
pub struct Openings {
    /// Tables and the columns opened at each point.
    pub protocol: OpeningProtocol,
    /// One point per batch, in the protocol's order.
    pub points: Vec<Point<Challenge>>,
    /// Batch and place in it of every claim.
    places: Vec<(usize, usize)>,
}

/// A point, with the column and the claim of everything opened there.
type Batch<'a> = (&'a [Challenge], Vec<(usize, usize)>);

impl Claims<'_> {
    /// How the claims about each commitment are opened.
    #[must_use]
    pub fn openings(&self) -> Vec<Openings> {
        self.commitments.iter().zip(&self.lists).map(|(committed, list)| openings(committed, list)).collect()
    }
}

fn openings(committed: &Committed, list: &[(usize, Vec<Challenge>)]) -> Openings {
    let (layout, fold) = (&committed.layout, committed.schedule.first_fold());
    let mut places = vec![(0, 0); list.len()];
    let mut column_of = BTreeMap::new();
    for (table, content) in layout.tables.iter().enumerate() {
        for (column, &tile) in content.columns.iter().enumerate() {
            column_of.insert(tile, (table, column));
        }
    }
    // Per table: points in order of appearance, each with the claims on it.
    let mut batches: Vec<Vec<Batch>> = vec![Vec::new(); layout.tables.len()];
    let mut seen: BTreeMap<(usize, Vec<u32>), usize> = BTreeMap::new();
    for (claim, (tile, point)) in list.iter().enumerate() {
        let (table, column) = column_of[tile];
        let own = &mut batches[table];
        let batch = *seen.entry((table, key(point))).or_insert_with(|| {
            own.push((point, Vec::new()));
            own.len() - 1
        });
        own[batch].1.push((column, claim));
    }
    let mut specs = Vec::new();
    let mut points = Vec::new();
    for (content, own) in layout.tables.iter().zip(&mut batches) {
        let mut schedule = Vec::new();
        for (point, columns) in own {
            columns.sort_unstable();
            for (position, &(_, claim)) in columns.iter().enumerate() {
                places[claim] = (points.len(), position);
            }
            schedule.push(OpeningBatch::new(columns.iter().map(|&(column, _)| column).collect(), Vec::new()));
            let mut padded = vec![Challenge::ZERO; content.arity.max(fold) - content.arity];
            padded.extend_from_slice(point);
            points.push(Point::new(padded));
        }
        let shape = TableShape::new(content.arity, content.columns.len().max(1));
        specs.push(TableSpec::new(shape, schedule));
    }
    let protocol = OpeningProtocol::new(specs).pad_to_min_num_variables(fold);
    Openings { protocol, points, places }
}

impl Openings {
    /// The claims' values, in order of the claims, from the opened evaluations.
    #[must_use]
    pub fn values(&self, evaluations: &[OpeningEvals<Challenge>]) -> Vec<Challenge> {
        self.places.iter().map(|&(batch, position)| evaluations[batch].current()[position]).collect()
    }
}
