//! Sumchecks of `eq(x) * sum of constraints over factors at x`: what products and zerochecks have in common.

use obelysk_statement::{Challenge, Value};
use p3_field::{Algebra, PackedValue as _};
use rayon::prelude::*;

use crate::backend::{DeviceError, Rounds};
use crate::bind::bind;
use crate::packed::{PackedChallenge, PackedValue, pack, total, unpack};
use crate::zerocheck::Constraint;

/// Indices that one task takes at least.
const TASK: usize = 256;

/// A sumcheck in progress.
pub(super) struct Program {
    state: State,
    constraints: Vec<(Challenge, Constraint)>,
    degree: usize,
}

/// Factors, each at every index of the box.
pub(super) enum Factors {
    /// Numbers of the base field.
    Base(Vec<Vec<Value>>),
    /// Challenges, because something was evaluated at a point already.
    Weighed(Vec<Vec<Challenge>>),
}

/// `eq` and factors, before the first fold and after it, side by side while they fill a register.
enum State {
    Base { eq: Vec<PackedChallenge>, factors: Vec<Vec<Value>> },
    Folded { eq: Vec<PackedChallenge>, factors: Vec<Vec<PackedChallenge>> },
    Scalar { eq: Vec<Challenge>, factors: Vec<Vec<Challenge>> },
}

impl Program {
    pub(super) fn new(
        eq: &[Challenge],
        factors: Factors,
        constraints: Vec<(Challenge, Constraint)>,
        degree: usize,
    ) -> Self {
        let is_packed = eq.len() >= 2 * PackedValue::WIDTH;
        let state = match factors {
            Factors::Base(factors) if is_packed => State::Base { eq: pack(eq), factors },
            Factors::Base(factors) => {
                let lift = |values: Vec<Value>| values.into_iter().map(Challenge::from).collect();
                State::Scalar { eq: eq.to_vec(), factors: factors.into_iter().map(lift).collect() }
            }
            Factors::Weighed(factors) if is_packed => {
                State::Folded { eq: pack(eq), factors: factors.iter().map(|values| pack(values)).collect() }
            }
            Factors::Weighed(factors) => State::Scalar { eq: eq.to_vec(), factors },
        };
        Self { state, constraints, degree }
    }

    /// The sum that the rounds are about.
    pub(super) fn sum(&self) -> Challenge {
        match &self.state {
            State::Base { eq, factors } => total(self.sum_of::<PackedValue, _, _>(eq, &packed_slices(factors))),
            State::Folded { eq, factors } => total(self.sum_of::<PackedValue, _, _>(eq, &slices(factors))),
            State::Scalar { eq, factors } => self.sum_of::<Value, _, _>(eq, &slices(factors)),
        }
    }

    /// The constraints' powers, as what the sums are of.
    fn powers<E: From<Challenge>>(&self) -> Vec<E> {
        self.constraints.iter().map(|(power, _)| E::from(*power)).collect()
    }

    /// The sum of all constraints at values of the factors, by their powers.
    fn weighed<C, F, E>(&self, powers: &[E], current: &[F]) -> E
    where
        C: From<Value>,
        F: Algebra<C> + Copy,
        E: Algebra<F> + Copy,
    {
        powers.iter().zip(&self.constraints).map(|(&power, (_, constraint))| power * constraint.value(current)).sum()
    }

    fn sum_of<C, F, E>(&self, eq: &[E], factors: &[&[F]]) -> E
    where
        C: From<Value>,
        F: Algebra<C> + Copy + Send + Sync,
        E: Algebra<F> + From<Challenge> + Copy + Send + Sync,
    {
        let powers: Vec<E> = self.powers();
        let sums = |(part, eq): (usize, &[E])| {
            let mut current = vec![F::ZERO; factors.len()];
            let mut sum = E::ZERO;
            for (x, &eq) in eq.iter().enumerate() {
                current.iter_mut().zip(factors).for_each(|(own, factor)| *own = factor[part * TASK + x]);
                sum += eq * self.weighed::<C, F, E>(&powers, &current);
            }
            sum
        };
        eq.par_chunks(TASK).enumerate().map(sums).reduce(|| E::ZERO, |left, right| left + right)
    }

