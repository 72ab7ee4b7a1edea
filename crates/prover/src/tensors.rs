//! Tensor values in the field, and the ways in which sumchecks read them.

use std::collections::BTreeMap;

use obelysk_statement::axis::{AxisId, AxisTile};
use obelysk_statement::layout::Tile;
use obelysk_statement::relation::{Access, Index, Tensor, TensorKind};
use obelysk_statement::{Assignment, Challenge, PublicTensor, Statement, TensorId, Value};
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;

/// Values of all tensors of a statement.
pub(crate) struct Tensors<'a> {
    pub(crate) statement: &'a Statement,
    values: Vec<Vec<Value>>,
}

/// `eq` of each axis' challenge point, cut to the axis' size.
pub(crate) type EqTables = BTreeMap<AxisId, Vec<Challenge>>;

/// What a restriction does along one axis of a tensor.
enum Along<'a> {
    /// Keep it, at this stride of the output.
    Keep(usize),
    /// Sum it out with weights.
    Weigh(&'a [Challenge]),
    /// Take one index.
    Fix(usize),
}

impl<'a> Tensors<'a> {
    /// Takes the values, which are turned into field elements in place.
    pub(crate) fn new(statement: &'a Statement, mut weights: Assignment, mut witness: Assignment) -> Self {
        let mut stored = |tensor: &Tensor| match tensor.kind {
            TensorKind::Weight => weights.remove(&tensor.name),
            TensorKind::Witness => witness.remove(&tensor.name),
            TensorKind::Public(_) => None,
        };
        let sources: Vec<Option<Vec<i32>>> = statement.tensors.iter().map(&mut stored).collect();
        let values = sources
            .into_par_iter()
            .zip(&statement.tensors)
            .enumerate()
            .map(|(position, (source, tensor))| match &tensor.kind {
                // One-hot rows are read through their rule, never entry by entry.
                TensorKind::Public(PublicTensor::OneHot { .. }) => Vec::new(),
                TensorKind::Public(public) => {
                    let shape = statement.shape(TensorId(u32::try_from(position).expect("few tensors")));
                    public_values(public, &shape)
                }
                _ => source.expect("values that fit").into_iter().map(Value::from_i32).collect(),
            })
            .collect();
        Self { statement, values }
    }

    fn of(&self, tensor: TensorId) -> &[Value] {
        &self.values[tensor.0 as usize]
    }

    /// Append the entries of a tile in the order of its variables.
    pub(crate) fn append_tile(&self, tile: &Tile, output: &mut Vec<Value>) {
        append_tile(self.statement, self.of(tile.tensor), tile, output, |&value| value);
    }

    /// The value of an access at one index of `axes`, `None` if it needs an axis that is not there.
    pub(crate) fn expand(&self, access: &Access, axes: &[AxisId]) -> Vec<Value> {
        let statement = self.statement;
        let bits: Vec<usize> = axes.iter().map(|&axis| statement.axis(axis).bits()).collect();
        let strides: Vec<usize> = (0..axes.len()).map(|k| 1 << bits[k + 1..].iter().sum::<usize>()).collect();
        let shape = statement.shape(access.tensor);
        let mut output = vec![Value::ZERO; 1 << bits.iter().sum::<usize>()];
        let along: Vec<Along> = access
            .index
            .iter()
            .map(|index| match index {
                Index::Axis(axis) => Along::Keep(strides[axes.iter().position(|own| own == axis).expect("checked")]),
                Index::Fixed(value) => Along::Fix(*value),
                Index::Sum => unreachable!("row relations do not sum"),
            })
            .collect();
        copy(self.of(access.tensor), &shape, &along, 0, &mut output, 0);
        for (k, &axis) in axes.iter().enumerate() {
            if !access.axes().any(|own| own == axis) {
                broadcast(&mut output, strides[k], 1 << bits[k]);
            }
        }
        output
    }

    /// Evaluate an access at the challenge point of every axis that is not in `keep`; what is left has the variables of
    /// `keep`, zero outside of the box.
    pub(crate) fn restrict(&self, access: &Access, keep: &[AxisId], tables: &EqTables) -> Vec<Challenge> {
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
                    None => Along::Weigh(&tables[axis]),
                },
                Index::Fixed(value) => Along::Fix(*value),
                Index::Sum => unreachable!("contractions do not sum inside of a factor"),
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
                });
                if inside {
                    output[place] += weight;
                }
            }
        } else {
            accumulate(self.of(access.tensor), &shape, &along, Challenge::ONE, &mut output, 0);
        }
        for (k, axis) in keep.iter().enumerate() {
            if !access.axes().any(|own| own == *axis) {
                broadcast(&mut output, strides[k], 1 << bits[k]);
            }
        }
        output
    }

    /// The way of an access through a tile of the box over `axes`.
    pub(crate) fn walk(&self, access: &Access, axes: &[AxisId], tile: &[AxisTile]) -> Walk<'_> {
        let values = self.of(access.tensor);
        assert!(!values.is_empty(), "one-hot rows are not walked entry by entry");
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
                Index::Sum => unreachable!("only linear relations sum"),
            }
            stride *= size;
        }
        walk
    }
}

