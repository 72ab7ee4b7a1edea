//! What a proof will take, from the statement alone.

use obelysk_statement::layout::Role;
use obelysk_statement::plan::{Committed, Plan};
use obelysk_statement::{CompileError, Statement};

/// Sizes of a proof that was not made yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Committed entries of the model.
    pub weight_cells: u64,
    /// Committed entries of the inference.
    pub witness_cells: u64,
    /// Fractions that the lookup argument sums, padding included.
    pub lookup_leaves: u64,
    /// Peak memory of [`crate::prove`], its arguments included, in bytes.
    pub memory_bytes: u64,
}

/// Bytes of a field element.
const VALUE: u64 = 4;
/// Bytes of a digest.
const DIGEST: u64 = 32;
/// A leaf's numerator and denominator, once by block and once in order, and the tree of fractions above it.
const LEAF: u64 = 2 * (VALUE + 4 * VALUE) + 8 * VALUE;

/// Estimate the proof of a statement.
///
/// # Errors
/// [`CompileError::Unsupported`] for a size that the code cannot hold.
pub fn estimate(statement: &Statement) -> Result<Estimate, CompileError> {
    let plan = Plan::new(statement)?;
    let cells_of = |role| plan.commitment(role).map_or(0, |(_, committed)| cells(committed));
    let (weight_cells, witness_cells) = (cells_of(Role::Weight), cells_of(Role::Witness));
    let lookup_leaves = if plan.blocks.is_empty() { 0 } else { 1u64 << plan.log_leaves() };
    let committed = plan.commitments.iter().map(bytes).sum::<u64>();
    // Beside the commitments: every entry as a field element, and the lookup argument while it runs.
    let memory_bytes = committed + VALUE * (weight_cells + witness_cells) + LEAF * lookup_leaves;
    Ok(Estimate { weight_cells, witness_cells, lookup_leaves, memory_bytes })
}

fn cells(committed: &Committed) -> u64 {
    committed.layout.tiles.iter().map(|tile| 1u64 << tile.arity()).sum()
}

/// The tables, the code word, and the tree over its rows of one fold each.
fn bytes(committed: &Committed) -> u64 {
    let first = &committed.opening.codes[0];
    let code_word = 1u64 << (first.variables + first.log_inverse_rate);
    VALUE * (cells(committed) + code_word) + 2 * DIGEST * (code_word >> first.fold)
}
