//! From the points that the sumchecks end in to claims about committed tiles, and the equations that these claims must
//! satisfy. Both sides build the same claims in the same order; only the verifier knows whether the equations hold.

use std::collections::BTreeMap;

use p3_field::PrimeCharacteristicRing;

mod lookup;
mod opening;
mod product;
mod zerocheck;

use crate::axis::AxisId;
use crate::layout::Role;
use crate::plan::Committed;
use crate::point::{AxisPoints, Coordinate, address, at_tile, indicator};
use crate::relation::{Access, Linear, Relation, TensorKind};
use crate::words::words_of;
use crate::{Challenge, Statement, Value};

pub use opening::Grouped;

/// A claimed evaluation of a tile, by its commitment and its place in that one's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimId {
    commitment: usize,
    index: usize,
}

/// `constant + sum weight * claim`.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    terms: Vec<(Challenge, ClaimId)>,
    constant: Challenge,
}

/// The left side of `sum coefficient * product of factors = value`; what the right side is, only a verifier knows.
#[derive(Clone, Debug)]
pub struct Equation {
    /// What it shows, for messages.
    pub name: &'static str,
    /// Products of sums of claims.
    pub products: Vec<(Challenge, Vec<Sum>)>,
}

/// All claims of a proof, each once.
pub struct Claims<'a> {
    statement: &'a Statement,
    commitments: &'a [Committed],
    /// Per commitment: tile and point of each claim.
    lists: Vec<Vec<(usize, Vec<Challenge>)>>,
    /// Commitment, tile and words of the point to the place in the list.
    known: BTreeMap<(usize, usize, Vec<u32>), usize>,
}

impl Sum {
    fn scaled(mut self, scale: Challenge) -> Self {
        self.constant *= scale;
        for term in &mut self.terms {
            term.0 *= scale;
        }
        self
    }

    fn add(&mut self, other: Self) {
        self.constant += other.constant;
        self.terms.extend(other.terms);
    }

    fn value(&self, values: &[Vec<Challenge>]) -> Challenge {
        self.terms
            .iter()
            .fold(self.constant, |sum, (weight, claim)| sum + *weight * values[claim.commitment][claim.index])
    }
}

impl Equation {
    /// The left side, for the opened values of the claims on each commitment.
    pub fn value(&self, values: &[Vec<Challenge>]) -> Challenge {
        let product = |factors: &[Sum]| factors.iter().map(|sum| sum.value(values)).product::<Challenge>();
        self.products.iter().map(|(coefficient, factors)| *coefficient * product(factors)).sum()
    }
}

impl<'a> Claims<'a> {
    /// No claims yet.
    #[must_use]
    pub fn new(statement: &'a Statement, commitments: &'a [Committed]) -> Self {
        Self { statement, commitments, lists: vec![Vec::new(); commitments.len()], known: BTreeMap::new() }
    }

    /// The evaluation of an access.
    fn access(&mut self, access: &Access, points: &AxisPoints) -> Sum {
        let (coordinates, summed) = address(self.statement, access, points);
        let scale = Challenge::TWO.exp_u64(summed as u64);
        let role = match &self.statement.tensor(access.tensor).kind {
            TensorKind::Public(public) => {
                let values: Vec<Vec<Challenge>> =
                    coordinates.iter().map(|axis| axis.iter().map(|c| c.value()).collect()).collect();
                let slices: Vec<&[Challenge]> = values.iter().map(Vec::as_slice).collect();
                return Sum { terms: Vec::new(), constant: scale * public.evaluate(&slices) };
            }
            TensorKind::Weight => Role::Weight,
            TensorKind::Witness => Role::Witness,
        };
        let commitments = self.commitments;
        let commitment =
            commitments.iter().position(|committed| committed.role == role).expect("its tensors are committed");
        // Places, weights and local points of the tiles, axis by axis: what one axis rules out never meets the tiles of the next.
        let mut met = vec![(0, scale, Vec::new())];
        for (&axis, coordinates) in self.statement.tensor(access.tensor).axes.iter().zip(&coordinates) {
            let tiles = self.statement.axis(axis).tiles();
            let own: Vec<_> =
                (0..).zip(&tiles).filter_map(|(i, &tile)| Some((i, at_tile(coordinates, tile)?))).collect();
            let count = tiles.len();
            let joined = met.iter().flat_map(|(outer, weight, point)| {
                own.iter().map(move |&(place, (factor, rest))| {
                    (outer * count + place, *weight * factor, [point.as_slice(), &values(rest)].concat())
                })
            });
            met = joined.collect();
        }
        let first = commitments[commitment].layout.first_tile(access.tensor);
        let mut sum = Sum::default();
        for (place, weight, point) in met {
            let claim = self.claim(commitment, first + place, point);
            sum.terms.push((weight, claim));
        }
        sum
    }

    fn claim(&mut self, commitment: usize, tile: usize, point: Vec<Challenge>) -> ClaimId {
        let list = &mut self.lists[commitment];
        let index = *self.known.entry((commitment, tile, words_of(&point))).or_insert_with(|| {
            list.push((tile, point));
            list.len() - 1
        });
        ClaimId { commitment, index }
    }

    /// A linear form; a constant or an access that lacks axes of the box counts inside of the box only.
    fn linear(&mut self, form: &Linear, points: &AxisPoints, box_axes: &[AxisId]) -> Sum {
        let statement = self.statement;
        let outside = |covered: &[AxisId]| -> Challenge {
            let missing = box_axes.iter().filter(|axis| !covered.contains(axis));
            missing.map(|axis| indicator(&points[axis], statement.axis(*axis).size)).product()
        };
        let mut sum = Sum { terms: Vec::new(), constant: constant(form.constant) * outside(&[]) };
        for (coefficient, access) in &form.terms {
            let covered: Vec<AxisId> = access.axes().collect();
            let scale = constant(*coefficient) * outside(&covered);
            let term = self.access(access, points);
            sum.add(term.scaled(scale));
        }
        sum
    }

    /// Products without contractions: their form is zero at the challenge point, each a left side of its own.
    pub fn linear_relations(&mut self, points: &AxisPoints) -> Vec<Equation> {
        let statement = self.statement;
        let mut equations = Vec::new();
        for named in &statement.relations {
            if let Relation::Product { output, contractions, .. } = &named.relation
                && contractions.is_empty()
            {
                let sum = self.linear(output, points, &named.axes);
                let products = vec![(Challenge::ONE, vec![sum])];
                equations.push(Equation { name: "linear relation", products });
            }
        }
        equations
    }
}

fn values(coordinates: &[Coordinate]) -> Vec<Challenge> {
    coordinates.iter().map(|coordinate| coordinate.value()).collect()
}

/// A signed integer in the field.
pub fn constant(value: i64) -> Challenge {
    Challenge::from(Value::from_i64(value))
}
