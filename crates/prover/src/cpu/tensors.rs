//! Tensor values in the field, and the ways in which sumchecks read them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use obelysk_statement::axis::{AxisId, AxisTile};
use obelysk_statement::eq::eq_table;
use obelysk_statement::plan::Committed;
use obelysk_statement::point::{AxisPoints, Coordinate};
use obelysk_statement::relation::{Access, Index, NamedRelation, TensorKind};
use obelysk_statement::statement::accesses;
use obelysk_statement::{Challenge, PublicTensor, Statement, TensorId, Value};
use obelysk_witness::{Assignment, EntriesRef, Loaded, Weights};
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;

use super::along::{Along, accumulate, accumulate_in_parts, broadcast, copy, merged};
use super::commitment::check_read;
use super::tiles::{read_tile, read_weights};
use super::whir::Cells;
use crate::backend::DeviceError;

/// Values of all tensors of a statement.
pub struct Tensors<'a> {
    pub(super) statement: &'a Statement,
    weights: &'a Weights,
    values: Vec<Stored<'a>>,
}

/// Values of one tensor.
enum Stored<'a> {
    /// Weights as the model has them.
    Integers(EntriesRef<'a>),
    Field(Vec<Value>),
    /// One-hot rows are read through their rule, never entry by entry.
    Rule,
}

/// The cells of a commitment to tensors.
pub(super) struct TensorCells<'a> {
    tensors: &'a Tensors<'a>,
    committed: &'a Committed,
}

impl Cells for TensorCells<'_> {
    fn read(&self, tile: usize, first: usize, output: &mut [Value]) {
        let (tensors, tile) = (self.tensors, &self.committed.layout.tiles[tile]);
        match &tensors.values[tile.tensor.0 as usize] {
            Stored::Field(values) => read_tile(tensors.statement, values, tile, first, output),
            Stored::Integers(entries) => read_weights(tensors.statement, *entries, tile, first, output),
            Stored::Rule => unreachable!("public tensors are not committed"),
        }
    }

    fn check(&self) -> Result<(), DeviceError> {
        self.tensors.read(())
    }
}

/// `eq` of each axis' challenge point, cut to the axis' size.
pub(super) type EqTables = BTreeMap<AxisId, Vec<Challenge>>;

impl<'a> Tensors<'a> {
    /// Takes the witness, which is turned into field elements in place.
    pub(super) fn new(statement: &'a Statement, weights: &'a Weights, mut witness: Assignment) -> Self {
        let walked = walked(statement);
        let field = |values: Vec<i32>| Stored::Field(values.into_iter().map(Value::from_i32).collect());
        let sources: Vec<Option<Vec<i32>>> =
            statement.tensors.iter().map(|tensor| witness.remove(&tensor.name)).collect();
        let values = sources
            .into_par_iter()
            .zip(&statement.tensors)
            .enumerate()
            .map(|(position, (source, tensor))| {
                let id = TensorId(u32::try_from(position).expect("few tensors"));
                match &tensor.kind {
                    TensorKind::Public(PublicTensor::OneHot { .. }) => Stored::Rule,
                    TensorKind::Public(public) => {
                        Stored::Field(public.entries(&statement.shape(id)).map(Value::from_i64).collect())
                    }
                    TensorKind::Witness => field(source.expect("values that fit")),
                    TensorKind::Weight if walked.contains(&id) => field(weights[&tensor.name].iter().collect()),
                    TensorKind::Weight => Stored::Integers(weights[&tensor.name].as_ref()),
                }
            })
            .collect();
        Self { statement, weights, values }
    }

    /// What was computed from the weights, if all could be read that were read so far.
    pub(super) fn read<T>(&self, computed: T) -> Result<T, DeviceError> {
        check_read(self.weights).map(|()| computed)
    }

    /// Values that are read as field elements.
    pub(super) fn of(&self, tensor: TensorId) -> &[Value] {
        match &self.values[tensor.0 as usize] {
            Stored::Field(values) => values,
            Stored::Integers(_) | Stored::Rule => unreachable!("what is walked is in the field"),
        }
    }

