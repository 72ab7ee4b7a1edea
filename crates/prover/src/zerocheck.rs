//! Zerochecks of row relations over one box, weighted by `eq` restricted to the box.

use std::collections::BTreeMap;

use obelysk_statement::batch::{ZerocheckBatch, variables};
use obelysk_statement::point::AxisPoints;
use obelysk_statement::relation::{Access, Linear};
use obelysk_statement::{Challenge, Relation, Statement, Value};
use p3_field::{Algebra, PrimeCharacteristicRing};

use crate::backend::{Backend, DeviceError};
use crate::messages::Messages;
use crate::sumcheck;

/// A batch of row relations as a program: what is read at every index of the box, and what must vanish there.
pub struct Rows<'a> {
    /// The box and the degree.
    pub batch: &'a ZerocheckBatch,
    /// Factors, each once.
    pub factors: Vec<Access>,
    /// Constraints, scaled by powers of the batching challenge.
    pub constraints: Vec<(Challenge, Constraint)>,
}

/// A constraint over the values of factors, by their places.
pub enum Constraint {
    /// Sum of monomials.
    Rows(Vec<(Value, Vec<usize>)>),
    /// Product of two linear forms.
    Vanishing([Form; 2]),
}

/// `constant + sum coefficient * factor`.
pub struct Form {
    terms: Vec<(Value, usize)>,
    constant: Value,
}

impl Form {
    fn monomials(&self) -> impl Iterator<Item = (Value, Vec<usize>)> {
        let terms = self.terms.iter().map(|&(coefficient, place)| (coefficient, vec![place]));
        terms.chain([(self.constant, Vec::new())]).filter(|(coefficient, _)| *coefficient != Value::ZERO)
    }

    fn value<C: From<Value>, A: Algebra<C> + Copy>(&self, factors: &[A]) -> A {
        let constant = A::from(C::from(self.constant));
        self.terms.iter().fold(constant, |sum, &(coefficient, place)| sum + factors[place] * C::from(coefficient))
    }
}

impl Constraint {
    /// The same as a sum of monomials: coefficients, and the places of factors.
    #[must_use]
    pub fn monomials(&self) -> Vec<(Value, Vec<usize>)> {
        match self {
            Self::Rows(monomials) => monomials.clone(),
            Self::Vanishing([left, right]) => {
                let products = |(left, places): (Value, Vec<usize>)| {
                    right.monomials().map(move |(right, others)| (left * right, [&places[..], &others].concat()))
                };
                left.monomials().flat_map(products).collect()
            }
        }
    }

    /// The value for these factors, whose coefficients are as wide as they are.
    pub fn value<C: From<Value>, A: Algebra<C> + Copy>(&self, factors: &[A]) -> A {
        match self {
            Self::Rows(monomials) => {
                monomials.iter().fold(A::ZERO, |sum, (coefficient, places)| match places.as_slice() {
                    [] => sum + A::from(C::from(*coefficient)),
                    [first, rest @ ..] => {
                        let product = rest.iter().fold(factors[*first], |product, &place| product * factors[place]);
                        sum + product * C::from(*coefficient)
                    }
                })
            }
            Self::Vanishing([left, right]) => left.value::<C, A>(factors) * right.value::<C, A>(factors),
        }
    }
}

impl<'a> Rows<'a> {
    /// The program of a batch.
    #[must_use]
    pub fn new(statement: &Statement, batch: &'a ZerocheckBatch, lambda: Challenge) -> Self {
        let mut factors: Vec<Access> = Vec::new();
        let mut places: BTreeMap<Access, usize> = BTreeMap::new();
        let mut place = |access: &Access| {
            *places.entry(access.clone()).or_insert_with(|| {
                factors.push(access.clone());
                factors.len() - 1
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
        Self { batch, factors, constraints }
    }
}

/// Prove a batch of row relations. The point where it ends.
pub(crate) fn prove<B: Backend>(
    backend: &B,
    statement: &Statement,
    values: &B::Values<'_>,
    batch: &ZerocheckBatch,
    lambda: Challenge,
    points: &AxisPoints,
    messages: &mut Messages,
) -> Result<Vec<Challenge>, DeviceError> {
    let mut rounds = backend.zerocheck(values, Rows::new(statement, batch, lambda), points)?;
    let rounds = rounds.as_mut();
    sumcheck::prove(rounds, variables(statement, &batch.axes), batch.degree, Challenge::ZERO, messages)
}
