//! The sumcheck of one layer of fractions. In place where the layer is kept; where it is not, the first rounds compute it again, until what
//! is left after folding is as small as the largest layer that was kept: by then its memory is free.

use obelysk_statement::Challenge;
use obelysk_statement::eq::eq_table;
use p3_field::{PackedValue as _, PrimeCharacteristicRing};
use rayon::prelude::*;

use super::fractions::{Nodes, RUN, SCALAR, Tree};
use crate::backend::{DeviceError, Layer};
use crate::bind::bind;
use crate::packed::{PackedChallenge, PackedValue, pack, total, unpack};

/// Binary logarithm of the width of a register.
const LOG_WIDTH: usize = PackedValue::WIDTH.trailing_zeros() as usize;

/// A sumcheck of a layer in progress.
pub(super) struct LayerRounds<'t, 'a> {
    tree: &'t mut Tree<'a>,
    /// Of the nodes whose children are summed: there are `2^level`.
    level: usize,
    lambda: Challenge,
    challenges: Vec<Challenge>,
    state: State,
}

enum State {
    /// Nothing is stored yet.
    Recomputed(Weights<PackedChallenge>),
    Packed(Children<PackedChallenge>, Weights<PackedChallenge>),
    Scalar(Children<Challenge>, Weights<Challenge>),
}

/// Fractions of first and second children.
#[derive(Default)]
struct Children<A> {
    n0: Vec<A>,
    d0: Vec<A>,
    /// Numerators of the second children plus lambda times their denominators: `n0 d1 + n1 d0 + lambda d0 d1 = n0 d1 + d0 m1`.
    m1: Vec<A>,
    d1: Vec<A>,
}

/// `eq` of the coordinates after the current one, as a product of two tables.
#[derive(Default)]
struct Weights<A> {
    high: Vec<Challenge>,
    low: Vec<A>,
}

impl<A: PrimeCharacteristicRing + Copy> Weights<A> {
    /// Forget the most significant variable: `eq` sums to one over it.
    fn shrink(&mut self) {
        fn halve<A: PrimeCharacteristicRing + Copy>(table: &mut Vec<A>) {
            let half = table.len() / 2;
            let (low, high) = table.split_at_mut(half);
            low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
            table.truncate(half);
        }
        if self.high.len() > 1 { halve(&mut self.high) } else { halve(&mut self.low) }
    }
}

impl Weights<Challenge> {
    fn scalar(coordinates: &[Challenge]) -> Self {
        Self { high: vec![Challenge::ONE], low: eq_table(coordinates) }
    }
}

impl Weights<PackedChallenge> {
    fn packed(coordinates: &[Challenge]) -> Self {
        let (high, low) = coordinates.split_at(coordinates.len() - RUN);
        let low = pack(&eq_table(low));
        Self { high: eq_table(high), low }
    }
}

impl<A: PrimeCharacteristicRing + Copy + Send + Sync> Children<A> {
    fn new(n0: Vec<A>, d0: Vec<A>, mut n1: Vec<A>, d1: Vec<A>, lambda: A) -> Self {
        n1.par_iter_mut().zip(&d1).for_each(|(n1, &d1)| *n1 += lambda * d1);
        Self { n0, d0, m1: n1, d1 }
    }

    /// The same from a whole layer.
    fn of_layer(mut layer: Nodes<A>, lambda: A) -> Self {
        let half = layer.denominators.len() / 2;
        let (n1, d1) = (layer.numerators.split_off(half), layer.denominators.split_off(half));
        Self::new(layer.numerators, layer.denominators, n1, d1, lambda)
    }

    fn len(&self) -> usize {
        self.d0.len()
    }

    fn fold(&mut self, challenge: A) {
        for values in [&mut self.n0, &mut self.d0, &mut self.m1, &mut self.d1] {
            bind(values, challenge);
        }
    }

    /// Sums over a run of indices: the low halves' and those of the differences, which are the leading coefficients.
    fn sums(low: [&[A]; 4], high: [&[A]; 4], weights: &[A]) -> [A; 2] {
        let mut sums = [A::ZERO; 2];
        for (x, &weight) in weights.iter().enumerate() {
            let [n0, d0, m1, d1] = low.map(|values| values[x]);
            let [n0_step, d0_step, m1_step, d1_step] = std::array::from_fn(|place| high[place][x] - low[place][x]);
            sums[0] += weight * (n0 * d1 + d0 * m1);
            sums[1] += weight * (n0_step * d1_step + d0_step * m1_step);
        }
        sums
    }

    fn into_values(self) -> Vec<Vec<A>> {
        vec![self.n0, self.d0, self.m1, self.d1]
    }

    fn as_slices(&self) -> [&[A]; 4] {
        [&self.n0, &self.d0, &self.m1, &self.d1]
    }

    fn polynomial(&self, weights: &Weights<A>) -> [A; 2]
    where
        A: From<Challenge>,
    {
        let (half, run) = (self.len() / 2, weights.low.len());
        let sums = |(part, &weight): (usize, &Challenge)| {
            let low = self.as_slices().map(|values| &values[part * run..][..run]);
            let high = self.as_slices().map(|values| &values[half + part * run..][..run]);
            Self::sums(low, high, &weights.low).map(|sum| sum * A::from(weight))
        };
        weights.high.par_iter().enumerate().map(sums).reduce(|| [A::ZERO; 2], add)
    }
}

fn add<A: PrimeCharacteristicRing + Copy>(left: [A; 2], right: [A; 2]) -> [A; 2] {
    [left[0] + right[0], left[1] + right[1]]
}

