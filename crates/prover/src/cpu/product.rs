//! Sumchecks of products: free axes are evaluated at the challenge point first, so the sum runs over shared and summed axes alone.

use obelysk_statement::eq::eq_table;
use obelysk_statement::point::AxisPoints;
use obelysk_statement::relation::{Access, TensorKind};
use obelysk_statement::{Challenge, PublicTensor, Value};
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;

use super::program::{Factors, Program};
use super::tensors::{Tensors, eq_tables};
use crate::backend::ProductTerms;
use crate::zerocheck::Constraint;

pub(super) fn rounds(tensors: &Tensors, terms: &ProductTerms, points: &AxisPoints) -> Program {
    let ProductTerms { batch, terms } = terms;
    let axes = batch.axes();
    let mut accesses: Vec<&Access> = Vec::new();
    let mut place = |access| {
        accesses.iter().position(|known| *known == access).unwrap_or_else(|| {
            accesses.push(access);
            accesses.len() - 1
        })
    };
    let constraints = terms
        .iter()
        .map(|(scale, contraction)| {
            let factors = vec![place(&contraction.left), place(&contraction.right)];
            (*scale, Constraint::Rows(vec![(Value::ONE, factors)]))
        })
        .collect();
    let is_expandable = |access: &&Access| {
        let is_rule =
            matches!(tensors.statement.tensor(access.tensor).kind, TensorKind::Public(PublicTensor::OneHot { .. }));
        !is_rule && access.axes().all(|axis| axes.contains(&axis))
    };
    let factors = if accesses.iter().all(is_expandable) {
        Factors::Base(accesses.par_iter().map(|access| tensors.expand(access, &axes)).collect())
    } else {
        let tables = eq_tables(tensors.statement, points);
        Factors::Weighed(accesses.par_iter().map(|access| tensors.restrict(access, &axes, &tables)).collect())
    };
    let summed: usize = batch.summed.iter().map(|&axis| tensors.statement.axis(axis).bits()).sum();
    let shared: Vec<Challenge> =
        batch.shared.iter().flat_map(|axis| points[axis].iter().map(|coordinate| coordinate.value())).collect();
    let eq: Vec<Challenge> =
        eq_table(&shared).into_iter().flat_map(|weight| std::iter::repeat_n(weight, 1 << summed)).collect();
    Program::new(&eq, factors, constraints, batch.degree())
}
