//! Tensor values in the field, and the ways in which sumchecks read them.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use obelysk_statement::axis::{AxisId, AxisTile};
use obelysk_statement::eq::eq_table;
use obelysk_statement::layout::Tile;
use obelysk_statement::plan::Committed;
use obelysk_statement::point::{AxisPoints, Coordinate};
use obelysk_statement::relation::{Access, Index, NamedRelation, TensorKind};
use obelysk_statement::statement::accesses;
use obelysk_statement::{Challenge, PublicTensor, Statement, TensorId, Value};
use obelysk_witness::{Assignment, EntriesRef, Loaded, Stored as StoredEntries, Weights};
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;

use super::commitment::check_read;
use super::weighted::weighted_rows;
use super::whir::Cells;
use crate::backend::DeviceError;

/// Runs of a tile are read from a file together if all that lies between the first and the last is not more than so many times as long.
const SPAN: usize = 12;
/// Weights that are taken into memory at once.
const AT_ONCE: usize = 1 << 22;

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

/// A number as it is stored.
pub(super) trait Entry: Copy + Sync {
    /// As a field element.
    fn value(self) -> Value;

    /// `sum over rows of weight * row`, where there is a way that is faster than one by one.
    fn weighted_rows(_: &[Self], _: &[Challenge]) -> Option<Vec<Challenge>> {
        None
    }
}

impl Entry for i16 {
    fn value(self) -> Value {
        Value::from_i16(self)
    }

    fn weighted_rows(entries: &[Self], weights: &[Challenge]) -> Option<Vec<Challenge>> {
        Some(weighted_rows(entries, weights))
    }
}

impl Entry for i32 {
    fn value(self) -> Value {
        Value::from_i32(self)
    }
}

impl Entry for Value {
    fn value(self) -> Value {
        self
    }
}

/// `eq` of each axis' challenge point, cut to the axis' size.
pub(super) type EqTables = BTreeMap<AxisId, Vec<Challenge>>;

/// What a restriction does along one axis of a tensor.
enum Along<'a> {
    /// Keep it, at this stride of the output.
    Keep(usize),
    /// Keep so many of its first indices, at this stride.
    KeepFirst(usize, usize),
    /// Sum it out with weights.
    Weigh(Cow<'a, [Challenge]>),
    /// Take one index.
    Fix(usize),
}

impl Along<'_> {
    fn borrowed(&self) -> Along<'_> {
        match self {
            Self::Keep(stride) => Along::Keep(*stride),
            Self::KeepFirst(count, stride) => Along::KeepFirst(*count, *stride),
            Self::Weigh(table) => Along::Weigh(Cow::Borrowed(table)),
            Self::Fix(index) => Along::Fix(*index),
        }
    }
}

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
                    TensorKind::Public(public) => Stored::Field(public_values(public, &statement.shape(id))),
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
                Index::Axis(axis) => Along::Keep(strides[place(axis)]),
                Index::First(axis) => Along::KeepFirst(1 << bits[place(axis)], strides[place(axis)]),
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
                    Some(k) => Along::Keep(strides[k]),
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
                    Along::Keep(stride) => {
                        place += index * stride;
                        true
                    }
                    Along::Weigh(table) => {
                        weight *= table[index];
                        true
                    }
                    Along::Fix(value) => *value == index,
                    Along::KeepFirst(..) => unreachable!("factors of contractions are whole"),
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

/// Read entries of a tile of weights, as [`read_tile`].
pub(super) fn read_weights(
    statement: &Statement,
    weights: EntriesRef,
    tile: &Tile,
    first: usize,
    output: &mut [Value],
) {
    match weights {
        EntriesRef::I16(entries) => read_tile(statement, entries, tile, first, output),
        EntriesRef::I32(entries) => read_tile(statement, entries, tile, first, output),
        EntriesRef::Stored(entries) => read_stored(statement, entries, tile, first, output),
    }
}

