//! Zerochecks of row relations over one box, weighted by `eq` restricted to the box.

use obelysk_statement::Challenge;
use obelysk_statement::point::AxisPoints;
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;

use super::program::{Factors, Program};
use super::tensors::{Tensors, eq_tables};
use crate::zerocheck::Rows;

pub(super) fn rounds(tensors: &Tensors, rows: Rows, points: &AxisPoints) -> Program {
    let Rows { batch, factors, constraints } = rows;
    let factors = factors.par_iter().map(|access| tensors.expand(access, &batch.axes)).collect();
    let tables = eq_tables(tensors.statement, points);
    let mut eq = vec![Challenge::ONE];
    for axis in &batch.axes {
        let mut table = tables[axis].clone();
        table.resize(1 << tensors.statement.axis(*axis).bits(), Challenge::ZERO);
        eq = eq.iter().flat_map(|&outer| table.iter().map(move |&inner| outer * inner)).collect();
    }
    Program::new(&eq, Factors::Base(factors), constraints, batch.degree)
}
