//! The cells of a commitment as its tiles hold them.

use obelysk_statement::whir::Stack;
use obelysk_statement::{Challenge, Value};
use p3_field::PrimeCharacteristicRing;
use p3_field::integers::QuotientMap;
use rayon::prelude::*;

use super::codeword::Columns;
use super::coordinates::{Coordinates, TASK, add_scaled, dot};
use crate::backend::DeviceError;

/// Entries of tiles.
pub trait Cells: Sync {
    /// Entries of a tile from `first` on.
    fn read(&self, tile: usize, first: usize, output: &mut [Value]);

    /// Whether all could be read that were read so far.
    ///
    /// # Errors
    /// [`DeviceError`] with what could not.
    fn check(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}

impl<F: Fn(usize, usize, &mut [Value]) + Sync> Cells for F {
    fn read(&self, tile: usize, first: usize, output: &mut [Value]) {
        self(tile, first, output);
    }
}

/// Tiles that lie in memory as integers.
pub struct Tiles<'a, T>(pub Vec<&'a [T]>);

impl<T: Copy + Sync> Cells for Tiles<'_, T>
where
    Value: QuotientMap<T>,
{
    fn read(&self, tile: usize, first: usize, output: &mut [Value]) {
        for (target, &entry) in output.iter_mut().zip(&self.0[tile][first..]) {
            *target = Value::from_int(entry);
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

    fn read(&self, column: usize, from: usize, output: &mut [Value]) {
        output.fill(Value::ZERO);
        let to = from + output.len();
        for (tile, places) in self.stack.tiles_between(from, to) {
            let stacked = &self.stack.tiles[tile];
            if column < stacked.columns(self.stack.fold) {
                let output = &mut output[places.start - from..places.end - from];
                self.cells.read(tile, stacked.cell(column, places.start), output);
            }
        }
    }
}

/// Fold the columns: the sum of `weights[column] * column`.
pub(crate) fn folded(stack: &Stack, cells: &impl Cells, weights: &[Challenge]) -> Coordinates {
    let mut sum = Coordinates::zero(1 << stack.column_variables());
    let task = TASK.min(sum.len());
    sum.parts_mut(task).enumerate().for_each(|(part, mut target)| {
        let (from, to) = (part * task, (part + 1) * task);
        let mut buffer = vec![Value::ZERO; task];
        for (tile, places) in stack.tiles_between(from, to) {
            let stacked = &stack.tiles[tile];
            for (column, &weight) in weights.iter().enumerate().take(stacked.columns(stack.fold)) {
                let values = &mut buffer[..places.len()];
                cells.read(tile, stacked.cell(column, places.start), values);
                let target = target.each_mut().map(|vector| &mut vector[places.start - from..places.end - from]);
                add_scaled(target, weight, values);
            }
        }
    });
    sum
}

/// One value per column: the parts of a tile at the coordinates that are folded later, whose eq table is `rest`.
pub(crate) fn partial_evaluations(
    stack: &Stack,
    cells: &impl Cells,
    tile: usize,
    rest: &Coordinates,
) -> Vec<Challenge> {
    let stacked = &stack.tiles[tile];
    let task = TASK.min(stacked.length());
    let mut values: Vec<Challenge> = (0..stacked.columns(stack.fold))
        .into_par_iter()
        .map(|column| {
            let mut buffer = vec![Value::ZERO; task];
            (0..stacked.length())
                .step_by(task)
                .map(|from| {
                    cells.read(tile, column * stacked.length() + from, &mut buffer);
                    dot(rest.part(from, task), &buffer)
                })
                .sum()
        })
        .collect();
    values.resize(1 << stack.fold, Challenge::ZERO);
    values
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

    fn read(&self, column: usize, from: usize, output: &mut [Value]) {
        let from = ((column / 4) << self.variables()) + from;
        output.copy_from_slice(&self.values.coordinate(column % 4)[from..from + output.len()]);
    }
}
