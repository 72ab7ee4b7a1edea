//! Sumchecks of products: free axes are evaluated at the challenge point first, so the sum runs over shared and summed axes
//! alone.

use obelysk_statement::axis::AxisId;
use obelysk_statement::batch::ProductBatch;
use obelysk_statement::point::AxisPoints;
use obelysk_statement::public::eq_table;
use obelysk_statement::reduction::constant;
use obelysk_statement::transcript::Transcript;
use obelysk_statement::{Challenge, Relation};
use obelysk_verifier::proof::Sumcheck;
use p3_field::PrimeCharacteristicRing;
use p3_multilinear_util::point::Point;
use p3_sumcheck::generic_degree::RoundProver;
use rayon::prelude::*;

use crate::tensors::{EqTables, Tensors};

/// `sum over x of eq(x) * sum over pairs of left(x) * right(x)`; coefficients are in the left factors.
struct Pairs {
    eq: Vec<Challenge>,
    pairs: Vec<[Vec<Challenge>; 2]>,
    degree: usize,
}

/// Prove a batch of products.
pub(crate) fn prove(
    tensors: &Tensors,
    batch: &ProductBatch,
    lambda: Challenge,
    points: &AxisPoints,
    transcript: &mut Transcript,
) -> (Sumcheck, Point<Challenge>) {
    let statement = tensors.statement;
    let tables = eq_tables(tensors, points);
    let keep = batch.axes();
    let mut jobs = Vec::new();
    let mut power = Challenge::ONE;
    for &position in &batch.relations {
        let Relation::Product { contractions, .. } = &statement.relations[position].relation else {
            unreachable!("batches name products")
        };
        jobs.extend(contractions.iter().map(|contraction| (power * constant(contraction.coefficient), contraction)));
        power *= lambda;
    }
    let pairs: Vec<[Vec<Challenge>; 2]> = jobs
        .par_iter()
        .map(|(scale, contraction)| {
            let mut left = tensors.restrict(&contraction.left, &keep, &tables);
            left.iter_mut().for_each(|value| *value *= *scale);
            [left, tensors.restrict(&contraction.right, &keep, &tables)]
        })
        .collect();
    let summed: usize = batch.summed.iter().map(|&axis| statement.axis(axis).bits()).sum();
    let shared: Vec<Challenge> =
        batch.shared.iter().flat_map(|axis| points[axis].iter().map(|coordinate| coordinate.value())).collect();
    let eq: Vec<Challenge> =
        eq_table(&shared).into_iter().flat_map(|weight| std::iter::repeat_n(weight, 1 << summed)).collect();
    let variables = summed + shared.len();
    let mut prover = Pairs { eq, pairs, degree: batch.degree() };
    let sum = (0..1 << variables)
        .map(|x| prover.eq[x] * prover.pairs.iter().map(|[left, right]| left[x] * right[x]).sum::<Challenge>())
        .sum();
    RoundProver::prove(&mut prover, transcript, variables, batch.degree(), 0, sum)
}

/// `eq` tables of the challenge points.
pub(crate) fn eq_tables(tensors: &Tensors, points: &AxisPoints) -> EqTables {
    let table = |axis: AxisId, coordinates: &Vec<obelysk_statement::point::Coordinate>| {
        let values: Vec<Challenge> = coordinates.iter().map(|coordinate| coordinate.value()).collect();
        let mut table = eq_table(&values);
        table.truncate(tensors.statement.axis(axis).size);
        table
    };
    points.iter().map(|(&axis, coordinates)| (axis, table(axis, coordinates))).collect()
}

/// Bind the first variable.
pub(crate) fn fold(values: &mut Vec<Challenge>, challenge: Challenge) {
    let half = values.len() / 2;
    let (low, high) = values.split_at_mut(half);
    for (low, high) in low.iter_mut().zip(high) {
        *low += challenge * (*high - *low);
    }
    values.truncate(half);
}

impl RoundProver<Challenge> for Pairs {
    fn fold(&mut self, challenge: Challenge) {
        fold(&mut self.eq, challenge);
        for [left, right] in &mut self.pairs {
            fold(left, challenge);
            fold(right, challenge);
        }
    }

    fn round_poly(&self) -> Vec<Challenge> {
        let half = self.eq.len() / 2;
        // At 0, 2 and, with eq, 3: the verifier derives the value at 1.
        let mut values = vec![Challenge::ZERO; self.degree];
        for x in 0..half {
            let mut products = [Challenge::ZERO; 3];
            for [left, right] in &self.pairs {
                let (l0, r0) = (left[x], right[x]);
                let (dl, dr) = (left[x + half] - l0, right[x + half] - r0);
                products[0] += l0 * r0;
                let (l2, r2) = (l0 + dl.double(), r0 + dr.double());
                products[1] += l2 * r2;
                if self.degree == 3 {
                    products[2] += (l2 + dl) * (r2 + dr);
                }
            }
            let (e0, de) = (self.eq[x], self.eq[x + half] - self.eq[x]);
            values[0] += e0 * products[0];
            values[1] += (e0 + de.double()) * products[1];
            if self.degree == 3 {
                values[2] += (e0 + de.double() + de) * products[2];
            }
        }
        values
    }
}
