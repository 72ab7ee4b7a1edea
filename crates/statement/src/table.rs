//! Lookup tables: ranges and functions of small integers.

use std::sync::Arc;

use p3_field::PrimeCharacteristicRing;
use serde::Serialize;

use crate::public::eq_table;
use crate::relation::TensorId;
use crate::{Challenge, Value};

/// Position of a table in [`crate::Statement::tables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TableId(pub u16);

/// The rows that a lookup may hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum TableRows {
    /// One column: `0 .. 2^bits`.
    Range {
        /// Binary logarithm of the number of rows.
        bits: usize,
    },
    /// Explicit columns of equal power-of-two length.
    Columns(Vec<Arc<Vec<i32>>>),
}

/// A table and the committed count of how often each of its rows is hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Unique name.
    pub name: String,
    /// The rows.
    pub rows: TableRows,
    /// Witness tensor over one axis as long as the table.
    pub multiplicity: TensorId,
}

impl TableRows {
    /// Binary logarithm of the number of rows.
    #[must_use]
    pub fn bits(&self) -> usize {
        match self {
            Self::Range { bits } => *bits,
            Self::Columns(columns) => columns[0].len().trailing_zeros() as usize,
        }
    }

    /// Number of columns.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Range { .. } => 1,
            Self::Columns(columns) => columns.len(),
        }
    }

    /// Smallest and largest entry of a column.
    #[must_use]
    pub fn bounds(&self, column: usize) -> (i64, i64) {
        match self {
            Self::Range { bits } => (0, (1 << bits) - 1),
            Self::Columns(columns) => {
                let extreme = |entry: Option<&i32>| i64::from(*entry.expect("a table is not empty"));
                (extreme(columns[column].iter().min()), extreme(columns[column].iter().max()))
            }
        }
    }

    /// The multilinear extension of a column at a point, most significant variable first.
    pub fn evaluate(&self, column: usize, point: &[Challenge]) -> Challenge {
        let counting = || point.iter().fold(Challenge::ZERO, |value, &bit| value.double() + bit);
        let Self::Columns(columns) = self else { return counting() };
        let values = &columns[column];
        if values.windows(2).all(|pair| pair[1] == pair[0] + 1) {
            return counting() + Value::from_i32(values[0]);
        }
        // Rows of a square: most products are by field elements of the base.
        let (high, low) = point.split_at(point.len() / 2);
        let low = eq_table(low);
        let row = |row: &[i32]| -> Challenge {
            // Where values are clamped rows are constant, and the weights of a row add up to one.
            if row.iter().all(|&entry| entry == row[0]) {
                return Challenge::from(Value::from_i32(row[0]));
            }
            row.iter().zip(&low).map(|(&entry, &weight)| weight * Value::from_i32(entry)).sum()
        };
        eq_table(high)
            .into_iter()
            .zip(values.chunks_exact(low.len()))
            .map(|(weight, values)| weight * row(values))
            .sum()
    }

    /// Entry of one row.
    #[must_use]
    pub fn value(&self, column: usize, row: usize) -> i64 {
        match self {
            Self::Range { .. } => i64::try_from(row).expect("tables are shorter than 2^31"),
            Self::Columns(columns) => i64::from(columns[column][row]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public::PublicTensor;

    #[test]
    fn the_extension_of_a_column_is_that_of_its_entries() {
        let columns = vec![
            Arc::new((-8..8).collect::<Vec<i32>>()),
            Arc::new((0..16).map(|x| x * x - 40).collect()),
            Arc::new((-8..8).map(|x: i32| x.clamp(-2, 5)).collect()),
        ];
        let rows = TableRows::Columns(columns.clone());
        let point: Vec<Challenge> = (2..6).map(|x| Challenge::from(Value::from_u32(x * 7_654_321))).collect();
        for (column, values) in columns.into_iter().enumerate() {
            let (low, high) = rows.bounds(column);
            assert!(values.iter().all(|&entry| (low..=high).contains(&i64::from(entry))));
            let dense = PublicTensor::Dense { shape: vec![16], values };
            assert_eq!(rows.evaluate(column, &point), dense.evaluate(&[&point]));
        }
    }
}
