//! Public tensors at a point: masks and selections by their rule, tokens by their public words.

use obelysk_statement::{PublicTensor, Statement, TensorId, TensorKind};

use super::point::Coordinate;
use super::program::{ONE, Operation, Place, Program, ZERO};

/// The first of the public words that a tensor is made of, in the order of `Statement::public_inputs`.
fn first_word(statement: &Statement, tensor: TensorId) -> usize {
    let before = statement.tensors[..tensor.0 as usize].iter();
    before
        .map(|tensor| match &tensor.kind {
            TensorKind::Public(PublicTensor::OneHot { columns, .. }) => columns.len(),
            TensorKind::Public(PublicTensor::Below { bounds, .. }) => bounds.len(),
            _ => 0,
        })
        .sum()
}

impl Program {
    /// The extension of a public tensor at one point per axis.
    pub fn public(
        &mut self,
        statement: &Statement,
        tensor: TensorId,
        rule: &PublicTensor,
        point: &[Vec<Coordinate>],
    ) -> Place {
        let runs: Vec<(Place, usize)> = point.iter().map(|axis| (self.run_of(axis), axis.len())).collect();
        let table = |program: &mut Self, axis: usize| program.table(runs[axis].0, runs[axis].1);
        match rule {
            PublicTensor::Causal { size } => {
                let (rows, columns) = (table(self, 0), table(self, 1));
                self.prefix(rows, columns, *size, 0)
            }
            PublicTensor::Windowed { windows, size } => {
                let (layers, rows, columns) = (table(self, 0), table(self, 1), table(self, 2));
                let seen = self.prefix(rows, columns, *size, 0);
                let minus = self.constant(-1);
                let terms: Vec<(Place, Place)> = windows
                    .iter()
                    .zip(layers.0..)
                    .map(|(&window, layer)| {
                        let hidden = self.prefix(rows, columns, *size, window.min(*size));
                        let visible = self.dot(&[(ONE, seen), (minus, hidden)]);
                        (Place(layer), visible)
                    })
                    .collect();
                self.dot(&terms)
            }
            PublicTensor::OneHot { columns, rows, .. } => {
                self.over_entries(Operation::Select, (columns.len(), *rows), first_word(statement, tensor), &runs)
            }
            PublicTensor::Below { bounds, rows, .. } => {
                self.over_entries(Operation::Below, (bounds.len(), *rows), first_word(statement, tensor), &runs)
            }
            PublicTensor::Previous { size } => {
                let (to, from) = (table(self, 0), table(self, 1));
                if *size < 2 { ZERO } else { self.run(Place(to.0 + 1), from, size - 1) }
            }
            PublicTensor::Dense { shape, values } => {
                let tables: Vec<Place> = (0..shape.len()).map(|axis| table(self, axis)).collect();
                let mut terms = Vec::new();
                for (place, &value) in values.iter().enumerate().filter(|(_, value)| **value != 0) {
                    let mut rest = place;
                    let mut weight = ONE;
                    for (&size, table) in shape.iter().zip(&tables).rev() {
                        weight = self.multiply(weight, Place(table.0 + (rest % size) as u32));
                        rest /= size;
                    }
                    terms.push((self.constant(value.into()), weight));
                }
                self.dot(&terms)
            }
        }
    }

    fn over_entries(
        &mut self,
        operation: Operation,
        (words, rows): (usize, usize),
        first: usize,
        runs: &[(Place, usize)],
    ) -> Place {
        let [entries, row, columns] = [0, 1, 2].map(|axis| runs[axis]);
        let entries = self.table(entries.0, entries.1);
        let weights = self.table(row.0, row.1);
        let terms: Vec<(Place, Place)> = (0..words / rows)
            .map(|entry| {
                let own = self.over_words(operation, (weights, rows), first + entry * rows, columns);
                (Place(entries.0 + entry as u32), own)
            })
            .collect();
        self.dot(&terms)
    }
}