    /// The cells of a commitment.
    pub(super) fn cells<'b>(&'b self, committed: &'b Committed) -> TensorCells<'b> {
        TensorCells { tensors: self, committed }
    }

    /// The value of an access at one index of `axes`, `None` if it needs an axis that is not there.
    pub(super) fn expand(&self, access: &Access, axes: &[AxisId]) -> Vec<Value> {
        let statement = self.statement;
        let bits: Vec<usize> = axes.iter().map(|&axis| statement.axis(axis).bits()).collect();
        let strides: Vec<usize> = (0..axes.len()).map(|k| 1 << bits[k + 1..].iter().sum::<usize>()).collect();
        let shape = statement.shape(access.tensor);
        let mut output = vec![Value::ZERO; 1 << bits.iter().sum::<usize>()];
        let place = |axis: &AxisId| axes.iter().position(|own| own == axis).expect("checked");
        let along: Vec<Along> = access
            .index
            .iter()
            .map(|index| match index {
                Index::Axis(axis) => Along::Keep { count: statement.axis(*axis).size, stride: strides[place(axis)] },
                // What the tensor holds past the axis' end is multiplied by zero.
                Index::First(axis) => Along::Keep { count: 1 << bits[place(axis)], stride: strides[place(axis)] },
                Index::Fixed(value) => Along::Fix(*value),
                Index::Sum => unreachable!("row relations do not sum"),
            })
            .collect();
        match &self.values[access.tensor.0 as usize] {
            Stored::Field(values) => copy(values, &shape, &along, 0, &mut output, 0),
            Stored::Integers(entries) => match entries.load() {
                Loaded::I16(values) => copy(&values, &shape, &along, 0, &mut output, 0),
                Loaded::I32(values) => copy(&values, &shape, &along, 0, &mut output, 0),
            },
            Stored::Rule => unreachable!("one-hot rows are read through their rule"),
        }
        for (k, &axis) in axes.iter().enumerate() {
            if !access.axes().any(|own| own == axis) {
                broadcast(&mut output, strides[k], 1 << bits[k]);
            }
        }
        output
    }

    /// Evaluate an access at the challenge point of every axis that is not in `keep`; what is left has the variables of
    /// `keep`, zero outside of the box.
    pub(super) fn restrict(&self, access: &Access, keep: &[AxisId], tables: &EqTables) -> Vec<Challenge> {
        let statement = self.statement;
        let bits: Vec<usize> = keep.iter().map(|&axis| statement.axis(axis).bits()).collect();
        let strides: Vec<usize> = (0..keep.len()).map(|k| 1 << bits[k + 1..].iter().sum::<usize>()).collect();
        let shape = statement.shape(access.tensor);
        let along: Vec<Along> = access
            .index
            .iter()
            .map(|index| match index {
                Index::Axis(axis) => match keep.iter().position(|own| own == axis) {
                    Some(k) => Along::Keep { count: statement.axis(*axis).size, stride: strides[k] },
                    None => Along::Weigh(Cow::Borrowed(&tables[axis])),
                },
                Index::Fixed(value) => Along::Fix(*value),
                Index::First(_) | Index::Sum => unreachable!("factors of contractions are whole"),
            })
            .collect();
        let mut output = vec![Challenge::ZERO; 1 << bits.iter().sum::<usize>()];
        if let TensorKind::Public(PublicTensor::OneHot { columns, rows, .. }) = &statement.tensor(access.tensor).kind {
            for (flat, &column) in columns.iter().enumerate() {
                let index = [flat / rows, flat % rows, column as usize];
                let mut place = 0;
                let mut weight = Challenge::ONE;
                let inside = along.iter().zip(index).all(|(along, index)| match along {
                    Along::Keep { stride, .. } => {
                        place += index * stride;
                        true
                    }
                    Along::Weigh(table) => {
                        weight *= table[index];
                        true
                    }
                    Along::Fix(value) => *value == index,
                });
                if inside {
                    output[place] += weight;
                }
            }
        } else {
            let (shape, along) = merged(shape, along);
            match &self.values[access.tensor.0 as usize] {
                Stored::Field(values) => accumulate(values, &shape, &along, Challenge::ONE, &mut output, 0),
                Stored::Integers(entries) => {
                    accumulate_in_parts(*entries, &shape, &along, Challenge::ONE, &mut output, 0);
                }
                Stored::Rule => unreachable!("one-hot rows are read through their rule"),
            }
        }
        for (k, axis) in keep.iter().enumerate() {
            if !access.axes().any(|own| own == *axis) {
                broadcast(&mut output, strides[k], 1 << bits[k]);
            }
        }
        output
    }

