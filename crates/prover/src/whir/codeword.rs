//! Commits to columns by encoding a batch of them at a time: one block of every row's hash. The codeword is kept only on
//! request; otherwise rows are encoded again when they are opened.

use obelysk_statement::Value;
use obelysk_statement::blake2s::BLOCK;
use obelysk_statement::circle::CircleCode;
use obelysk_statement::tree::Digest;
use p3_commit::Encoder;
use p3_field::PrimeCharacteristicRing;
use p3_matrix::dense::RowMajorMatrix;
use rayon::prelude::*;

use crate::tree::{Leaves, Tree};

/// Columns over the base field, read one at a time.
pub trait Columns: Sync {
    /// Number of columns.
    fn count(&self) -> usize;
    /// Binary logarithm of their length.
    fn variables(&self) -> usize;
    /// All entries of one column.
    fn read(&self, column: usize, output: &mut [Value]);
}

/// What is kept of a commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Codeword and tree: openings are fast.
    Codeword,
    /// The tree above groups of 256 rows: an opening encodes once more.
    Top,
}

/// Binary logarithm of the words of the largest codeword that is kept unless the caller says so: half a gibibyte.
const LARGEST_KEPT: usize = 27;
/// Columns that are encoded together: a multiple of a block. The transform's constants are computed for every batch, and
/// cost as much as 26 columns.
const BATCH: usize = 2 * BLOCK;
/// Levels of a tree that are not kept with [`Keep::Top`].
const DROPPED_LEVELS: usize = 8;

impl Keep {
    /// The codeword if it has at most `2^27` words, else the top of the tree.
    #[must_use]
    pub fn by_size(columns: &impl Columns, log_inverse_rate: usize) -> Self {
        let rows = columns.variables() + log_inverse_rate;
        let words = rows + columns.count().next_power_of_two().trailing_zeros() as usize;
        if words <= LARGEST_KEPT { Self::Codeword } else { Self::Top }
    }
}

/// A commitment to columns.
#[derive(Clone)]
pub struct Codeword {
    tree: Tree,
    log_inverse_rate: usize,
    /// Batches of columns, each row after row; empty if they are encoded again.
    batches: Vec<Vec<Value>>,
}

/// Opened rows.
pub struct OpenedRows {
    /// Entries, row after row.
    pub entries: Vec<Value>,
    /// What leads from them to the root.
    pub siblings: Vec<Digest>,
}

impl Codeword {
    /// Encode and commit to columns.
    #[must_use]
    pub fn new(columns: &impl Columns, log_inverse_rate: usize, keep: Keep) -> Self {
        let mut leaves = Leaves::new(1 << (columns.variables() + log_inverse_rate), columns.count());
        let firsts: Vec<usize> = (0..columns.count()).step_by(BATCH).collect();
        let batch = |&first: &usize| encode(columns, first, log_inverse_rate);
        let (batches, lowest) = match keep {
            Keep::Codeword => (firsts.par_iter().map(batch).collect(), 0),
            Keep::Top => (Vec::new(), DROPPED_LEVELS),
        };
        for first in &firsts {
            let width = BATCH.min(columns.count() - first);
            match batches.get(first / BATCH) {
                Some(rows) => leaves.absorb(rows, width),
                None => leaves.absorb(&batch(first), width),
            }
        }
        Self { tree: leaves.into_tree(lowest), log_inverse_rate, batches }
    }

    /// The root of its tree.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.tree.root()
    }

    /// The rows at sorted, distinct positions, one after the other.
    #[must_use]
    pub fn rows(&self, columns: &impl Columns, positions: &[usize]) -> Vec<Value> {
        let count = columns.count();
        let mut rows = vec![Value::ZERO; positions.len() * count];
        for first in (0..count).step_by(BATCH) {
            let width = BATCH.min(count - first);
            let encoded;
            let values = match self.batches.get(first / BATCH) {
                Some(values) => values,
                None => {
                    encoded = encode(columns, first, self.log_inverse_rate);
                    &encoded
                }
            };
            for (row, &position) in rows.chunks_mut(count).zip(positions) {
                row[first..first + width].copy_from_slice(&values[position * width..(position + 1) * width]);
            }
        }
        rows
    }

    /// Rows with what leads from them to the root.
    pub(crate) fn open(&self, columns: &impl Columns, positions: &[usize]) -> OpenedRows {
        let count = columns.count();
        let group = self.tree.group_rows();
        if group == 1 {
            let siblings = self.tree.siblings(positions, count, |_| Vec::new());
            return OpenedRows { entries: self.rows(columns, positions), siblings };
        }
        let mut entries = Vec::with_capacity(positions.len() * count);
        let siblings = self.tree.siblings(positions, count, |groups| {
            let all: Vec<usize> = groups.iter().flat_map(|index| index * group..(index + 1) * group).collect();
            let rows = self.rows(columns, &all);
            for position in positions {
                let first = groups.partition_point(|index| *index < position / group) * group;
                let row = first + position % group;
                entries.extend_from_slice(&rows[row * count..(row + 1) * count]);
            }
            rows
        });
        OpenedRows { entries, siblings }
    }
}

/// The codewords of the batch of columns that begins at `first`, row after row.
fn encode(columns: &impl Columns, first: usize, log_inverse_rate: usize) -> Vec<Value> {
    let width = BATCH.min(columns.count() - first);
    let height = 1 << columns.variables();
    let mut messages = vec![Value::ZERO; width * height];
    messages.par_chunks_mut(height).enumerate().for_each(|(column, output)| columns.read(first + column, output));
    // Room for the codeword, so that encoding does not move the messages.
    let mut rows = Vec::with_capacity((width * height) << log_inverse_rate);
    rows.resize(width * height, Value::ZERO);
    let task = 1 << 10;
    rows.par_chunks_mut(width * task).enumerate().for_each(|(part, rows)| {
        for (row, entries) in rows.chunks_mut(width).enumerate() {
            for (column, entry) in entries.iter_mut().enumerate() {
                *entry = messages[column * height + part * task + row];
            }
        }
    });
    drop(messages);
    CircleCode.encode_batch(RowMajorMatrix::new(rows, width), log_inverse_rate).values
}
