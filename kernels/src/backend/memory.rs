//! What a proof takes of a device's memory, from the statement alone: what lies there throughout, and the largest of the steps.

use obelysk_prover::{DeviceError, ProveError, Rows};
use obelysk_statement::batch::{ProductBatch, ZerocheckBatch, variables};
use obelysk_statement::blake2s::BLOCK;
use obelysk_statement::layout::Role;
use obelysk_statement::plan::{Committed, Plan};
use obelysk_statement::relation::{Access, Relation};
use obelysk_statement::tree::DIGEST_WORDS;
use obelysk_statement::whir::{Code, Stack};
use obelysk_statement::words::CHALLENGE_WORDS;
use obelysk_statement::{Challenge, PublicTensor, Statement, TensorId, TensorKind};
use obelysk_witness::Weights;
use p3_field::PrimeCharacteristicRing;

use super::Cuda;
use super::commitment::log_parts;
use super::devices::share_bits;
use super::model::places;
use super::sumcheck::shared_bits;
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
    /// Refuse a proof that does not fit, before it takes anything; `weights_are_there` says that its weights are on the devices already.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`] of the first device that is too small, with what is needed there and what is free;
    /// [`obelysk_statement::CompileError::Unsupported`] for a size that the code cannot hold.
    pub fn require_memory(
        &self,
        statement: &Statement,
        weights: &Weights,
        weights_are_there: bool,
    ) -> Result<(), ProveError> {
        let devices = self.devices.all();
        let held = held(weights, devices.len());
        for ((asked, held), kernels) in needed(statement, weights, devices.len())?.into_iter().zip(held).zip(devices) {
            let device = &kernels.device;
            let free = device.free_bytes()? + if weights_are_there { held } else { 0 };
            let needed = asked + asked / POOL_PART + POOL;
            if needed > free {
                return Err(DeviceError::OutOfMemory { device: device.name().to_owned(), needed, free }.into());
            }
        }
        Ok(())
    }
}

/// Peak memory of committing to a model and of a proof of this statement, in bytes, of each of so many devices.
///
/// # Errors
/// [`obelysk_statement::CompileError::Unsupported`] for a size that the code cannot hold.
///
/// # Panics
/// Without a device.
pub fn needed(statement: &Statement, weights: &Weights, devices: usize) -> Result<Vec<u64>, ProveError> {
    let plan = Plan::new(statement)?;
    let held = held(weights, devices);
    Ok(held.into_iter().enumerate().map(|(at, held)| Part { plan: &plan, devices, at }.needed(held)).collect())
}

/// Bytes of weights on each of so many devices.
fn held(weights: &Weights, devices: usize) -> Vec<u64> {
    let mut held = vec![0; devices];
    for (name, place) in places(weights, devices) {
        held[place] += weights[name].bytes() as u64;
    }
    held
}

/// What one of several devices takes.
struct Part<'a> {
    plan: &'a Plan<'a>,
    devices: usize,
    at: usize,
}

