//! Tensors along their axes: some kept, some fixed, some summed out with weights.

use std::borrow::Cow;

use obelysk_statement::{Challenge, Value};
use obelysk_witness::{EntriesRef, Loaded};
use p3_field::PrimeCharacteristicRing;

use super::tiles::{Entry, copy_values};

/// Weights that are taken into memory at once.
const AT_ONCE: usize = 1 << 22;

/// What a restriction does along one axis of a tensor.
pub(super) enum Along<'a> {
    /// Keep so many of its indices, the first ones, at a stride of the output.
    Keep { count: usize, stride: usize },
    /// Sum it out with weights.
    Weigh(Cow<'a, [Challenge]>),
    /// Take one index.
    Fix(usize),
}

impl Along<'_> {
    fn borrowed(&self) -> Along<'_> {
        match self {
            Self::Keep { count, stride } => Along::Keep { count: *count, stride: *stride },
            Self::Weigh(table) => Along::Weigh(Cow::Borrowed(table)),
            Self::Fix(index) => Along::Fix(*index),
        }
    }
}

/// Neighbouring axes that are summed out, as one.
pub(super) fn merged<'a>(shape: Vec<usize>, along: Vec<Along<'a>>) -> (Vec<usize>, Vec<Along<'a>>) {
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
pub(super) fn copy<T: Entry>(
    values: &[T],
    shape: &[usize],
    along: &[Along],
    depth: usize,
    output: &mut [Value],
    place: usize,
) {
    if depth == shape.len() {
        output[place] = values[0].value();
        return;
    }
    let run = values.len() / shape[depth];
    match along[depth] {
        Along::Keep { count, stride: 1 } if depth + 1 == shape.len() => {
            copy_values(values, &mut output[place..][..count])
        }
        Along::Keep { count, stride } => {
            for (i, part) in values.chunks_exact(run).take(count).enumerate() {
                copy(part, shape, along, depth + 1, output, place + i * stride);
            }
        }
        Along::Fix(i) => copy(&values[i * run..][..run], shape, along, depth + 1, output, place),
        Along::Weigh(_) => unreachable!("copies weigh nothing"),
    }
}

/// As [`accumulate`], taking weights into memory some at a time.
pub(super) fn accumulate_in_parts(
    entries: EntriesRef,
    shape: &[usize],
    along: &[Along],
    weight: Challenge,
    output: &mut [Challenge],
    place: usize,
) {
    let Some((&size, inner)) = shape.split_first() else {
        output[place] += weight * Value::from_i32(entries.get(0));
        return;
    };
    let run = entries.len() / size;
    let at_once = (AT_ONCE / run).max(1);
    for first in (0..size).step_by(at_once) {
        let own_size = at_once.min(size - first);
        let own = entries.slice(first * run..(first + own_size) * run);
        let (own_along, place) = match &along[0] {
            Along::Keep { stride, .. } => (Along::Keep { count: own_size, stride: *stride }, place + first * stride),
            Along::Weigh(table) => (Along::Weigh(Cow::Borrowed(&table[first..first + own_size])), place),
            Along::Fix(index) if (first..first + own_size).contains(index) => (Along::Fix(index - first), place),
            Along::Fix(_) => continue,
        };
        match own_along {
            Along::Weigh(table) if run > AT_ONCE => {
                accumulate_in_parts(own, inner, &along[1..], weight * table[0], output, place);
            }
            _ if run > AT_ONCE => accumulate_in_parts(own, inner, &along[1..], weight, output, place),
            own_along => {
                let shape = [&[own_size], inner].concat();
                let along: Vec<Along> = [own_along].into_iter().chain(along[1..].iter().map(Along::borrowed)).collect();
                match own.load() {
                    Loaded::I16(values) => accumulate(&values, &shape, &along, weight, output, place),
                    Loaded::I32(values) => accumulate(&values, &shape, &along, weight, output, place),
                }
            }
        }
    }
}

/// Add `weight * values` to their places, summing out weighed axes.
pub(super) fn accumulate<T: Entry>(
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
        Along::Keep { stride, .. } if inner.is_empty() => {
            for (i, &value) in values.iter().enumerate() {
                output[place + i * stride] += weight * value.value();
            }
        }
        Along::Weigh(table) if inner.is_empty() => {
            let sum: Challenge = table.iter().zip(values).map(|(&factor, &value)| factor * value.value()).sum();
            output[place] += weight * sum;
        }
        Along::Keep { stride, .. } => {
            for (i, part) in values.chunks_exact(run).enumerate() {
                accumulate(part, inner, &along[1..], weight, output, place + i * stride);
            }
        }
        Along::Weigh(table) => {
            if let [Along::Keep { stride, .. }] = along[1..]
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
    }
}

/// Repeat the entries at index 0 of an axis along it.
pub(super) fn broadcast<T: Copy>(values: &mut [T], stride: usize, size: usize) {
    for block in values.chunks_exact_mut(stride * size) {
        let (first, rest) = block.split_at_mut(stride);
        for copy in rest.chunks_exact_mut(stride) {
            copy.copy_from_slice(first);
        }
    }
}