impl<'t, 'a> LayerRounds<'t, 'a> {
    pub(super) fn new(tree: &'t mut Tree<'a>, lambda: Challenge, point: &[Challenge]) -> Self {
        let level = point.len();
        let later = point.get(1..).unwrap_or_default();
        let state = if level + 1 > tree.kept() {
            State::Recomputed(Weights::packed(later))
        } else if level + 1 > SCALAR {
            let layer = tree.take_packed(level + 1);
            State::Packed(Children::of_layer(layer, lambda.into()), Weights::packed(later))
        } else {
            State::Scalar(Children::of_layer(tree.scalar(level + 1).clone(), lambda), Weights::scalar(later))
        };
        let mut rounds = Self { tree, level, lambda, challenges: Vec::new(), state };
        rounds.store_if_small();
        rounds
    }

    /// First or second children of the nodes from `start` on, folded by the challenges so far: the sum over the bits `c` of the bound
    /// variables of `eq(challenges, c)` times the nodes at `c`.
    fn folded(&self, second: bool, start: usize, size: usize) -> Nodes<PackedChallenge> {
        let first = usize::from(second) << self.level;
        let step = self.level - self.challenges.len();
        let weights = eq_table(&self.challenges).into_iter().enumerate();
        let runs: Vec<_> = weights.map(|(bits, weight)| (first + (bits << step) + start, weight)).collect();
        self.tree.folded(self.level + 1, &runs, size)
    }

    fn children_of(&self, start: usize, size: usize) -> Children<PackedChallenge> {
        let [first, second] = [false, true].map(|second| self.folded(second, start, size));
        let lambda = PackedChallenge::from(self.lambda);
        let mut m1 = second.numerators;
        m1.iter_mut().zip(&second.denominators).for_each(|(m1, &d1)| *m1 += lambda * d1);
        Children { n0: first.numerators, d0: first.denominators, m1, d1: second.denominators }
    }

    fn recomputed_polynomial(&self, weights: &Weights<PackedChallenge>) -> [Challenge; 2] {
        let half = 1usize << (self.level - self.challenges.len() - 1);
        let run = weights.low.len() * PackedValue::WIDTH;
        let sums = |(part, &weight): (usize, &Challenge)| {
            let low = self.children_of(part * run, run);
            let high = self.children_of(half + part * run, run);
            Children::sums(low.as_slices(), high.as_slices(), &weights.low)
                .map(|sum| sum * PackedChallenge::from(weight))
        };
        weights.high.par_iter().enumerate().map(sums).reduce(|| [PackedChallenge::ZERO; 2], add).map(total)
    }

    /// Store what is left of a layer that was computed again.
    fn store_if_small(&mut self) {
        if let State::Recomputed(weights) = &mut self.state
            && self.level - self.challenges.len() <= self.tree.kept()
        {
            let weights = std::mem::take(weights);
            let spare = std::mem::take(&mut self.tree.spare);
            self.state = State::Packed(self.stored(spare), weights);
        }
    }

    fn stored(&self, mut spare: Vec<Vec<PackedChallenge>>) -> Children<PackedChallenge> {
        let size = 1usize << (self.level - self.challenges.len());
        let [mut n0, mut d0, mut m1, mut d1] = std::array::from_fn(|_| {
            let mut values = spare.pop().unwrap_or_default();
            values.resize(size >> LOG_WIDTH, PackedChallenge::ZERO);
            values
        });
        let run = 1 << (RUN - LOG_WIDTH);
        let firsts = n0.par_chunks_mut(run).zip(d0.par_chunks_mut(run));
        let seconds = m1.par_chunks_mut(run).zip(d1.par_chunks_mut(run));
        firsts.zip(seconds).enumerate().for_each(|(part, ((n0, d0), (m1, d1)))| {
            let children = self.children_of(part << RUN, 1 << RUN);
            n0.copy_from_slice(&children.n0);
            d0.copy_from_slice(&children.d0);
            m1.copy_from_slice(&children.m1);
            d1.copy_from_slice(&children.d1);
        });
        Children { n0, d0, m1, d1 }
    }
}

impl Layer for LayerRounds<'_, '_> {
    fn polynomial(&mut self) -> Result<[Challenge; 2], DeviceError> {
        Ok(match &self.state {
            State::Recomputed(weights) => self.recomputed_polynomial(weights),
            State::Packed(children, weights) => children.polynomial(weights).map(total),
            State::Scalar(children, weights) => children.polynomial(weights),
        })
    }

    fn fold(&mut self, challenge: Challenge) -> Result<(), DeviceError> {
        self.challenges.push(challenge);
        let left = self.level - self.challenges.len();
        match &mut self.state {
            State::Recomputed(weights) => {
                weights.shrink();
                self.store_if_small();
            }
            State::Packed(children, weights) => {
                children.fold(challenge.into());
                if left > LOG_WIDTH {
                    weights.shrink();
                } else {
                    let [n0, d0, m1, d1] = children.as_slices().map(unpack);
                    let mut weights = Weights { high: vec![Challenge::ONE], low: unpack(&weights.low) };
                    weights.shrink();
                    self.tree.spare = std::mem::take(children).into_values();
                    self.state = State::Scalar(Children { n0, d0, m1, d1 }, weights);
                }
            }
            State::Scalar(children, weights) => {
                children.fold(challenge);
                if left > 0 {
                    weights.shrink();
                }
            }
        }
        Ok(())
    }

    fn children(&mut self) -> Result<[Challenge; 4], DeviceError> {
        let State::Scalar(Children { n0, d0, m1, d1 }, _) = &self.state else {
            unreachable!("children are asked for when every variable is bound")
        };
        Ok([n0[0], d0[0], m1[0] - self.lambda * d1[0], d1[0]])
    }
}