    /// The way of an access through a tile of the box over `axes`.
    pub(super) fn walk(&self, access: &Access, axes: &[AxisId], tile: &[AxisTile]) -> Walk<'_> {
        let values = self.of(access.tensor);
        let mut walk = Walk { values, start: 0, strides: vec![0; axes.len()] };
        let mut stride = 1;
        for (how, size) in access.index.iter().zip(self.statement.shape(access.tensor)).rev() {
            match how {
                Index::Axis(axis) => {
                    let place = axes.iter().position(|own| own == axis).expect("a checked access uses known axes");
                    walk.strides[place] += stride;
                    walk.start += stride * tile[place].offset;
                }
                Index::Fixed(value) => walk.start += stride * value,
                Index::First(_) | Index::Sum => unreachable!("lookups read whole tensors"),
            }
            stride *= size;
        }
        walk
    }
}

/// Tensors that relations other than products read, and outputs of products.
fn walked(statement: &Statement) -> BTreeSet<TensorId> {
    let of = |named: &NamedRelation| -> Vec<TensorId> {
        accesses(&named.relation)
            .into_iter()
            .filter(|(_, contracted)| !contracted)
            .map(|(access, _)| access.tensor)
            .collect()
    };
    let of_tables = statement.tables.iter().flat_map(|table| table.rows.committed(1));
    statement.relations.iter().flat_map(of).chain(of_tables).collect()
}

/// Where an access starts in a tile, and how far each axis of the tile moves it.
pub(super) struct Walk<'a> {
    values: &'a [Value],
    start: usize,
    strides: Vec<usize>,
}

impl Walk<'_> {
    /// Add `coefficient` times the entries of the tile from `first` on, in order, to `sums`.
    pub(super) fn add_to(&self, coefficient: Value, tile: &[AxisTile], first: usize, mut sums: &mut [Value]) {
        let Some((&inner, outer)) = self.strides.split_last() else {
            sums[0] += coefficient * self.values[self.start];
            return;
        };
        let run = 1 << tile[outer.len()].log_size;
        let (mut row, mut skipped) = (first / run, first % run);
        while !sums.is_empty() {
            let mut rest = row;
            let mut place = self.start + skipped * inner;
            for (stride, part) in outer.iter().zip(tile).rev() {
                place += stride * (rest & ((1 << part.log_size) - 1));
                rest >>= part.log_size;
            }
            let (own, later) = sums.split_at_mut(sums.len().min(run - skipped));
            if inner == 1 {
                let entries = &self.values[place..place + own.len()];
                if coefficient == Value::ONE {
                    own.iter_mut().zip(entries).for_each(|(sum, &entry)| *sum += entry);
                } else {
                    own.iter_mut().zip(entries).for_each(|(sum, &entry)| *sum += coefficient * entry);
                }
            } else {
                for (step, sum) in own.iter_mut().enumerate() {
                    *sum += coefficient * self.values[place + step * inner];
                }
            }
            (row, skipped, sums) = (row + 1, 0, later);
        }
    }
}

/// `eq` tables of the challenge points.
pub(super) fn eq_tables(statement: &Statement, points: &AxisPoints) -> EqTables {
    let table = |axis: AxisId, coordinates: &[Coordinate]| {
        let values: Vec<Challenge> = coordinates.iter().map(|coordinate| coordinate.value()).collect();
        let mut table = eq_table(&values);
        table.truncate(statement.axis(axis).size);
        table
    };
    points.iter().map(|(&axis, coordinates)| (axis, table(axis, coordinates))).collect()
}
