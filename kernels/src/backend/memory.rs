//! What a proof takes of a device's memory, from the statement alone: what lies there throughout, and the largest of the steps.

use obelysk_prover::{DeviceError, ProveError, Rows};
use obelysk_statement::batch::{ProductBatch, ZerocheckBatch, variables};
use obelysk_statement::blake2s::BLOCK;
use obelysk_statement::layout::Role;
use obelysk_statement::plan::{Committed, Plan};
use obelysk_statement::relation::{Access, Relation};
use obelysk_statement::tree::DIGEST_WORDS;
use obelysk_statement::whir::Code;
use obelysk_statement::words::CHALLENGE_WORDS;
use obelysk_statement::{Challenge, PublicTensor, Statement, TensorId, TensorKind};
use obelysk_witness::Weights;
use p3_field::PrimeCharacteristicRing;

use super::Cuda;
use crate::tree::STATE_WORDS;

const WORD: u64 = 4;
const CHALLENGE: u64 = WORD * CHALLENGE_WORDS as u64;
const FRACTION: u64 = 2 * CHALLENGE;
/// What is small beside every step: sums of blocks and of threads, factors of eq, positions and rows that are opened.
const SMALL: u64 = 4 << 20;
/// What a driver's pool takes beside what it is asked for: pieces of 2 MiB and more, and what lies between them.
const POOL: u64 = 128 << 20;
/// Of all that is asked for, the part that is lost between pieces.
const POOL_PART: u64 = 32;

impl Cuda {
    /// Refuse a proof that does not fit, before it takes anything; `held` bytes of what it takes, its weights, are there already.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`] with what is needed and what is free; [`obelysk_statement::CompileError::Unsupported`] for a size that
    /// the code cannot hold.
    pub fn require_memory(&self, statement: &Statement, weights: &Weights, held: u64) -> Result<(), ProveError> {
        let (asked, free) = (needed(statement, weights)?, self.kernels.device.free_bytes()? + held);
        let needed = asked + asked / POOL_PART + POOL;
        if needed > free {
            return Err(DeviceError::OutOfMemory { device: self.kernels.device.name().to_owned(), needed, free }.into());
        }
        Ok(())
    }
}

/// Peak memory of committing to a model and of a proof of this statement, in bytes.
///
/// # Errors
/// [`obelysk_statement::CompileError::Unsupported`] for a size that the code cannot hold.
pub fn needed(statement: &Statement, weights: &Weights) -> Result<u64, ProveError> {
    let plan = Plan::new(statement)?;
    let mut held: u64 = weights.values().map(|own| own.bytes() as u64).sum();
    let mut steps = Vec::new();
    for role in Role::ALL {
        if role == Role::Witness {
            held += values(statement);
        }
        if let Some((_, committed)) = plan.commitment(role) {
            let code = &committed.opening.codes[0];
            steps.push(held + encoding(code, 1) + states(code) + tree(code));
            held += tree(code);
        }
    }
    if !plan.blocks.is_empty() {
        // Every layer up to the root.
        steps.push(held + FRACTION * ((2u64 << plan.log_leaves()) - 1));
    }
    steps.extend(plan.products.iter().map(|batch| held + product(statement, batch)));
    steps.extend(plan.zerochecks.iter().map(|batch| held + zerocheck(statement, batch)));
    for committed in &plan.commitments {
        steps.extend(opening(committed).map(|bytes| held + bytes));
    }
    Ok(steps.into_iter().max().unwrap_or(held) + SMALL)
}

/// Witness and public tensors.
fn values(statement: &Statement) -> u64 {
    let entries = |(position, kind): (usize, &TensorKind)| match kind {
        TensorKind::Weight => 0,
        TensorKind::Public(PublicTensor::OneHot { columns, .. }) => columns.len(),
        _ => statement.len_of(TensorId(u32::try_from(position).expect("few tensors"))),
    };
    statement.tensors.iter().map(|tensor| &tensor.kind).enumerate().map(entries).map(|count| WORD * count as u64).sum()
}

/// All levels of a code word's tree.
fn tree(code: &Code) -> u64 {
    WORD * DIGEST_WORDS as u64 * ((2u64 << code.log_rows()) - 1)
}

/// Unfinished hashes of its rows.
fn states(code: &Code) -> u64 {
    (WORD * STATE_WORDS as u64) << code.log_rows()
}

/// A block of columns, and the constants of their transform. The code has `words` columns for each of its polynomial's.
fn encoding(code: &Code, words: usize) -> u64 {
    let columns = BLOCK.min(words << code.fold) as u64;
    (WORD * (columns + 1)) << code.log_rows()
}

/// Rows of eq and all factors, and the largest table of weights beside them.
fn product(statement: &Statement, batch: &ProductBatch) -> u64 {
    let axes = batch.axes();
    let contractions = batch.relations.iter().flat_map(|&position| match &statement.relations[position].relation {
        Relation::Product { contractions, .. } => contractions.as_slice(),
        _ => &[],
    });
    let mut factors: Vec<&Access> = contractions.flat_map(|own| [&own.left, &own.right]).collect();
    factors.sort();
    factors.dedup();
    let weighed = |access: &&Access| -> u64 {
        let others: Vec<_> = access.axes().filter(|axis| !axes.contains(axis)).collect();
        let summed = variables(statement, &others);
        let outputs = 1 << variables(statement, &axes);
        (CHALLENGE << summed) + CHALLENGE * crate::weighted::parts(outputs, summed) as u64
    };
    let beside = factors.iter().map(weighed).max().unwrap_or(0);
    let eq = (CHALLENGE << variables(statement, &batch.shared)) + (CHALLENGE << variables(statement, &batch.summed));
    rows(factors.len(), variables(statement, &axes)) + eq + beside
}

fn zerocheck(statement: &Statement, batch: &ZerocheckBatch) -> u64 {
    let factors = Rows::new(statement, batch, Challenge::ONE).factors.len();
    // eq of all axes but the last, and of the last.
    let (last, outer) = batch
        .axes
        .split_last()
        .map_or((0, 0), |(last, outer)| (variables(statement, &[*last]), variables(statement, outer)));
    rows(factors, variables(statement, &batch.axes)) + (CHALLENGE << last) + (CHALLENGE << outer)
}

fn rows(factors: usize, variables: usize) -> u64 {
    (CHALLENGE * (1 + factors as u64)) << variables.max(1)
}

/// The steps of an opening: claims, the folded columns with their weights, and code words of them, each kept until the next one is there.
fn opening(committed: &Committed) -> impl Iterator<Item = u64> {
    let (stack, codes) = (&committed.opening.stack, &committed.opening.codes);
    let longest = stack.tiles.iter().map(|tile| tile.length() as u64).max().unwrap_or(0);
    let tables = |variables: usize| 2 * (CHALLENGE << variables);
    let fold = |code: &Code| (CHALLENGE << code.variables) + tree(code);
    let mut steps = vec![CHALLENGE * longest + tables(stack.column_variables())];
    for (before, code) in codes.iter().zip(&codes[1..]) {
        let is_first = before.fold == codes[0].fold && before.variables == codes[0].variables;
        let kept = if is_first { 0 } else { fold(before) };
        steps.push(tables(code.variables) + kept + fold(code) + encoding(code, CHALLENGE_WORDS) + states(code));
        let words = if is_first { 1 } else { CHALLENGE_WORDS };
        steps.push(tables(code.variables) + kept + fold(code) + encoding(before, words));
    }
    steps.into_iter()
}
