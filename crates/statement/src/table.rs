//! Lookup tables: ranges and functions of small integers.

use std::sync::Arc;

use serde::Serialize;

use crate::relation::TensorId;

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

    /// Entry of one row.
    #[must_use]
    pub fn value(&self, column: usize, row: usize) -> i64 {
        match self {
            Self::Range { .. } => i64::try_from(row).expect("tables are shorter than 2^31"),
            Self::Columns(columns) => i64::from(columns[column][row]),
        }
    }
}
