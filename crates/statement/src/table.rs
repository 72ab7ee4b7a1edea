//! Lookup tables: ranges, and functions of small integers.

use p3_field::PrimeCharacteristicRing;
use serde::Serialize;

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
    /// Two columns: integers from `first` on, and a function of them that the model's commitment holds.
    Function {
        /// Binary logarithm of the number of rows.
        bits: usize,
        /// The first argument.
        first: i32,
        /// The function's values: a weight over one axis as long as the table.
        values: TensorId,
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
            Self::Range { bits } | Self::Clamp { bits, .. } | Self::Function { bits, .. } => *bits,
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

    /// The weight that holds a column, if no rule gives it.
    #[must_use]
    pub fn committed(&self, column: usize) -> Option<TensorId> {
        match self {
            Self::Function { values, .. } if column > 0 => Some(*values),
            _ => None,
        }
    }

    /// Smallest and largest entry of a column that a rule gives.
    ///
    /// # Panics
    /// For a column that is committed.
    #[must_use]
    pub fn bounds(&self, column: usize) -> (i64, i64) {
        assert!(self.committed(column).is_none(), "a rule gives the column");
        match self {
            Self::Clamp { low, high, .. } if column > 0 => (i64::from(*low), i64::from(*high)),
            _ => (self.first(), self.first() + (1 << self.bits()) - 1),
        }
    }

    /// Entry of one row in a column that a rule gives.
    ///
    /// # Panics
    /// For a column that is committed.
    #[must_use]
    pub fn value(&self, column: usize, row: usize) -> i64 {
        assert!(self.committed(column).is_none(), "a rule gives the column");
        let argument = self.first() + i64::try_from(row).expect("tables are shorter than 2^31");
        match self {
            Self::Clamp { low, high, .. } if column > 0 => argument.clamp(i64::from(*low), i64::from(*high)),
            _ => argument,
        }
    }

    /// The multilinear extension of a column that a rule gives, at a point, most significant variable first.
    ///
    /// # Panics
    /// For a column that is committed.
    pub fn evaluate(&self, column: usize, point: &[Challenge]) -> Challenge {
        assert!(self.committed(column).is_none(), "a rule gives the column");
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::public::PublicTensor;

    #[test]
    fn the_extension_of_a_column_is_that_of_its_entries() {
        let tables = [
            TableRows::Range { bits: 4 },
            TableRows::Clamp { bits: 4, low: -2, high: 5 },
            TableRows::Clamp { bits: 4, low: -8, high: 7 },
            TableRows::Clamp { bits: 4, low: -1, high: -1 },
            TableRows::Function { bits: 4, first: -8, values: TensorId(0) },
        ];
        let point: Vec<Challenge> = (2..6).map(|x| Challenge::from(Value::from_u32(x * 7_654_321))).collect();
        for rows in tables {
            for column in (0..rows.width()).filter(|&column| rows.committed(column).is_none()) {
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
