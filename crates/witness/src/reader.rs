//! Entries of tensors as relations address them: at indices of a box of axes.

use obelysk_statement::axis::AxisId;
use obelysk_statement::relation::{Access, Index, Linear, TensorKind};
use obelysk_statement::{PublicTensor, Statement};

use crate::{Assignment, EntriesRef, Loaded, Weights};

/// Values of accesses at indices of a list of axes.
pub(crate) struct Reader<'a> {
    statement: &'a Statement,
    weights: &'a Weights,
    witness: &'a Assignment,
    axes: &'a [AxisId],
    pub(crate) sizes: Vec<usize>,
}

enum Source<'a> {
    Stored(Loaded<'a>),
    Public(&'a PublicTensor),
}

/// An access with its addressing worked out.
pub(crate) struct Cursor<'a> {
    entries: Source<'a>,
    /// Per tensor axis: size, and either the position in the index, a constant, or a sum.
    axes: Vec<(usize, Index, usize)>,
    sums: bool,
}

pub(crate) struct LinearCursor<'a> {
    terms: Vec<(i64, Cursor<'a>)>,
    constant: i64,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        statement: &'a Statement,
        weights: &'a Weights,
        witness: &'a Assignment,
        axes: &'a [AxisId],
    ) -> Self {
        let sizes = axes.iter().map(|&axis| statement.axis(axis).size).collect();
        Self { statement, weights, witness, axes, sizes }
    }

    pub(crate) fn access(&self, access: &Access) -> Cursor<'a> {
        let tensor = self.statement.tensor(access.tensor);
        let entries = match &tensor.kind {
            TensorKind::Public(public) => Source::Public(public),
            TensorKind::Weight => Source::Stored(self.weights[&tensor.name].as_ref().load()),
            TensorKind::Witness => Source::Stored(EntriesRef::I32(&self.witness[&tensor.name]).load()),
        };
        let axes = access.index.iter().zip(&tensor.axes).map(|(&index, &own)| {
            let place = match index {
                Index::Axis(axis) | Index::First(axis) => {
                    self.axes.iter().position(|&known| known == axis).expect("a checked access uses known axes")
                }
                Index::Fixed(value) => value,
                Index::Sum => 0,
            };
            (self.statement.axis(own).size, index, place)
        });
        Cursor { entries, axes: axes.collect(), sums: access.index.contains(&Index::Sum) }
    }

    pub(crate) fn linear(&self, form: &Linear) -> LinearCursor<'a> {
        let terms = form.terms.iter().map(|(coefficient, access)| (*coefficient, self.access(access))).collect();
        LinearCursor { terms, constant: form.constant }
    }

    /// The values of a form at every index, in storage order.
    pub(crate) fn values(&self, form: &Linear) -> Vec<i64> {
        let mut values = vec![form.constant; self.sizes.iter().product()];
        for (coefficient, access) in &form.terms {
            self.access(access).add_to(*coefficient, &self.sizes, &mut values);
        }
        values
    }

    /// The index at a place of the storage order.
    pub(crate) fn index_at(&self, mut place: usize) -> Vec<usize> {
        let mut index = vec![0; self.sizes.len()];
        for (coordinate, size) in index.iter_mut().zip(&self.sizes).rev() {
            *coordinate = place % size;
            place /= size;
        }
        index
    }
}

impl Cursor<'_> {
    /// Add `coefficient` times the value at every index of the box to `values`.
    fn add_to(&self, coefficient: i64, sizes: &[usize], values: &mut [i64]) {
        let (Source::Stored(entries), false) = (&self.entries, self.sums) else {
            let mut place = 0;
            first_index(sizes, |index| {
                values[place] += coefficient * self.value(index);
                place += 1;
                false
            });
            return;
        };
        // Where index 0 lies, and how far each axis of the box moves from there.
        let (mut start, mut stride, mut strides) = (0, 1, vec![0; sizes.len()]);
        for &(size, how, place) in self.axes.iter().rev() {
            match how {
                Index::Axis(_) | Index::First(_) => strides[place] += stride,
                _ => start += stride * place,
            }
            stride *= size;
        }
        let (Some((&inner, outer)), Some((&run, outer_sizes))) = (strides.split_last(), sizes.split_last()) else {
            values[0] += coefficient * i64::from(entries.get(start));
            return;
        };
        for (row, values) in values.chunks_exact_mut(run).enumerate() {
            let (mut rest, mut place) = (row, start);
            for (stride, size) in outer.iter().zip(outer_sizes).rev() {
                place += stride * (rest % size);
                rest /= size;
            }
            for (step, value) in values.iter_mut().enumerate() {
                *value += coefficient * i64::from(entries.get(place + step * inner));
            }
        }
    }

    pub(crate) fn value(&self, index: &[usize]) -> i64 {
        if self.sums { self.sum(index, &mut Vec::new()) } else { self.entry(index) }
    }

    fn entry(&self, index: &[usize]) -> i64 {
        let coordinate = |&(_, how, place): &(usize, Index, usize)| match how {
            Index::Axis(_) | Index::First(_) => index[place],
            _ => place,
        };
        match &self.entries {
            Source::Stored(values) => {
                let flat = self.axes.iter().fold(0, |flat, axis| flat * axis.0 + coordinate(axis));
                i64::from(values.get(flat))
            }
            Source::Public(public) => public.value(&self.axes.iter().map(coordinate).collect::<Vec<_>>()),
        }
    }

    fn sum(&self, index: &[usize], prefix: &mut Vec<usize>) -> i64 {
        let Some(&(size, how, place)) = self.axes.get(prefix.len()) else {
            return match &self.entries {
                Source::Stored(values) => {
                    let flat = self.axes.iter().zip(prefix.iter()).fold(0, |flat, (axis, i)| flat * axis.0 + i);
                    i64::from(values.get(flat))
                }
                Source::Public(public) => public.value(prefix),
            };
        };
        let range = match how {
            Index::Axis(_) | Index::First(_) => index[place]..index[place] + 1,
            Index::Fixed(_) => place..place + 1,
            Index::Sum => 0..size,
        };
        let mut total = 0;
        for coordinate in range {
            prefix.push(coordinate);
            total += self.sum(index, prefix);
            prefix.pop();
        }
        total
    }
}

impl LinearCursor<'_> {
    pub(crate) fn value(&self, index: &[usize]) -> i64 {
        self.terms.iter().fold(self.constant, |sum, (coefficient, cursor)| sum + coefficient * cursor.value(index))
    }
}

/// The first index of the box, in storage order, that satisfies the predicate.
pub(crate) fn first_index(sizes: &[usize], mut predicate: impl FnMut(&[usize]) -> bool) -> Option<Vec<usize>> {
    let mut index = vec![0; sizes.len()];
    loop {
        if predicate(&index) {
            return Some(index);
        }
        let mut axis = sizes.len();
        loop {
            if axis == 0 {
                return None;
            }
            axis -= 1;
            index[axis] += 1;
            if index[axis] < sizes[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}