    /// Values at 0, 2, 3, .. of the round polynomial; the one at 1 follows from the sum.
    fn round<C, F, E>(&self, eq: &[E], factors: &[&[F]]) -> Vec<E>
    where
        C: From<Value>,
        F: Algebra<C> + Copy + Send + Sync,
        E: Algebra<F> + From<Challenge> + Copy + PartialEq + Send + Sync,
    {
        let half = eq.len() / 2;
        let zero = || vec![E::ZERO; self.degree];
        let task = (half / 64).max(TASK).min(half);
        let powers: Vec<E> = self.powers();
        let sums = |part: usize| {
            let mut values = zero();
            let mut current = vec![F::ZERO; factors.len()];
            let mut step = vec![F::ZERO; factors.len()];
            for x in part * task..((part + 1) * task).min(half) {
                let (mut eq, eq_step) = (eq[x], eq[x + half] - eq[x]);
                if eq == E::ZERO && eq_step == E::ZERO {
                    continue;
                }
                for (k, factor) in factors.iter().enumerate() {
                    current[k] = factor[x];
                    step[k] = factor[x + half] - factor[x];
                }
                for (place, value) in values.iter_mut().enumerate() {
                    *value += eq * self.weighed::<C, F, E>(&powers, &current);
                    let steps = if place == 0 { 2 } else { 1 };
                    for _ in 0..steps {
                        eq += eq_step;
                        for (current, step) in current.iter_mut().zip(&step) {
                            *current += *step;
                        }
                    }
                }
            }
            values
        };
        (0..half.div_ceil(task)).into_par_iter().map(sums).reduce(zero, |mut left, right| {
            left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
            left
        })
    }
}

fn slices<A>(factors: &[Vec<A>]) -> Vec<&[A]> {
    factors.iter().map(Vec::as_slice).collect()
}

fn packed_slices(factors: &[Vec<Value>]) -> Vec<&[PackedValue]> {
    factors.iter().map(|values| PackedValue::pack_slice(values)).collect()
}

impl Rounds for Program {
    fn fold(&mut self, challenge: Challenge) -> Result<(), DeviceError> {
        let packed = PackedChallenge::from(challenge);
        match &mut self.state {
            State::Base { eq, factors } => {
                bind(eq, packed);
                let folded = factors
                    .par_iter()
                    .map(|values| {
                        let values = PackedValue::pack_slice(values);
                        let (low, high) = values.split_at(values.len() / 2);
                        low.iter().zip(high).map(|(&low, &high)| packed * (high - low) + low).collect()
                    })
                    .collect();
                self.state = State::Folded { eq: std::mem::take(eq), factors: folded };
            }
            State::Folded { eq, factors } => {
                bind(eq, packed);
                factors.par_iter_mut().for_each(|values| bind(values, packed));
            }
            State::Scalar { eq, factors } => {
                bind(eq, challenge);
                factors.iter_mut().for_each(|values| bind(values, challenge));
            }
        }
        if let State::Folded { eq, factors } = &self.state
            && eq.len() == 1
        {
            self.state =
                State::Scalar { eq: unpack(eq), factors: factors.iter().map(|values| unpack(values)).collect() };
        }
        Ok(())
    }

    fn polynomial(&mut self) -> Result<Vec<Challenge>, DeviceError> {
        let totals = |sums: Vec<PackedChallenge>| sums.into_iter().map(total).collect();
        Ok(match &self.state {
            State::Base { eq, factors } => totals(self.round::<PackedValue, _, _>(eq, &packed_slices(factors))),
            State::Folded { eq, factors } => totals(self.round::<PackedValue, _, _>(eq, &slices(factors))),
            State::Scalar { eq, factors } => self.round::<Value, _, _>(eq, &slices(factors)),
        })
    }
}
