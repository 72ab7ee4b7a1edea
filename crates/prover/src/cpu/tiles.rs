//! Entries of a commitment's tiles, from memory or from the file of weights.

use std::cell::Cell;

use obelysk_statement::layout::Tile;
use obelysk_statement::{Challenge, Statement, Value};
use obelysk_witness::{EntriesRef, Loaded, Stored};
use p3_field::PrimeCharacteristicRing;

use super::weighted::weighted_rows;

/// Runs of a tile are read from a file together if all that lies between the first and the last is not more than so many times as long.
const SPAN: usize = 12;
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
fn read_stored(statement: &Statement, entries: Stored, tile: &Tile, first: usize, output: &mut [Value]) {
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
pub(super) fn read_tile<T: Entry>(
    statement: &Statement,
    values: &[T],
    tile: &Tile,
    first: usize,
    output: &mut [Value],
) {
    runs(statement, tile, first, output, |offset, own| copy_values(&values[offset..], own));
}

/// Field elements of entries that lie one after the other.
pub(super) fn copy_values<T: Entry>(values: &[T], output: &mut [Value]) {
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
