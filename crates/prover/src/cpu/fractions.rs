//! The tree of fractions. Layers up to a size are kept; those below, of which the leaves are most, are computed again wherever they are
//! read, in runs that fit the cache: a proof's memory does not grow with its lookups.

use obelysk_statement::{Challenge, Value};
use p3_field::{Algebra, BasedVectorSpace, PackedValue as _, PrimeCharacteristicRing};
use rayon::prelude::*;

use super::layer::LayerRounds;
use super::leaves::{Leaves, Run};
use crate::backend::{DeviceError, Fractions, Layer};
use crate::packed::{PackedChallenge, PackedValue, unpack};

/// Binary logarithm of the nodes of the largest layer that is ever kept.
const LARGEST_KEPT: usize = 23;
/// Layers at the leaves that are not kept, but for small trees: they are three quarters of a tree, and cheap to compute.
const RECOMPUTED: usize = 2;
/// Binary logarithm of the nodes of the largest layer that is kept number by number.
pub(super) const SCALAR: usize = 10;
/// Binary logarithm of the nodes that are computed at once.
pub(super) const RUN: usize = 9;

/// Fractions of some nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Nodes<A> {
    pub(super) numerators: Vec<A>,
    pub(super) denominators: Vec<A>,
}

/// The tree over some leaves.
pub(super) struct Tree<'a> {
    leaves: Leaves<'a>,
    /// The layers of `1, 2, 4, ..` nodes, up to [`SCALAR`].
    scalar: Vec<Nodes<Challenge>>,
    /// The layers of twice, four times, .. as many nodes, up to the largest that is kept.
    packed: Vec<Nodes<PackedChallenge>>,
    /// Binary logarithm of the nodes of that layer.
    kept: usize,
    /// Memory of layers that are done with, for those that are folded after them.
    pub(super) spare: Vec<Vec<PackedChallenge>>,
}

/// Binary logarithm of the nodes of the largest layer that is kept of a tree of `2^variables` leaves.
pub(crate) fn kept(variables: usize) -> usize {
    LARGEST_KEPT.min(variables.saturating_sub(RECOMPUTED)).max(SCALAR + 1).min(variables)
}

impl<A: PrimeCharacteristicRing + Copy + Send + Sync> Nodes<A> {
    fn zero(size: usize) -> Self {
        Self { numerators: vec![A::ZERO; size], denominators: vec![A::ZERO; size] }
    }

    /// The layer above: a node's children are half a layer apart.
    fn parents(&self) -> Self {
        let half = self.denominators.len() / 2;
        let (n0, n1) = self.numerators.split_at(half);
        let (d0, d1) = self.denominators.split_at(half);
        let places = || (0..half).into_par_iter().with_min_len(1 << RUN);
        Self {
            numerators: places().map(|x| n0[x] * d1[x] + n1[x] * d0[x]).collect(),
            denominators: places().map(|x| d0[x] * d1[x]).collect(),
        }
    }

    fn sum(mut self, other: &Self) -> Self {
        for x in 0..self.denominators.len() {
            self.numerators[x] =
                self.numerators[x] * other.denominators[x] + other.numerators[x] * self.denominators[x];
            self.denominators[x] *= other.denominators[x];
        }
        self
    }
}

impl Nodes<PackedChallenge> {
    /// One by one.
    pub(super) fn unpack(&self) -> Nodes<Challenge> {
        Nodes { numerators: unpack(&self.numerators), denominators: unpack(&self.denominators) }
    }
}

/// Challenges side by side, from their coefficients.
fn interleave(coefficients: &[Vec<Value>; 4]) -> Vec<PackedChallenge> {
    let packed = coefficients.each_ref().map(|values| PackedValue::pack_slice(values));
    (0..packed[0].len()).map(|x| PackedChallenge::from_basis_coefficients_fn(|place| packed[place][x])).collect()
}

impl Run {
    pub(super) fn nodes(&self) -> Nodes<Challenge> {
        let size = self.denominators[0].len();
        let denominator = |x: usize| Challenge::from_basis_coefficients_fn(|place| self.denominators[place][x]);
        let numerators = match &self.numerators {
            None => vec![Challenge::ONE; size],
            Some(values) => values.iter().map(|&value| value.into()).collect(),
        };
        Nodes { numerators, denominators: (0..size).map(denominator).collect() }
    }

    pub(super) fn packed_nodes(&self) -> Nodes<PackedChallenge> {
        let denominators = interleave(&self.denominators);
        let numerators = match &self.numerators {
            None => vec![PackedChallenge::ONE; denominators.len()],
            Some(values) => PackedValue::pack_slice(values).iter().map(|&value| value.into()).collect(),
        };
        Nodes { numerators, denominators }
    }

    /// The fractions of nodes whose children these are; most numerators are one.
    fn sum(&self, other: &Self) -> Nodes<PackedChallenge> {
        let (d0, d1) = (interleave(&self.denominators), interleave(&other.denominators));
        let by = |numerators: &Option<Vec<Value>>, denominators: &[PackedChallenge]| match numerators {
            None => denominators.to_vec(),
            Some(values) => scaled(denominators, PackedValue::pack_slice(values)),
        };
        let mut numerators = by(&self.numerators, &d1);
        let others = by(&other.numerators, &d0);
        numerators.iter_mut().zip(others).for_each(|(sum, term)| *sum += term);
        Nodes { numerators, denominators: d0.iter().zip(&d1).map(|(&d0, &d1)| d0 * d1).collect() }
    }
}

