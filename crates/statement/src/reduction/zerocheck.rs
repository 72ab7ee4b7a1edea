//! A zerocheck's last claims: the factors of its rows where it ends.

use p3_field::PrimeCharacteristicRing;

use super::{Claims, Equation, constant, values};
use crate::Challenge;
use crate::batch::ZerocheckBatch;
use crate::eq::restricted_eq;
use crate::point::{AxisPoints, Coordinate};
use crate::relation::Relation;

impl Claims<'_> {
    /// A batch of row relations whose zerocheck ends at `end`: its last value.
    pub fn zerocheck(
        &mut self,
        batch: &ZerocheckBatch,
        lambda: Challenge,
        points: &AxisPoints,
        end: &[Challenge],
    ) -> Equation {
        let statement = self.statement;
        let mut inner = AxisPoints::new();
        let mut rest = end;
        let mut weight = Challenge::ONE;
        for &axis in &batch.axes {
            let (own, tail) = rest.split_at(statement.axis(axis).bits());
            weight *= restricted_eq(&values(&points[&axis]), own, statement.axis(axis).size);
            inner.insert(axis, own.iter().map(|&value| Coordinate::Value(value)).collect());
            rest = tail;
        }
        let mut products = Vec::new();
        let mut power = weight;
        for &position in &batch.relations {
            match &statement.relations[position].relation {
                Relation::Rows { monomials } => {
                    for monomial in monomials {
                        let factors = monomial.factors.iter().map(|access| self.access(access, &inner)).collect();
                        products.push((power * constant(monomial.coefficient), factors));
                    }
                }
                Relation::Vanishing { left, right } => {
                    let factors = [left, right].map(|form| self.linear(form, &inner, &[]));
                    products.push((power, factors.into()));
                }
                Relation::Product { .. } | Relation::Lookup(_) => unreachable!("batches name row relations"),
            }
            power *= lambda;
        }
        Equation { name: "row relations", products }
    }
}
