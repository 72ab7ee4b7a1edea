//! Zerochecks of row relations over one box, weighted by `eq` restricted to the box.

use std::collections::BTreeMap;

use obelysk_statement::batch::ZerocheckBatch;
use obelysk_statement::point::AxisPoints;
use obelysk_statement::relation::{Access, Linear};
use obelysk_statement::transcript::Transcript;
use obelysk_statement::{Challenge, Relation, Value};
use obelysk_verifier::proof::Sumcheck;
use p3_field::{Algebra, PrimeCharacteristicRing};
use p3_multilinear_util::point::Point;
use p3_sumcheck::generic_degree::RoundProver;
use rayon::prelude::*;

use crate::product::{eq_tables, fold};
use crate::tensors::Tensors;

/// A constraint over the values of factors, by their places.
enum Constraint {
    /// Sum of monomials.
    Rows(Vec<(Value, Vec<usize>)>),
    /// Product of two linear forms.
    Vanishing([Form; 2]),
}

/// `constant + sum coefficient * factor`.
struct Form {
    terms: Vec<(Value, usize)>,
    constant: Value,
}

impl Form {
    fn value<A: Algebra<Value> + Copy>(&self, factors: &[A]) -> A {
        self.terms.iter().fold(A::from(self.constant), |sum, &(coefficient, place)| sum + factors[place] * coefficient)
    }
}

impl Constraint {
    fn value<A: Algebra<Value> + Copy>(&self, factors: &[A]) -> A {
        match self {
            Self::Rows(monomials) => {
                monomials.iter().fold(A::ZERO, |sum, (coefficient, places)| match places.as_slice() {
                    [] => sum + A::from(*coefficient),
                    [first, rest @ ..] => {
                        sum + rest.iter().fold(factors[*first], |product, &place| product * factors[place])
                            * *coefficient
                    }
                })
            }
            Self::Vanishing([left, right]) => left.value(factors) * right.value(factors),
        }
    }
}

/// Factors before and after the first fold.
enum Factors {
    Base(Vec<Vec<Value>>),
    Folded(Vec<Vec<Challenge>>),
}

struct Zerocheck {
    eq: Vec<Challenge>,
    factors: Factors,
    constraints: Vec<(Challenge, Constraint)>,
    degree: usize,
}

/// Prove a batch of row relations.
pub(crate) fn prove(
    tensors: &Tensors,
    batch: &ZerocheckBatch,
    lambda: Challenge,
    points: &AxisPoints,
    transcript: &mut Transcript,
) -> (Sumcheck, Point<Challenge>) {
    let statement = tensors.statement;
    let mut accesses: Vec<Access> = Vec::new();
    let mut places: BTreeMap<Access, usize> = BTreeMap::new();
    let mut place = |access: &Access| {
        *places.entry(access.clone()).or_insert_with(|| {
            accesses.push(access.clone());
            accesses.len() - 1
        })
    };
    let mut constraints = Vec::new();
    let mut power = Challenge::ONE;
    for &position in &batch.relations {
        let constraint = match &statement.relations[position].relation {
            Relation::Rows { monomials } => Constraint::Rows(
                monomials
                    .iter()
                    .map(|m| (Value::from_i64(m.coefficient), m.factors.iter().map(&mut place).collect()))
                    .collect(),
            ),
            Relation::Vanishing { left, right } => {
                let mut form = |form: &Linear| Form {
                    terms: form.terms.iter().map(|(c, access)| (Value::from_i64(*c), place(access))).collect(),
                    constant: Value::from_i64(form.constant),
                };
                Constraint::Vanishing([form(left), form(right)])
            }
            Relation::Product { .. } | Relation::Lookup(_) => unreachable!("batches name row relations"),
        };
        constraints.push((power, constraint));
        power *= lambda;
    }
    let factors = accesses.par_iter().map(|access| tensors.expand(access, &batch.axes)).collect();

    let tables = eq_tables(tensors, points);
    let mut eq = vec![Challenge::ONE];
    for axis in &batch.axes {
        let bits = statement.axis(*axis).bits();
        let mut table = tables[axis].clone();
        table.resize(1 << bits, Challenge::ZERO);
        eq = eq.iter().flat_map(|&outer| table.iter().map(move |&inner| outer * inner)).collect();
    }
    let variables = eq.len().trailing_zeros() as usize;
    let mut prover = Zerocheck { eq, factors: Factors::Base(factors), constraints, degree: batch.degree };
    RoundProver::prove(&mut prover, transcript, variables, batch.degree, 0, Challenge::ZERO)
}

impl Zerocheck {
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

impl RoundProver<Challenge> for Zerocheck {
    fn fold(&mut self, challenge: Challenge) {
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
    }

    fn round_poly(&self) -> Vec<Challenge> {
        match &self.factors {
            Factors::Base(factors) => self.round(factors),
            Factors::Folded(factors) => self.round(factors),
        }
    }
}