fn scaled<A: Algebra<B> + Copy, B: Copy>(values: &[A], factors: &[B]) -> Vec<A> {
    values.iter().zip(factors).map(|(&value, &factor)| value * factor).collect()
}

impl<'a> Tree<'a> {
    /// Compute the layers that are kept.
    pub(super) fn new(leaves: Leaves<'a>) -> Self {
        let kept = kept(leaves.variables);
        Self::keeping(leaves, kept)
    }

    pub(super) fn keeping(leaves: Leaves<'a>, kept: usize) -> Self {
        let kept = kept.min(leaves.variables);
        let mut tree = Self { leaves, scalar: Vec::new(), packed: Vec::new(), kept: 0, spare: Vec::new() };
        let mut lowest = if kept <= SCALAR {
            tree.leaves_one_by_one(kept)
        } else {
            let mut packed = vec![tree.layer_in_runs(kept)];
            while packed.len() < kept - SCALAR {
                let parents = packed.last().expect("not empty").parents();
                packed.push(parents);
            }
            let lowest = packed.last().expect("not empty").unpack().parents();
            packed.reverse();
            tree.packed = packed;
            lowest
        };
        let mut scalar = Vec::new();
        while lowest.denominators.len() > 1 {
            let parents = lowest.parents();
            scalar.push(std::mem::replace(&mut lowest, parents));
        }
        scalar.push(lowest);
        scalar.reverse();
        Self { scalar, kept, ..tree }
    }

    /// The layer of `2^level` nodes of a small tree, whose leaves it is or is not.
    fn leaves_one_by_one(&self, level: usize) -> Nodes<Challenge> {
        let mut nodes = self.leaves.run(0, 1 << self.leaves.variables).nodes();
        while nodes.denominators.len() > 1 << level {
            nodes = nodes.parents();
        }
        nodes
    }

    fn layer_in_runs(&self, level: usize) -> Nodes<PackedChallenge> {
        let run = (1 << RUN) / PackedValue::WIDTH;
        let mut layer = Nodes::zero(run << (level - RUN));
        let runs = layer.numerators.par_chunks_mut(run).zip(layer.denominators.par_chunks_mut(run));
        runs.enumerate().for_each(|(run, (numerators, denominators))| {
            let nodes = self.nodes(level, run << RUN, 1 << RUN);
            numerators.copy_from_slice(&nodes.numerators);
            denominators.copy_from_slice(&nodes.denominators);
        });
        layer
    }

    /// Variables of the leaves.
    pub(super) fn variables(&self) -> usize {
        self.leaves.variables
    }

    /// Binary logarithm of the nodes of the largest layer that is kept.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    /// Take a kept layer that nothing reads any more, if it is kept side by side.
    pub(super) fn take_packed(&mut self, level: usize) -> Nodes<PackedChallenge> {
        let place = level - SCALAR - 1;
        std::mem::take(&mut self.packed[place])
    }

    /// A kept layer, one by one.
    pub(super) fn scalar(&self, level: usize) -> &Nodes<Challenge> {
        &self.scalar[level]
    }

    /// The sum of runs of `size` nodes of a layer by weights that sum to one.
    pub(super) fn folded(&self, level: usize, runs: &[(usize, Challenge)], size: usize) -> Nodes<PackedChallenge> {
        if let &[(start, _)] = runs {
            return self.nodes(level, start, size);
        }
        if level == self.variables() {
            let folded = self.leaves.folded(runs, size);
            let denominators = interleave(&folded.denominators);
            let ones = || vec![PackedChallenge::ONE; denominators.len()];
            let numerators = folded.numerators.as_ref().map_or_else(ones, interleave);
            return Nodes { numerators, denominators };
        }
        let mut sum = Nodes::zero(size / PackedValue::WIDTH);
        for &(start, weight) in runs {
            let (nodes, weight) = (self.nodes(level, start, size), PackedChallenge::from(weight));
            sum.numerators.iter_mut().zip(nodes.numerators).for_each(|(sum, value)| *sum += weight * value);
            sum.denominators.iter_mut().zip(nodes.denominators).for_each(|(sum, value)| *sum += weight * value);
        }
        sum
    }

    /// `size` nodes of a layer from `start` on.
    pub(super) fn nodes(&self, level: usize, start: usize, size: usize) -> Nodes<PackedChallenge> {
        let variables = self.variables();
        if level == variables {
            return self.leaves.run(start, size).packed_nodes();
        }
        let other = start + (1 << level);
        if level + 1 == variables {
            return self.leaves.run(start, size).sum(&self.leaves.run(other, size));
        }
        self.nodes(level + 1, start, size).sum(&self.nodes(level + 1, other, size))
    }
}

impl Fractions for Tree<'_> {
    fn root(&self) -> Challenge {
        self.scalar[0].denominators[0]
    }

    fn layer<'a>(&'a mut self, lambda: Challenge, point: &[Challenge]) -> Result<Box<dyn Layer + 'a>, DeviceError> {
        Ok(Box::new(LayerRounds::new(self, lambda, point)))
    }
}
