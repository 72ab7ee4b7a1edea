//! Tensors that the verifier knows: masks, selections and constant tables, each with its value at an index and its
//! multilinear extension at a point.

use std::collections::BTreeMap;
use std::sync::Arc;

use p3_field::PrimeCharacteristicRing;
use serde::Serialize;

use crate::eq::{below_at, eq_at, eq_table};
use crate::{Challenge, Value};

/// A public tensor, by its rule. Entries outside the tensor's box do not exist; [`PublicTensor::evaluate`] extends
/// with zero there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum PublicTensor {
    /// Axes (query, key) of one size: 1 where `key <= query`.
    Causal {
        /// Number of positions.
        size: usize,
    },
    /// Axes (layer, query, key), the last two of one size: 1 where `key <= query < key + windows[layer]`.
    Windowed {
        /// How many positions each layer sees, its own included.
        windows: Arc<Vec<usize>>,
        /// Number of positions.
        size: usize,
    },
    /// Axes (entry, row, column): 1 where `column == columns[entry, row]`.
    OneHot {
        /// The selected column of each row, shape [entries, rows].
        columns: Arc<Vec<u32>>,
        /// Number of rows of an entry.
        rows: usize,
        /// Number of columns.
        width: usize,
    },
    /// Axes (entry, row, column): 1 where `column < bounds[entry, row]`.
    Below {
        /// The bound of each row, shape [entries, rows].
        bounds: Arc<Vec<u32>>,
        /// Number of rows of an entry.
        rows: usize,
        /// Number of columns.
        width: usize,
    },
    /// Axes (to, from) of one size: 1 where `from + 1 == to`.
    Previous {
        /// Number of indices.
        size: usize,
    },
    /// Explicit entries in storage order.
    Dense {
        /// Size of each axis.
        shape: Vec<usize>,
        /// Entries, last axis contiguous.
        values: Arc<Vec<i32>>,
    },
}

impl PublicTensor {
    /// All entries of the box, in storage order.
    pub fn entries<'a>(&'a self, shape: &'a [usize]) -> impl Iterator<Item = i64> + 'a {
        let mut index = vec![0; shape.len()];
        (0..shape.iter().product::<usize>()).map(move |place| {
            let mut rest = place;
            for axis in (0..shape.len()).rev() {
                index[axis] = rest % shape[axis];
                rest /= shape[axis];
            }
            self.value(&index)
        })
    }

    /// The entry at an index inside the box.
    #[must_use]
    pub fn value(&self, index: &[usize]) -> i64 {
        match self {
            Self::Causal { .. } => i64::from(index[1] <= index[0]),
            Self::Windowed { windows, .. } => {
                let [layer, query, key] = [index[0], index[1], index[2]];
                i64::from(key <= query && query < key + windows[layer])
            }
            Self::OneHot { columns, rows, .. } => i64::from(columns[index[0] * rows + index[1]] as usize == index[2]),
            Self::Below { bounds, rows, .. } => i64::from(index[2] < bounds[index[0] * rows + index[1]] as usize),
            Self::Previous { .. } => i64::from(index[1] + 1 == index[0]),
            Self::Dense { shape, values } => {
                let flat = shape.iter().zip(index).fold(0, |flat, (size, i)| flat * size + i);
                i64::from(values[flat])
            }
        }
    }

    /// The multilinear extension, zero outside the box, at one point per axis (most significant variable first).
    /// Cost is linear in the rows of the tensor (all entries for [`PublicTensor::Dense`]).
    pub fn evaluate(&self, point: &[&[Challenge]]) -> Challenge {
        match self {
            Self::Causal { size } => prefix_sums(point, *size, |row| row + 1),
            Self::Previous { size } => {
                let (to, from) = (eq_table(point[0]), eq_table(point[1]));
                to[1..].iter().zip(&from).take(size - 1).map(|(&to, &from)| to * from).sum()
            }
            Self::Windowed { windows, size } => {
                let mut layers_of: BTreeMap<usize, Challenge> = BTreeMap::new();
                for (&window, layer) in windows.iter().zip(eq_table(point[0])) {
                    *layers_of.entry(window).or_default() += layer;
                }
                let seen = prefix_sums(&point[1..], *size, |row| row + 1);
                let hidden = |window: usize| prefix_sums(&point[1..], *size, |row| (row + 1).saturating_sub(window));
                layers_of.into_iter().map(|(window, layers)| layers * (seen - hidden(window))).sum()
            }
            Self::OneHot { columns, rows, .. } => over_rows(point, columns, *rows, eq_at),
            Self::Below { bounds, rows, .. } => over_rows(point, bounds, *rows, below_at),
            Self::Dense { shape, values } => {
                let mut current: Vec<Challenge> =
                    values.iter().map(|&value| Challenge::from(Value::from_i32(value))).collect();
                for (axis, &size) in shape.iter().enumerate().rev() {
                    let weights = eq_table(point[axis]);
                    current = current
                        .chunks(size)
                        .map(|row| row.iter().zip(&weights).map(|(&entry, &weight)| entry * weight).sum())
                        .collect();
                }
                current[0]
            }
        }
    }
}

