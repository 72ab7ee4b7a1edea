//! Sumchecks of products: free axes are evaluated at the challenge point first, so the sum runs over shared and summed axes alone.

use obelysk_statement::Challenge;
use obelysk_statement::eq::eq_table;
use obelysk_statement::point::AxisPoints;
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;

use super::tensors::{Tensors, eq_tables};
use crate::backend::{DeviceError, ProductTerms, Rounds};

/// `sum over x of eq(x) * sum over pairs of left(x) * right(x)`; scales are in the left factors.
pub(super) struct Pairs {
    eq: Vec<Challenge>,
    pairs: Vec<[Vec<Challenge>; 2]>,
    degree: usize,
}

impl Pairs {
    pub(super) fn new(tensors: &Tensors, terms: &ProductTerms, points: &AxisPoints) -> Self {
        let ProductTerms { batch, terms } = terms;
        let tables = eq_tables(tensors.statement, points);
        let keep = batch.axes();
        let pairs: Vec<[Vec<Challenge>; 2]> = terms
            .par_iter()
            .map(|(scale, contraction)| {
                let mut left = tensors.restrict(&contraction.left, &keep, &tables);
                left.iter_mut().for_each(|value| *value *= *scale);
                [left, tensors.restrict(&contraction.right, &keep, &tables)]
            })
            .collect();
        let summed: usize = batch.summed.iter().map(|&axis| tensors.statement.axis(axis).bits()).sum();
        let shared: Vec<Challenge> =
            batch.shared.iter().flat_map(|axis| points[axis].iter().map(|coordinate| coordinate.value())).collect();
        let eq = eq_table(&shared).into_iter().flat_map(|weight| std::iter::repeat_n(weight, 1 << summed)).collect();
        Self { eq, pairs, degree: batch.degree() }
    }

    pub(super) fn sum(&self) -> Challenge {
        let at = |(x, &eq): (usize, &Challenge)| {
            eq * self.pairs.iter().map(|[left, right]| left[x] * right[x]).sum::<Challenge>()
        };
        self.eq.par_iter().enumerate().map(at).sum()
    }
}

/// Bind the first variable.
pub(super) fn fold(values: &mut Vec<Challenge>, challenge: Challenge) {
    let half = values.len() / 2;
    let (low, high) = values.split_at_mut(half);
    for (low, high) in low.iter_mut().zip(high) {
        *low += challenge * (*high - *low);
    }
    values.truncate(half);
}

impl Rounds for Pairs {
    fn fold(&mut self, challenge: Challenge) -> Result<(), DeviceError> {
        fold(&mut self.eq, challenge);
        self.pairs.par_iter_mut().flatten().for_each(|factor| fold(factor, challenge));
        Ok(())
    }

    fn polynomial(&mut self) -> Result<Vec<Challenge>, DeviceError> {
        /// Indices that one thread takes at once.
        const CHUNK: usize = 256;
        let half = self.eq.len() / 2;
        // At 0, 2 and, with eq, 3: the verifier derives the value at 1.
        let at = |x: usize| {
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
            let e2 = e0 + de.double();
            [e0 * products[0], e2 * products[1], (e2 + de) * products[2]]
        };
        let add = |left: [Challenge; 3], right: [Challenge; 3]| std::array::from_fn(|place| left[place] + right[place]);
        let zero = || [Challenge::ZERO; 3];
        let sums = (0..half).into_par_iter().with_min_len(CHUNK).map(at).reduce(zero, add);
        Ok(sums[..self.degree].to_vec())
    }
}
