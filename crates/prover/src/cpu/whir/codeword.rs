//! Commits to columns by encoding a few of them at a time: one block of every row's hash. The codeword is kept only on
//! request; otherwise rows are encoded again when they are opened.

use obelysk_statement::Value;
use obelysk_statement::blake2s::BLOCK;
use obelysk_statement::tree::Digest;
use obelysk_statement::whir::{Code, Stack};
use obelysk_statement::words::CHALLENGE_WORDS;
use p3_field::PrimeCharacteristicRing;

use super::cells::{Cells, StackColumns};
use super::transform::Transform;
use crate::backend::OpenedRows;
use crate::cpu::tree::{Leaves, Tree};

/// Columns over the base field, read one at a time.
pub trait Columns: Sync {
    /// Number of columns.
    fn count(&self) -> usize;
    /// Binary logarithm of their length.
    fn variables(&self) -> usize;
    /// Entries of one column from `from` on.
    fn read(&self, column: usize, from: usize, output: &mut [Value]);
}

/// What is kept of a commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Codeword and tree: openings are fast.
    Codeword,
    /// The tree above groups of 256 rows: an opening encodes once more.
    Top,
}

/// Words of the longest codeword that is kept: 128 MiB.
const KEPT_WORDS: usize = 1 << 25;
/// Levels of a tree that are not kept with [`Keep::Top`].
const DROPPED_LEVELS: usize = 8;

impl Keep {
    /// What to keep of a codeword over the base field that is opened soon: what memory would not miss.
    #[must_use]
    pub fn of_values(code: &Code) -> Self {
        Self::of_words(1 << code.log_entries())
    }

    /// The same over the challenges' field.
    #[must_use]
    pub fn of_challenges(code: &Code) -> Self {
        Self::of_words(CHALLENGE_WORDS << code.log_entries())
    }

    fn of_words(words: usize) -> Self {
        if words <= KEPT_WORDS { Self::Codeword } else { Self::Top }
    }
}

/// A commitment to columns.
#[derive(Clone)]
pub struct Codeword {
    tree: Tree,
    log_inverse_rate: usize,
    /// Blocks of every [`BLOCK`] columns, each row after row; none if they are encoded again.
    batches: Vec<Vec<Vec<Value>>>,
}

impl Codeword {
    /// Encode and commit to columns.
    #[must_use]
    pub fn new(columns: &impl Columns, log_inverse_rate: usize, keep: Keep) -> Self {
        let transform = Transform::new(columns.variables() + log_inverse_rate);
        let block_rows = 1 << Transform::log_block(columns.variables());
        let mut leaves = Leaves::new(1 << (columns.variables() + log_inverse_rate), columns.count());
        let mut batches = Vec::new();
        let mut halfway = Vec::new();
        for first in (0..columns.count()).step_by(BLOCK) {
            let width = BLOCK.min(columns.count() - first);
            let blocks = leaves.absorb(width, block_rows, |absorb| {
                transform.encode(columns, [first, width], None, &mut halfway, |block, rows| {
                    absorb(block, rows);
                    if keep == Keep::Codeword { rows.to_vec() } else { Vec::new() }
                })
            });
            if keep == Keep::Codeword {
                batches.push(blocks);
            }
        }
        let lowest = if keep == Keep::Codeword { 0 } else { DROPPED_LEVELS };
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
        let log_block = Transform::log_block(columns.variables());
        let mut rows = vec![Value::ZERO; positions.len() * count];
        let mut transform = None;
        let mut halfway = Vec::new();
        for (batch, first) in (0..count).step_by(BLOCK).enumerate() {
            let width = BLOCK.min(count - first);
            // Queried rows of a block, one after the other.
            let pick = |block: usize, own: &[Value]| -> Vec<Value> {
                let from = positions.partition_point(|position| position >> log_block < block);
                let queried = positions[from..].iter().take_while(|&position| position >> log_block == block);
                let row = |position: &usize| position & ((1 << log_block) - 1);
                queried.flat_map(|position| &own[row(position) * width..][..width]).copied().collect()
            };
            let picked: Vec<Vec<Value>> = match self.batches.get(batch) {
                Some(blocks) => blocks.iter().enumerate().map(|(block, own)| pick(block, own)).collect(),
                None => transform
                    .get_or_insert_with(|| Transform::new(columns.variables() + self.log_inverse_rate))
                    .encode(columns, [first, width], Some(positions), &mut halfway, pick),
            };
            let picked = picked.concat();
            for (row, own) in rows.chunks_exact_mut(count).zip(picked.chunks_exact(width)) {
                row[first..first + width].copy_from_slice(own);
            }
        }
        rows
    }

    /// Rows with what leads from them to the root.
    pub(crate) fn open_tiles(&self, stack: &Stack, cells: &impl Cells, positions: &[usize]) -> OpenedRows {
        self.open(&StackColumns { stack, cells }, positions)
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