/// Where an access starts in a tile, and how far each axis of the tile moves it.
pub(crate) struct Walk<'a> {
    values: &'a [Value],
    start: usize,
    strides: Vec<usize>,
}

impl Walk<'_> {
    /// Add `coefficient` times the entries of the tile, in order, to `sums`.
    pub(crate) fn add_to(&self, coefficient: Value, tile: &[AxisTile], sums: &mut [Value]) {
        let Some((&inner, outer)) = self.strides.split_last() else {
            sums[0] += coefficient * self.values[self.start];
            return;
        };
        let run = 1 << tile[outer.len()].log_size;
        for (flat, sums) in sums.chunks_exact_mut(run).enumerate() {
            let mut rest = flat;
            let mut place = self.start;
            for (stride, part) in outer.iter().zip(tile).rev() {
                place += stride * (rest & ((1 << part.log_size) - 1));
                rest >>= part.log_size;
            }
            for (step, sum) in sums.iter_mut().enumerate() {
                *sum += coefficient * self.values[place + step * inner];
            }
        }
    }
}

/// Append the entries of a tile of a tensor's values, in the order of the tile's variables.
pub(crate) fn append_tile<T>(
    statement: &Statement,
    values: &[T],
    tile: &Tile,
    output: &mut Vec<Value>,
    to_field: impl Fn(&T) -> Value,
) {
    let shape = statement.shape(tile.tensor);
    let Some((last, outer)) = tile.parts.split_last() else {
        output.push(to_field(&values[0]));
        return;
    };
    let run = 1 << last.log_size;
    let sizes: Vec<usize> = outer.iter().map(|part| 1usize << part.log_size).collect();
    for flat in 0..sizes.iter().product::<usize>() {
        let mut rest = flat;
        let mut offset = 0;
        let mut stride = shape[shape.len() - 1];
        for axis in (0..outer.len()).rev() {
            offset += (outer[axis].offset + rest % sizes[axis]) * stride;
            rest /= sizes[axis];
            stride *= shape[axis];
        }
        output.extend(values[offset + last.offset..][..run].iter().map(&to_field));
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

/// Copy `values` to their places along kept and fixed axes.
fn copy(values: &[Value], shape: &[usize], along: &[Along], depth: usize, output: &mut [Value], place: usize) {
    if depth == shape.len() {
        output[place] = values[0];
        return;
    }
    let run = values.len() / shape[depth];
    match along[depth] {
        Along::Keep(1) if depth + 1 == shape.len() => output[place..place + shape[depth]].copy_from_slice(values),
        Along::Keep(stride) => {
            for (i, part) in values.chunks_exact(run).enumerate() {
                copy(part, shape, along, depth + 1, output, place + i * stride);
            }
        }
        Along::Fix(i) => copy(&values[i * run..][..run], shape, along, depth + 1, output, place),
        Along::Weigh(_) => unreachable!("copies weigh nothing"),
    }
}

/// Add `weight * values` to their places, summing out weighed axes.
fn accumulate(
    values: &[Value],
    shape: &[usize],
    along: &[Along],
    weight: Challenge,
    output: &mut [Challenge],
    place: usize,
) {
    let Some((&size, inner)) = shape.split_first() else {
        output[place] += weight * values[0];
        return;
    };
    let run = values.len() / size;
    match &along[0] {
        Along::Keep(stride) if inner.is_empty() => {
            for (i, &value) in values.iter().enumerate() {
                output[place + i * stride] += weight * value;
            }
        }
        Along::Weigh(table) if inner.is_empty() => {
            let sum: Challenge = table.iter().zip(values).map(|(&factor, &value)| factor * value).sum();
            output[place] += weight * sum;
        }
        Along::Keep(stride) => {
            for (i, part) in values.chunks_exact(run).enumerate() {
                accumulate(part, inner, &along[1..], weight, output, place + i * stride);
            }
        }
        Along::Weigh(table) => {
            for (&factor, part) in table.iter().zip(values.chunks_exact(run)) {
                accumulate(part, inner, &along[1..], weight * factor, output, place);
            }
        }
        Along::Fix(i) => accumulate(&values[i * run..][..run], inner, &along[1..], weight, output, place),
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