/// `sum over entries and rows of eq(entry) eq(row) of(column point, value[entry, row])`.
fn over_rows(
    point: &[&[Challenge]],
    values: &[u32],
    rows: usize,
    of: impl Fn(&[Challenge], usize) -> Challenge,
) -> Challenge {
    let row_weights = eq_table(point[1]);
    let entries = values.chunks_exact(rows).zip(eq_table(point[0]));
    let of_entry = |row_values: &[u32]| -> Challenge {
        row_values.iter().zip(&row_weights).map(|(&value, &weight)| weight * of(point[2], value as usize)).sum()
    };
    entries.map(|(row_values, weight)| weight * of_entry(row_values)).sum()
}

/// `sum over rows of eq(row) * sum over columns < count(row) of eq(column)`, for non-decreasing counts.
fn prefix_sums(point: &[&[Challenge]], size: usize, count: impl Fn(usize) -> usize) -> Challenge {
    let rows = eq_table(point[0]);
    let columns = eq_table(point[1]);
    let mut sum = Challenge::ZERO;
    let mut prefix = Challenge::ZERO;
    let mut next = 0;
    for (row, &weight) in rows.iter().enumerate().take(size) {
        while next < count(row) {
            prefix += columns[next];
            next += 1;
        }
        sum += weight * prefix;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::axis::bits_of;
    use p3_field::BasedVectorSpace;

    fn challenge(seed: u32) -> Challenge {
        Challenge::from_basis_coefficients_fn(|place| Value::from_u32(seed * 7919 + 104_729 * (place as u32 + 1)))
    }

    fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
        shape.iter().fold(vec![Vec::new()], |indices, &size| {
            indices.iter().flat_map(|index| (0..size).map(|i| [index.as_slice(), &[i]].concat())).collect()
        })
    }

    #[test]
    fn the_extension_of_every_rule_is_that_of_its_entries() {
        let columns = Arc::new(vec![4, 0, 2, 6, 5, 1]);
        let cases = [
            (vec![6, 6], PublicTensor::Causal { size: 6 }),
            (vec![3, 6, 6], PublicTensor::Windowed { windows: Arc::new(vec![2, 6, 2]), size: 6 }),
            (vec![1, 6, 7], PublicTensor::OneHot { columns: Arc::clone(&columns), rows: 6, width: 7 }),
            (vec![2, 3, 7], PublicTensor::OneHot { columns: Arc::clone(&columns), rows: 3, width: 7 }),
            (vec![3, 2, 7], PublicTensor::Below { bounds: columns, rows: 2, width: 7 }),
            (vec![5, 5], PublicTensor::Previous { size: 5 }),
        ];
        for (shape, rule) in cases {
            let values = indices(&shape).iter().map(|index| i32::try_from(rule.value(index)).unwrap()).collect();
            let dense = PublicTensor::Dense { shape: shape.clone(), values: Arc::new(values) };
            let points: Vec<Vec<Challenge>> = shape
                .iter()
                .enumerate()
                .map(|(axis, &size)| (0..bits_of(size)).map(|bit| challenge((10 * axis + bit) as u32 + 1)).collect())
                .collect();
            let point: Vec<&[Challenge]> = points.iter().map(Vec::as_slice).collect();
            assert_eq!(rule.evaluate(&point), dense.evaluate(&point), "{rule:?}");
        }
    }
}