/// As [`read_tile`], with one call for runs that lie near each other: a call costs as much as reading a thousand entries.
fn read_stored(statement: &Statement, entries: StoredEntries, tile: &Tile, first: usize, output: &mut [Value]) {
    let span = Cell::new((usize::MAX, 0));
    runs(statement, tile, first, output, |offset, own| {
        let (start, end) = span.get();
        span.set((start.min(offset), end.max(offset + own.len())));
    });
    let (start, end) = span.get();
    if end - start == output.len() || end - start > SPAN * output.len() {
        return runs(statement, tile, first, output, |offset, own| {
            entries.slice(offset..offset + own.len()).read(own, Value::from_i32);
        });
    }
    match EntriesRef::Stored(entries.slice(start..end)).load() {
        Loaded::I16(near) => {
            runs(statement, tile, first, output, |offset, own| copy_values(&near[offset - start..], own))
        }
        Loaded::I32(near) => {
            runs(statement, tile, first, output, |offset, own| copy_values(&near[offset - start..], own))
        }
    }
}

/// Read entries of a tile of a tensor's values from `first` on, in the order of the tile's variables.
fn read_tile<T: Entry>(statement: &Statement, values: &[T], tile: &Tile, first: usize, output: &mut [Value]) {
    runs(statement, tile, first, output, |offset, own| copy_values(&values[offset..], own));
}

fn copy_values<T: Entry>(values: &[T], output: &mut [Value]) {
    output.iter_mut().zip(values).for_each(|(own, entry)| *own = entry.value());
}

/// Entries of a tile from `first` on, by runs that lie one after the other: `each` gets where one begins in the tensor, and its output.
fn runs(
    statement: &Statement,
    tile: &Tile,
    first: usize,
    mut output: &mut [Value],
    each: impl Fn(usize, &mut [Value]),
) {
    let shape = statement.shape(tile.tensor);
    let Some((last, outer)) = tile.parts.split_last() else {
        return each(0, &mut output[..1]);
    };
    let run = 1 << last.log_size;
    let (mut row, mut skipped) = (first / run, first % run);
    while !output.is_empty() {
        let mut rest = row;
        let mut offset = last.offset + skipped;
        let mut stride = shape[shape.len() - 1];
        for axis in (0..outer.len()).rev() {
            let size = 1 << outer[axis].log_size;
            offset += (outer[axis].offset + rest % size) * stride;
            rest /= size;
            stride *= shape[axis];
        }
        let (own, later) = output.split_at_mut(output.len().min(run - skipped));
        each(offset, own);
        (row, skipped, output) = (row + 1, 0, later);
    }
}

fn public_values(public: &PublicTensor, shape: &[usize]) -> Vec<Value> {
    let mut index = vec![0; shape.len()];
    (0..shape.iter().product::<usize>())
        .map(|flat| {
            let mut rest = flat;
            for axis in (0..shape.len()).rev() {
                index[axis] = rest % shape[axis];
                rest /= shape[axis];
            }
            Value::from_i64(public.value(&index))
        })
        .collect()
}

