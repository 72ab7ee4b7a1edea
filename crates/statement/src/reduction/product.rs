//! A product sumcheck's last claims: outputs where it starts, factors where it ends.

use p3_field::PrimeCharacteristicRing;

use super::{Claims, Equation, constant, values};
use crate::Challenge;
use crate::batch::ProductBatch;
use crate::eq::eq;
use crate::point::{AxisPoints, Coordinate};
use crate::relation::Relation;

impl Claims<'_> {
    /// A batch of products whose sumcheck ends at `end`: outputs, which are its sum, and factors, which are its last value.
    pub fn products(
        &mut self,
        batch: &ProductBatch,
        lambda: Challenge,
        points: &AxisPoints,
        end: &[Challenge],
    ) -> [Equation; 2] {
        let statement = self.statement;
        let mut inner = points.clone();
        let mut rest = end;
        for axis in batch.axes() {
            let (own, tail) = rest.split_at(statement.axis(axis).bits());
            inner.insert(axis, own.iter().map(|&value| Coordinate::Value(value)).collect());
            rest = tail;
        }
        let weight: Challenge =
            batch.shared.iter().map(|axis| eq(&values(&points[axis]), &values(&inner[axis]))).product();
        let mut outputs = Vec::new();
        let mut factors = Vec::new();
        let mut power = Challenge::ONE;
        for &position in &batch.relations {
            let named = &statement.relations[position];
            let Relation::Product { output, contractions, .. } = &named.relation else {
                unreachable!("batches name products")
            };
            outputs.push((power, vec![self.linear(output, points, &named.axes)]));
            for contraction in contractions {
                let left = self.access(&contraction.left, &inner);
                let right = self.access(&contraction.right, &inner);
                factors.push((power * weight * constant(contraction.coefficient), vec![left, right]));
            }
            power *= lambda;
        }
        [
            Equation { name: "outputs of products", products: outputs },
            Equation { name: "factors of products", products: factors },
        ]
    }
}
