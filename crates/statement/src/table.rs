//! Lookup tables: ranges and functions of small integers.

use std::sync::Arc;

use p3_field::PrimeCharacteristicRing;
use serde::Serialize;

use crate::eq::eq_table;
use crate::relation::TensorId;
use crate::{Challenge, Value};

/// Position of a table in [`crate::Statement::tables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TableId(pub u16);

/// The rows that a lookup may hit. Their first column counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum TableRows {
    /// One column: `0 .. 2^bits`.
    Range {
        /// Binary logarithm of the number of rows.
        bits: usize,
    },
    /// Two columns: all signed integers of `bits` bits, and the nearest one between two ends, which are among them.
    Clamp {
        /// Binary logarithm of the number of rows.
        bits: usize,
        /// The smallest value of the second column.
        low: i32,
        /// The largest.
        high: i32,
    },
    /// Two columns: integers from `first` on, and a function of them.
    Function {
        /// The first argument.
        first: i32,
        /// The function's values; their number is a power of two.
        values: Arc<Vec<i32>>,
    },
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
            Self::Range { bits } | Self::Clamp { bits, .. } => *bits,
            Self::Function { values, .. } => values.len().trailing_zeros() as usize,
        }
    }

    /// Number of columns.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Range { .. } => 1,
            Self::Clamp { .. } | Self::Function { .. } => 2,
        }
    }

    /// Entry of the first column in the first row.
    #[must_use]
    pub fn first(&self) -> i64 {
        match self {
            Self::Range { .. } => 0,
            Self::Clamp { bits, .. } => -(1 << (bits - 1)),
            Self::Function { first, .. } => i64::from(*first),
        }
    }

    /// Smallest and largest entry of a column.
    #[must_use]
    pub fn bounds(&self, column: usize) -> (i64, i64) {
        match self {
            Self::Clamp { low, high, .. } if column > 0 => (i64::from(*low), i64::from(*high)),
            Self::Function { values, .. } if column > 0 => {
                let extreme = |entry: Option<&i32>| i64::from(*entry.expect("a table is not empty"));
                (extreme(values.iter().min()), extreme(values.iter().max()))
            }
            _ => (self.first(), self.first() + (1 << self.bits()) - 1),
        }
    }

    /// Entry of one row.
    #[must_use]
    pub fn value(&self, column: usize, row: usize) -> i64 {
        let argument = self.first() + i64::try_from(row).expect("tables are shorter than 2^31");
        match self {
            Self::Clamp { low, high, .. } if column > 0 => argument.clamp(i64::from(*low), i64::from(*high)),
            Self::Function { values, .. } if column > 0 => i64::from(values[row]),
            _ => argument,
        }
    }

    /// The multilinear extension of a column at a point, most significant variable first.
    pub fn evaluate(&self, column: usize, point: &[Challenge]) -> Challenge {
        match self {
            Self::Clamp { low, high, .. } if column > 0 => {
                let (first, rows) = (self.first(), 1i64 << self.bits());
                // Rows below the low end, and rows that are not above the high one.
                let [below, inside] = [i64::from(*low), i64::from(*high) + 1].map(|end| {
                    let rows = (end - first).clamp(0, rows);
                    sums_below(usize::try_from(rows).expect("rows are counted"), point)
                });
                let argument = |sums: [Challenge; 2]| sums[1] + sums[0] * Value::from_i64(first);
                below[0] * Value::from_i32(*low) + argument(inside) - argument(below)
                    + (Challenge::ONE - inside[0]) * Value::from_i32(*high)
            }
            Self::Function { values, .. } if column > 0 => extension(values, point),
            _ => counting(point) + Value::from_i64(self.first()),
        }
    }
}

/// The extension of `0, 1, 2, ..`.
fn counting(point: &[Challenge]) -> Challenge {
    point.iter().fold(Challenge::ZERO, |value, &bit| value.double() + bit)
}

/// The sum of `eq(point, i)`, and of `i eq(point, i)`, over all `i` below `end`, most significant variable first.
fn sums_below(end: usize, point: &[Challenge]) -> [Challenge; 2] {
    let Some((&bit, rest)) = point.split_first() else {
        // One index, zero.
        return [if end > 0 { Challenge::ONE } else { Challenge::ZERO }, Challenge::ZERO];
    };
    let half = 1usize << rest.len();
    let zero = Challenge::ONE - bit;
    if end <= half {
        return sums_below(end, rest).map(|sum| zero * sum);
    }
    let [ones, numbers] = sums_below(end - half, rest);
    [zero + bit * ones, zero * counting(rest) + bit * (ones * Value::from_usize(half) + numbers)]
}

/// The extension of explicit values.
fn extension(values: &[i32], point: &[Challenge]) -> Challenge {
    // Rows of a square: most products are by field elements of the base.
    let (high, low) = point.split_at(point.len() / 2);
    let low = eq_table(low);
    let row = |row: &[i32]| -> Challenge {
        // Where arguments are clamped rows are constant, and the weights of a row add up to one.
        if row.iter().all(|&entry| entry == row[0]) {
            return Challenge::from(Value::from_i32(row[0]));
        }
        row.iter().zip(&low).map(|(&entry, &weight)| weight * Value::from_i32(entry)).sum()
    };
    eq_table(high).into_iter().zip(values.chunks_exact(low.len())).map(|(weight, values)| weight * row(values)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public::PublicTensor;

    #[test]
    fn the_extension_of_a_column_is_that_of_its_entries() {
        let function = |values: Vec<i32>| TableRows::Function { first: -8, values: Arc::new(values) };
        let tables = [
            TableRows::Range { bits: 4 },
            TableRows::Clamp { bits: 4, low: -2, high: 5 },
            TableRows::Clamp { bits: 4, low: -8, high: 7 },
            TableRows::Clamp { bits: 4, low: -1, high: -1 },
            function((0..16).map(|x| x * x - 40).collect()),
            function((-8..8).map(|x: i32| x.clamp(-2, 1)).collect()),
        ];
        let point: Vec<Challenge> = (2..6).map(|x| Challenge::from(Value::from_u32(x * 7_654_321))).collect();
        for rows in tables {
            for column in 0..rows.width() {
                let values: Vec<i32> = (0..16).map(|row| i32::try_from(rows.value(column, row)).unwrap()).collect();
                let (low, high) = rows.bounds(column);
                let entries = values.iter().map(|&entry| i64::from(entry));
                assert_eq!((entries.clone().min(), entries.max()), (Some(low), Some(high)), "{rows:?}");
                let dense = PublicTensor::Dense { shape: vec![16], values: Arc::new(values) };
                assert_eq!(rows.evaluate(column, &point), dense.evaluate(&[&point]), "{rows:?} {column}");
            }
        }
    }
}
