//! Zerochecks of row relations over one box, weighted by `eq` restricted to the box.

use obelysk_statement::point::AxisPoints;
use obelysk_statement::{Challenge, Value};
use p3_field::{Algebra, PrimeCharacteristicRing};
use rayon::prelude::*;

use super::product::fold;
use super::tensors::{Tensors, eq_tables};
use crate::backend::{DeviceError, Rounds};
use crate::zerocheck::{Constraint, Rows};

/// Factors before and after the first fold.
enum Factors {
    Base(Vec<Vec<Value>>),
    Folded(Vec<Vec<Challenge>>),
}

pub(super) struct Zerocheck {
    eq: Vec<Challenge>,
    factors: Factors,
    constraints: Vec<(Challenge, Constraint)>,
    degree: usize,
}

impl Zerocheck {
    pub(super) fn new(tensors: &Tensors, rows: Rows, points: &AxisPoints) -> Self {
        let Rows { batch, factors, constraints } = rows;
        let factors = factors.par_iter().map(|access| tensors.expand(access, &batch.axes)).collect();
        let tables = eq_tables(tensors.statement, points);
        let mut eq = vec![Challenge::ONE];
        for axis in &batch.axes {
            let mut table = tables[axis].clone();
            table.resize(1 << tensors.statement.axis(*axis).bits(), Challenge::ZERO);
            eq = eq.iter().flat_map(|&outer| table.iter().map(move |&inner| outer * inner)).collect();
        }
        Self { eq, factors: Factors::Base(factors), constraints, degree: batch.degree }
    }

    /// Values at 0, 2, 3, .. of the round polynomial; the verifier derives the one at 1.
    fn round<A>(&self, factors: &[Vec<A>]) -> Vec<Challenge>
    where
        A: Algebra<Value> + Copy + Send + Sync,
        Challenge: Algebra<A>,
    {
        let half = self.eq.len() / 2;
        let zero = || vec![Challenge::ZERO; self.degree];
        let chunk = (half / 64).max(256).min(half);
        (0..half.div_ceil(chunk))
            .into_par_iter()
            .map(|part| {
                let mut values = zero();
                let mut current = vec![A::ZERO; factors.len()];
                let mut step = vec![A::ZERO; factors.len()];
                for x in part * chunk..((part + 1) * chunk).min(half) {
                    let (mut eq, eq_step) = (self.eq[x], self.eq[x + half] - self.eq[x]);
                    if eq == Challenge::ZERO && eq_step == Challenge::ZERO {
                        continue;
                    }
                    for (k, factor) in factors.iter().enumerate() {
                        current[k] = factor[x];
                        step[k] = factor[x + half] - factor[x];
                    }
                    for (place, value) in values.iter_mut().enumerate() {
                        let sum: Challenge = self
                            .constraints
                            .iter()
                            .map(|(power, constraint)| *power * constraint.value(&current))
                            .sum();
                        *value += eq * sum;
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
            })
            .reduce(zero, |mut left, right| {
                left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
                left
            })
    }
}

impl Rounds for Zerocheck {
    fn fold(&mut self, challenge: Challenge) -> Result<(), DeviceError> {
        fold(&mut self.eq, challenge);
        match &mut self.factors {
            Factors::Base(factors) => {
                let folded = factors
                    .par_iter()
                    .map(|values| {
                        let (low, high) = values.split_at(values.len() / 2);
                        low.iter().zip(high).map(|(&low, &high)| challenge * (high - low) + low).collect()
                    })
                    .collect();
                self.factors = Factors::Folded(folded);
            }
            Factors::Folded(factors) => factors.par_iter_mut().for_each(|values| fold(values, challenge)),
        }
        Ok(())
    }

    fn polynomial(&mut self) -> Result<Vec<Challenge>, DeviceError> {
        Ok(match &self.factors {
            Factors::Base(factors) => self.round(factors),
            Factors::Folded(factors) => self.round(factors),
        })
    }
}
