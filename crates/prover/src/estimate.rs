//! What a proof will take, from the statement alone.

use std::collections::BTreeSet;

use obelysk_statement::batch::{ProductBatch, variables};
use obelysk_statement::layout::Role;
use obelysk_statement::plan::{Committed, Plan};
use obelysk_statement::relation::{Relation, Tensor, TensorKind};
use obelysk_statement::schedule::first_fold;
use obelysk_statement::whir::{Code, OpeningPlan};
use obelysk_statement::{Challenge, CompileError, PublicTensor, Statement, TensorId};
use p3_field::PrimeCharacteristicRing;

use crate::cpu;
use crate::cpu::whir::{self, Keep};
use crate::zerocheck::Rows;

/// Sizes of a proof that was not made yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Committed entries of the model.
    pub weight_cells: u64,
    /// Committed entries of the inference.
    pub witness_cells: u64,
    /// Fractions that the lookup argument sums, padding included.
    pub lookup_leaves: u64,
    /// Peak memory of committing to the model and of [`crate::prove`], their arguments included, in bytes.
    pub memory_bytes: u64,
    /// Peak memory of a process whose proof a device makes, in bytes: the values until the device has them, and the largest weight on its
    /// way there.
    pub host_bytes: u64,
}

/// Bytes of a field element.
const VALUE: u64 = 4;
/// Bytes of a challenge.
const CHALLENGE: u64 = 4 * VALUE;
/// Bytes of a digest.
const DIGEST: u64 = 28;
/// Bytes of an unfinished hash.
const HASH: u64 = 32;
/// What a process takes before it proves anything: its program, its threads, its tokenizer.
const PROCESS: u64 = 24 << 20;

/// Estimate the proof of a statement.
///
/// # Errors
/// [`CompileError::Unsupported`] for a size that the code cannot hold.
pub fn estimate(statement: &Statement) -> Result<Estimate, CompileError> {
    let plan = Plan::new(statement)?;
    let cells_of = |role| plan.commitment(role).map_or(0, |(_, committed)| cells(committed));
    let (weight_cells, witness_cells) = (cells_of(Role::Weight), cells_of(Role::Witness));
    let lookup_leaves = if plan.blocks.is_empty() { 0 } else { 1u64 << plan.log_leaves() };
    let memory_bytes = PROCESS + peak(&plan);
    let host_bytes = PROCESS + values(statement) + largest_weight(statement);
    Ok(Estimate { weight_cells, witness_cells, lookup_leaves, memory_bytes, host_bytes })
}

/// Peak memory of committing to as many weights, which stay in their file, in bytes: unfinished hashes of all rows, what lies between the
/// passes of the transform, and its constants.
#[must_use]
pub fn commitment_bytes(weights: u64) -> u64 {
    let variables = weights.clamp(1, 1 << 48).next_power_of_two().trailing_zeros() as usize;
    let columns = variables - first_fold(variables, Role::Weight).min(variables);
    encoding(columns, columns + 1)
}

fn cells(committed: &Committed) -> u64 {
    committed.layout.tiles.iter().map(|tile| 1u64 << tile.arity()).sum()
}

/// Values of a proof, weights apart.
fn values(statement: &Statement) -> u64 {
    let bytes = |(position, tensor): (usize, &Tensor)| match tensor.kind {
        TensorKind::Weight | TensorKind::Public(PublicTensor::OneHot { .. }) => 0,
        TensorKind::Witness | TensorKind::Public(_) => VALUE * entries(statement, position),
    };
    statement.tensors.iter().enumerate().map(bytes).sum()
}

fn largest_weight(statement: &Statement) -> u64 {
    let weights = statement.tensors.iter().enumerate().filter(|(_, tensor)| matches!(tensor.kind, TensorKind::Weight));
    weights.map(|(position, _)| VALUE * entries(statement, position)).max().unwrap_or(0)
}

fn entries(statement: &Statement, position: usize) -> u64 {
    statement.len_of(TensorId(u32::try_from(position).expect("few tensors"))) as u64
}

/// The largest step, with all that is held beside it.
fn peak(plan: &Plan) -> u64 {
    let statement = plan.statement;
    let values = values(statement);
    let mut kept = 0;
    let mut steps = Vec::new();
    for committed in &plan.commitments {
        let code = &committed.opening.codes[0];
        let held = match committed.role {
            Role::Weight => 0,
            Role::Witness => values,
        };
        let keep = match committed.role {
            Role::Weight => Keep::Top,
            Role::Witness => Keep::of_values(code),
        };
        steps.push(held + kept + encoding(code.column_variables(), code.log_rows()) + codeword(code, VALUE, keep));
        kept += codeword(code, VALUE, keep);
    }
    let proving = values + kept;
    steps.push(proving + lookups(plan));
    steps.extend(plan.products.iter().map(|batch| {
        let factors = product_factors(statement, batch);
        proving + program(variables(statement, &batch.axes()), factors)
    }));
    steps.extend(plan.zerochecks.iter().map(|batch| {
        let factors = Rows::new(statement, batch, Challenge::ONE).factors.len();
        proving + program(variables(statement, &batch.axes), factors)
    }));
    steps.extend(plan.commitments.iter().map(|committed| proving + opening(&committed.opening)));
    steps.into_iter().max().unwrap_or(0)
}

/// Unfinished hashes of all rows, a few columns half transformed, and the transform's constants.
fn encoding(column_variables: usize, log_rows: usize) -> u64 {
    (HASH << log_rows) + whir::halfway_bytes(column_variables) + ((2 * VALUE) << log_rows)
}

/// What is kept of a codeword whose entries take some bytes each.
fn codeword(code: &Code, entry: u64, keep: Keep) -> u64 {
    let rows = 1u64 << code.log_rows();
    match keep {
        Keep::Codeword => (entry << code.log_entries()) + 2 * DIGEST * rows,
        Keep::Top => (2 * DIGEST * rows) >> 8,
    }
}

/// The layers of the tree that are kept: what a larger one is folded to takes their place.
fn lookups(plan: &Plan) -> u64 {
    (4 * CHALLENGE) << cpu::kept(plan.log_leaves())
}

/// `eq` and factors of a box, before and after the first fold.
fn program(variables: usize, factors: usize) -> u64 {
    (2 * CHALLENGE + factors as u64 * (VALUE + CHALLENGE / 2)) << variables
}

fn product_factors(statement: &Statement, batch: &ProductBatch) -> usize {
    let contractions = batch.relations.iter().flat_map(|&position| match &statement.relations[position].relation {
        Relation::Product { contractions, .. } => contractions.as_slice(),
        _ => &[],
    });
    contractions.flat_map(|contraction| [&contraction.left, &contraction.right]).collect::<BTreeSet<_>>().len()
}

/// The folded columns with their weights, and the larger of the first codeword, encoded again, and the second one.
fn opening(plan: &OpeningPlan) -> u64 {
    let first = &plan.codes[0];
    let queried = (first.queries as u64) * (VALUE << (8 + first.fold));
    let again = whir::halfway_bytes(first.column_variables()) + 2 * (VALUE << first.log_rows()) + queried;
    let second = plan.codes.get(1).map_or(0, |code| match Keep::of_challenges(code) {
        Keep::Codeword => codeword(code, CHALLENGE, Keep::Codeword) + (HASH << code.log_rows()),
        Keep::Top => encoding(code.column_variables(), code.log_rows()),
    });
    3 * (CHALLENGE << first.column_variables()) + again.max(second)
}
