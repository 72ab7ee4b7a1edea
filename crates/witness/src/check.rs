//! Relations over plain integers: what a proof shows, checked directly. Slow and obvious; tests and tools use it.

use obelysk_statement::Statement;
use obelysk_statement::relation::{NamedRelation, Relation};

use crate::multiplicities::look_up;
use crate::reader::{Cursor, Reader, first_index};
use crate::{Assignment, Weights};

/// A relation that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("relation `{relation}` does not hold at index {index:?}")]
pub struct Unsatisfied {
    /// Name of the relation.
    pub relation: String,
    /// Where in its box.
    pub index: Vec<usize>,
}

/// Check every relation.
///
/// # Errors
/// The first relation that does not hold, with the first index at which it fails.
///
/// # Panics
/// If a committed tensor has no values or a wrong number of them.
pub fn check(statement: &Statement, weights: &Weights, witness: &Assignment) -> Result<(), Unsatisfied> {
    statement.relations.iter().try_for_each(|named| check_relation(statement, weights, witness, named))
}

/// Check one relation.
///
/// # Errors
/// The first index at which it fails.
///
/// # Panics
/// As [`check`].
pub fn check_relation(
    statement: &Statement,
    weights: &Weights,
    witness: &Assignment,
    named: &NamedRelation,
) -> Result<(), Unsatisfied> {
    let failed = match &named.relation {
        Relation::Lookup(lookup) => look_up(statement, weights, witness, named, lookup, |_| {}).map(|miss| miss.index),
        Relation::Product { output, contractions, summed } => {
            let axes = [named.axes.as_slice(), summed].concat();
            let reader = Reader::new(statement, weights, witness, &axes);
            let output = reader.linear(output);
            let pairs: Vec<_> =
                contractions.iter().map(|c| (c.coefficient, reader.access(&c.left), reader.access(&c.right))).collect();
            let (outer, inner) = reader.sizes.split_at(named.axes.len());
            first_index(outer, |index| {
                let mut full = index.to_vec();
                full.resize(axes.len(), 0);
                let expected = i128::from(output.value(&full));
                let mut sum = 0;
                if !pairs.is_empty() {
                    first_index(inner, |tail| {
                        full[outer.len()..].copy_from_slice(tail);
                        for (coefficient, left, right) in &pairs {
                            sum += i128::from(coefficient * left.value(&full)) * i128::from(right.value(&full));
                        }
                        false
                    });
                }
                sum != expected
            })
        }
        Relation::Rows { monomials } => {
            let reader = Reader::new(statement, weights, witness, &named.axes);
            let monomials: Vec<(i64, Vec<_>)> = monomials
                .iter()
                .map(|m| (m.coefficient, m.factors.iter().map(|factor| reader.access(factor)).collect()))
                .collect();
            first_index(&reader.sizes, |index| {
                let value =
                    |factors: &Vec<Cursor>| factors.iter().map(|f| i128::from(f.value(index))).product::<i128>();
                monomials.iter().map(|(c, factors)| i128::from(*c) * value(factors)).sum::<i128>() != 0
            })
        }
        Relation::Vanishing { left, right } => {
            let reader = Reader::new(statement, weights, witness, &named.axes);
            let (left, right) = (reader.linear(left), reader.linear(right));
            first_index(&reader.sizes, |index| left.value(index) != 0 && right.value(index) != 0)
        }
    };
    match failed {
        Some(index) => Err(Unsatisfied { relation: named.name.clone(), index }),
        None => Ok(()),
    }
}
