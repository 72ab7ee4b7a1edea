//! The cells of a commitment as its tiles hold them.

use obelysk_statement::whir::Stack;
use obelysk_statement::{Challenge, Value};
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;

use super::codeword::Columns;
use super::coordinates::{Coordinates, TASK, add_scaled};

/// Entries of tiles.
pub trait Cells: Sync {
    /// Entries of a tile from `first` on.
    fn read(&self, tile: usize, first: usize, output: &mut [Value]);
}

impl<F: Fn(usize, usize, &mut [Value]) + Sync> Cells for F {
    fn read(&self, tile: usize, first: usize, output: &mut [Value]) {
        self(tile, first, output);
    }
}

/// Tiles that lie in memory as integers.
pub struct Tiles<'a, T>(pub Vec<&'a [T]>);

impl<T: Copy + Into<i64> + Sync> Cells for Tiles<'_, T> {
    fn read(&self, tile: usize, first: usize, output: &mut [Value]) {
        for (target, &entry) in output.iter_mut().zip(&self.0[tile][first..]) {
            *target = Value::from_i64(entry.into());
        }
    }
}

/// The columns of a stack of tiles.
pub(crate) struct StackColumns<'a, C> {
    pub(crate) stack: &'a Stack,
    pub(crate) cells: &'a C,
}

impl<C: Cells> Columns for StackColumns<'_, C> {
    fn count(&self) -> usize {
        1 << self.stack.fold
    }

    fn variables(&self) -> usize {
        self.stack.column_variables()
    }

    fn read(&self, column: usize, output: &mut [Value]) {
        output.fill(Value::ZERO);
        for (tile, stacked) in self.stack.tiles.iter().enumerate() {
            let first = column << stacked.column_arity;
            if first >> stacked.arity == 0 {
                let length = 1 << stacked.column_arity;
                self.cells.read(tile, first, &mut output[stacked.offset..stacked.offset + length]);
            }
        }
    }
}

/// Fold the columns: the sum of `weights[column] * column`.
pub(crate) fn folded(columns: &impl Columns, weights: &[Challenge]) -> Coordinates {
    let mut sum = Coordinates::zero(1 << columns.variables());
    let mut column = vec![Value::ZERO; sum.len()];
    for (index, &weight) in weights.iter().enumerate() {
        columns.read(index, &mut column);
        let task = TASK.min(column.len());
        sum.parts_mut(task)
            .zip(column.par_chunks(task))
            .for_each(|(target, values)| add_scaled(target, weight, values));
    }
    sum
}

/// The columns of a polynomial over the challenges' field: four for each of its own.
pub(crate) struct ChallengeColumns<'a> {
    pub(crate) values: &'a Coordinates,
    pub(crate) fold: usize,
}

impl Columns for ChallengeColumns<'_> {
    fn count(&self) -> usize {
        4 << self.fold
    }

    fn variables(&self) -> usize {
        self.values.len().trailing_zeros() as usize - self.fold
    }

    fn read(&self, column: usize, output: &mut [Value]) {
        let from = (column / 4) << self.variables();
        output.copy_from_slice(&self.values.coordinate(column % 4)[from..from + output.len()]);
    }
}