/// Neighbouring axes that are summed out, as one.
fn merged<'a>(shape: Vec<usize>, along: Vec<Along<'a>>) -> (Vec<usize>, Vec<Along<'a>>) {
    let mut whole: (Vec<usize>, Vec<Along<'a>>) = (Vec::new(), Vec::new());
    for (size, along) in shape.into_iter().zip(along) {
        match (whole.0.last_mut(), whole.1.last_mut(), along) {
            (Some(outer_size), Some(Along::Weigh(outer)), Along::Weigh(inner)) => {
                let product = outer[..*outer_size]
                    .iter()
                    .flat_map(|&outer| inner[..size].iter().map(move |&inner| outer * inner));
                *outer = Cow::Owned(product.collect());
                *outer_size *= size;
            }
            (_, _, along) => {
                whole.0.push(size);
                whole.1.push(along);
            }
        }
    }
    whole
}

/// Copy `values` to their places along kept and fixed axes.
fn copy<T: Entry>(values: &[T], shape: &[usize], along: &[Along], depth: usize, output: &mut [Value], place: usize) {
    if depth == shape.len() {
        output[place] = values[0].value();
        return;
    }
    let run = values.len() / shape[depth];
    match along[depth] {
        Along::Keep(1) if depth + 1 == shape.len() => {
            output[place..].iter_mut().zip(values).for_each(|(own, entry)| *own = entry.value());
        }
        Along::Keep(stride) => {
            for (i, part) in values.chunks_exact(run).enumerate() {
                copy(part, shape, along, depth + 1, output, place + i * stride);
            }
        }
        Along::KeepFirst(count, stride) => {
            for (i, part) in values.chunks_exact(run).take(count).enumerate() {
                copy(part, shape, along, depth + 1, output, place + i * stride);
            }
        }
        Along::Fix(i) => copy(&values[i * run..][..run], shape, along, depth + 1, output, place),
        Along::Weigh(_) => unreachable!("copies weigh nothing"),
    }
}

/// As [`accumulate`], taking weights into memory some at a time.
fn accumulate_in_parts(
    entries: EntriesRef,
    shape: &[usize],
    along: &[Along],
    weight: Challenge,
    output: &mut [Challenge],
    place: usize,
) {
    let Some((&size, inner)) = shape.split_first() else {
        return accumulate_loaded(entries, shape, along, weight, output, place);
    };
    let run = entries.len() / size;
    let at_once = (AT_ONCE / run).max(1);
    for first in (0..size).step_by(at_once) {
        let end = size.min(first + at_once);
        let own = entries.slice(first * run..end * run);
        let (own_along, place) = match &along[0] {
            Along::Keep(stride) => (Along::Keep(*stride), place + first * stride),
            Along::Weigh(table) => (Along::Weigh(Cow::Borrowed(&table[first..end])), place),
            Along::Fix(index) if (first..end).contains(index) => (Along::Fix(index - first), place),
            Along::Fix(_) => continue,
            Along::KeepFirst(..) => unreachable!("factors of contractions are whole"),
        };
        match own_along {
            Along::Weigh(table) if run > AT_ONCE => {
                accumulate_in_parts(own, inner, &along[1..], weight * table[0], output, place);
            }
            _ if run > AT_ONCE => accumulate_in_parts(own, inner, &along[1..], weight, output, place),
            own_along => {
                let shape = [&[end - first], inner].concat();
                let along: Vec<Along> = [own_along].into_iter().chain(along[1..].iter().map(Along::borrowed)).collect();
                accumulate_loaded(own, &shape, &along, weight, output, place);
            }
        }
    }
}

fn accumulate_loaded(
    entries: EntriesRef,
    shape: &[usize],
    along: &[Along],
    weight: Challenge,
    output: &mut [Challenge],
    place: usize,
) {
    match entries.load() {
        Loaded::I16(values) => accumulate(&values, shape, along, weight, output, place),
        Loaded::I32(values) => accumulate(&values, shape, along, weight, output, place),
    }
}

/// Add `weight * values` to their places, summing out weighed axes.
fn accumulate<T: Entry>(
    values: &[T],
    shape: &[usize],
    along: &[Along],
    weight: Challenge,
    output: &mut [Challenge],
    place: usize,
) {
    let Some((&size, inner)) = shape.split_first() else {
        output[place] += weight * values[0].value();
        return;
    };
    let run = values.len() / size;
    match &along[0] {
        Along::Keep(stride) if inner.is_empty() => {
            for (i, &value) in values.iter().enumerate() {
                output[place + i * stride] += weight * value.value();
            }
        }
        Along::Weigh(table) if inner.is_empty() => {
            let sum: Challenge = table.iter().zip(values).map(|(&factor, &value)| factor * value.value()).sum();
            output[place] += weight * sum;
        }
        Along::Keep(stride) => {
            for (i, part) in values.chunks_exact(run).enumerate() {
                accumulate(part, inner, &along[1..], weight, output, place + i * stride);
            }
        }
        Along::Weigh(table) => {
            if let [Along::Keep(stride)] = along[1..]
                && let Some(sums) = T::weighted_rows(values, &table[..size])
            {
                sums.iter().enumerate().for_each(|(i, &sum)| output[place + i * stride] += weight * sum);
                return;
            }
            for (&factor, part) in table.iter().zip(values.chunks_exact(run)) {
                accumulate(part, inner, &along[1..], weight * factor, output, place);
            }
        }
        Along::Fix(i) => accumulate(&values[i * run..][..run], inner, &along[1..], weight, output, place),
        Along::KeepFirst(..) => unreachable!("factors of contractions are whole"),
    }
}

/// Repeat the entries at index 0 of an axis along it.
fn broadcast<T: Copy>(values: &mut [T], stride: usize, size: usize) {
    for block in values.chunks_exact_mut(stride * size) {
        let (first, rest) = block.split_at_mut(stride);
        for copy in rest.chunks_exact_mut(stride) {
            copy.copy_from_slice(first);
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