impl Part<'_> {
    fn needed(&self, weights: u64) -> u64 {
        let (plan, statement) = (self.plan, self.plan.statement);
        let (mut held, mut steps) = (weights, vec![0]);
        for role in Role::ALL {
            if role == Role::Witness && self.at >> self.devices.ilog2() == 0 {
                held += values(statement);
            }
            if let Some((_, committed)) = plan.commitment(role) {
                let code = &committed.opening.codes[0];
                if let Some(log_rows) = self.rows(code) {
                    steps.push(
                        held + encoding(code, 1, log_rows)
                            + states(log_rows)
                            + tree(log_rows)
                            + self.lent_columns(committed),
                    );
                    held += tree(log_rows);
                } else {
                    steps.push(held + self.lent_columns(committed));
                }
            }
        }
        if let (false, Some(bits)) = (plan.blocks.is_empty(), self.share(plan.log_leaves())) {
            // Every layer up to the root.
            steps.push(held + FRACTION * ((2u64 << (plan.log_leaves() - bits)) - 1));
        }
        steps.extend(plan.products.iter().map(|batch| held + self.product(batch)));
        steps.extend(plan.zerochecks.iter().map(|batch| held + self.zerocheck(batch)));
        for committed in &plan.commitments {
            steps.extend(self.opening(committed).into_iter().map(|bytes| held + bytes));
        }
        steps.into_iter().max().unwrap_or(held).max(held) + SMALL
    }

    /// Bits of the share of an index of so many bits, if this device has one.
    fn share(&self, bits: usize) -> Option<usize> {
        let own = share_bits(self.devices, bits);
        (self.at >> own == 0).then_some(own)
    }

    /// Binary logarithm of the rows of a commitment that are on this device, if any are.
    fn rows(&self, code: &Code) -> Option<usize> {
        let parts = log_parts(self.devices, code);
        (self.at >> parts == 0).then(|| code.log_rows() - parts)
    }

    /// Columns of tiles that others have, and own ones that are read for others.
    fn lent_columns(&self, committed: &Committed) -> u64 {
        let (stack, code) = (&committed.opening.stack, &committed.opening.codes[0]);
        if self.devices == 1 || committed.role == Role::Witness {
            return 0;
        }
        let columns = (BLOCK.min(1 << code.fold) * longest(stack)) as u64;
        WORD * columns * ((1 << log_parts(self.devices, code)) + 1)
    }

    /// Rows of eq and all factors, and the largest table of weights beside them.
    fn product(&self, batch: &ProductBatch) -> u64 {
        let statement = self.plan.statement;
        let axes = batch.axes();
        let contractions = batch.relations.iter().flat_map(|&position| match &statement.relations[position].relation {
            Relation::Product { contractions, .. } => contractions.as_slice(),
            _ => &[],
        });
        let mut factors: Vec<&Access> = contractions.flat_map(|own| [&own.left, &own.right]).collect();
        factors.sort();
        factors.dedup();
        let variables_of = |axes: &[_]| variables(statement, axes);
        let bits = share_bits(self.devices, shared_bits(statement, &axes));
        let outputs = 1 << (variables_of(&axes) - bits);
        let weighed = |access: &&Access| -> u64 {
            let others: Vec<_> = access.axes().filter(|axis| !axes.contains(axis)).collect();
            let summed = variables_of(&others);
            (CHALLENGE << summed) + CHALLENGE * crate::weighted::parts(outputs, summed) as u64
        };
        let beside = factors.iter().map(weighed).max().unwrap_or(0);
        // Sums of own weights for every share, and those of others' for its own.
        let lent = if self.devices == 1 { 0 } else { (beside + CHALLENGE * outputs as u64) << bits };
        if self.at >> bits != 0 {
            return lent;
        }
        let brought = if self.devices == 1 { 0 } else { CHALLENGE * outputs as u64 };
        let summed = variables_of(&batch.summed).saturating_sub(bits);
        let eq = (CHALLENGE << variables_of(&batch.shared)) + (CHALLENGE << summed);
        rows(factors.len(), variables_of(&axes) - bits) + eq + beside + lent + brought
    }

    fn zerocheck(&self, batch: &ZerocheckBatch) -> u64 {
        let statement = self.plan.statement;
        let Some(bits) = self.share(shared_bits(statement, &batch.axes)) else { return 0 };
        let factors = Rows::new(statement, batch, Challenge::ONE).factors.len();
        // eq of all axes but the last, and of the last, twice where its share is scaled.
        let (last, outer) = batch
            .axes
            .split_last()
            .map_or((0, 0), |(last, outer)| (variables(statement, &[*last]), variables(statement, outer)));
        let last = (CHALLENGE << (last - bits)) * if bits > 0 { 2 } else { 1 };
        rows(factors, variables(statement, &batch.axes) - bits) + last + (CHALLENGE << outer)
    }

    /// The steps of an opening: claims, the folded columns with their weights, and code words of them, each kept until the next one is
    /// there. All but the first code word is the first device's; the others sum what they have for it.
    fn opening(&self, committed: &Committed) -> Vec<u64> {
        let (stack, codes) = (&committed.opening.stack, &committed.opening.codes);
        let longest = CHALLENGE * longest(stack) as u64;
        let lent = if self.devices == 1 { 0 } else { 2 * longest };
        let queried =
            |code| self.rows(code).map_or(0, |log_rows| encoding(code, 1, log_rows)) + self.lent_columns(committed);
        if self.at > 0 {
            return vec![lent + longest, queried(&codes[0])];
        }
        let tables = |variables: usize| 2 * (CHALLENGE << variables);
        let fold = |code: &Code| (CHALLENGE << code.variables) + tree(code.log_rows());
        let mut steps = vec![longest + lent + tables(stack.column_variables())];
        for (place, (before, code)) in codes.iter().zip(&codes[1..]).enumerate() {
            let kept = if place == 0 { 0 } else { fold(before) };
            let own = tables(code.variables) + kept + fold(code);
            steps.push(own + encoding(code, CHALLENGE_WORDS, code.log_rows()) + states(code.log_rows()));
            steps.push(
                own + if place == 0 { queried(before) } else { encoding(before, CHALLENGE_WORDS, before.log_rows()) },
            );
        }
        steps
    }
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

/// All levels of a tree over rows.
fn tree(log_rows: usize) -> u64 {
    WORD * DIGEST_WORDS as u64 * ((2u64 << log_rows) - 1)
}

/// Unfinished hashes of rows.
fn states(log_rows: usize) -> u64 {
    (WORD * STATE_WORDS as u64) << log_rows
}

/// A block of columns, and the constants of their transform. The code has `words` columns for each of its polynomial's.
fn encoding(code: &Code, words: usize, log_rows: usize) -> u64 {
    let columns = BLOCK.min(words << code.fold) as u64;
    (WORD * (columns + 1)) << log_rows
}

/// Cells of the largest part of a column that one tile has.
fn longest(stack: &Stack) -> usize {
    stack.tiles.iter().map(|tile| tile.length()).max().unwrap_or(0)
}

fn rows(factors: usize, variables: usize) -> u64 {
    (CHALLENGE * (1 + factors as u64)) << variables.max(1)
}
