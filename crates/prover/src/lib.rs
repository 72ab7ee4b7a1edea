//! Proves a statement from values of its tensors. Each file is the other side of the verifier's file of the same name, or
//! of the step of `obelysk_statement::reduction` that it feeds.

mod estimate;
mod lookup;
mod opening;
mod product;
mod tensors;
mod zerocheck;

use obelysk_statement::assignment::{fill_multiplicities, misfit};
use obelysk_statement::layout::{Role, Tile};
use obelysk_statement::plan::Plan;
use obelysk_statement::schedule::LOOKUP_GRINDING;
use obelysk_statement::transcript::{grind, sample, start};
use obelysk_statement::{Assignment, CompileError, SecurityReport, Statement, Value};
use obelysk_verifier::proof::{Proof, root_bytes};

use tensors::Tensors;

pub use estimate::{Estimate, estimate};
pub use opening::WeightCommitment;

/// Why a proof cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError {
    /// The statement is not sound or not supported.
    #[error(transparent)]
    Statement(#[from] CompileError),
    /// Values are missing or have the wrong length.
    #[error("the values do not fit the statement: {0}")]
    Misfit(String),
    /// A lookup misses its table, so no proof exists.
    #[error(transparent)]
    Miss(#[from] obelysk_statement::assignment::Miss),
}

/// A proof and what it is worth.
#[derive(Debug)]
pub struct Proven {
    /// The bytes that a verifier checks.
    pub proof: Vec<u8>,
    /// The accounting that the verifier will repeat.
    pub security: SecurityReport,
}

/// Whether false statements are refused early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Honesty {
    /// A lookup that misses is an error.
    Checked,
    /// Run the honest protocol on whatever values: for tests that the verifier is the one who refuses.
    Unchecked,
}

/// Prove `statement` under the claim `header`. Table multiplicities are computed here; all other witness tensors come
/// from the caller. Everything large is consumed, so that memory holds it once.
///
/// # Errors
/// [`ProveError`].
pub fn prove(
    statement: &Statement,
    header: &[u8],
    commitment: WeightCommitment,
    weights: Assignment,
    mut witness: Assignment,
    honesty: Honesty,
) -> Result<Proven, ProveError> {
    let plan = Plan::new(statement)?;
    let miss = fill_multiplicities(statement, &weights, &mut witness);
    if let (Some(miss), Honesty::Checked) = (miss, honesty) {
        return Err(miss.into());
    }
    if let Some(misfit) = misfit(statement, &weights, &witness) {
        return Err(ProveError::Misfit(misfit));
    }
    let tensors = Tensors::new(statement, weights, witness);

    let mut transcript = start(header, statement, &commitment.root());
    let append = |tile: &Tile, output: &mut Vec<Value>| tensors.append_tile(tile, output);
    let committed = plan.witness.as_ref().map(|committed| opening::commit(committed, append, &mut transcript));
    let mut claims = plan.claims();
    let grinding = grind(&mut transcript, LOOKUP_GRINDING);
    let lookup = (!plan.blocks.is_empty()).then(|| {
        let keys = [sample(&mut transcript), sample(&mut transcript)];
        let (proof, leaves) = lookup::prove(&plan, &tensors, keys, honesty, &mut transcript);
        claims.lookup(&plan.blocks, keys, leaves.point.as_slice(), [leaves.numerator, leaves.denominator]);
        proof
    });

    let points = plan.draw_points(&mut transcript);
    let lambda = sample(&mut transcript);
    claims.linear_relations(&points);
    let mut products = Vec::new();
    for batch in &plan.products {
        let (proof, end) = product::prove(&tensors, batch, lambda, &points, &mut transcript);
        claims.products(batch, lambda, &points, proof.claimed_sum, end.as_slice(), proof.claimed_sum);
        products.push(proof);
    }
    let mut zerochecks = Vec::new();
    for batch in &plan.zerochecks {
        let (proof, end) = zerocheck::prove(&tensors, batch, lambda, &points, &mut transcript);
        claims.zerocheck(batch, lambda, &points, end.as_slice(), proof.claimed_sum);
        zerochecks.push(proof);
    }

    drop(tensors);
    let weight_openings = plan.openings(&claims, Role::Weight);
    let witness_openings = plan.openings(&claims, Role::Witness);
    let security = plan.security(weight_openings.as_ref(), witness_openings.as_ref())?;
    let weight_opening = match (&plan.weights, &weight_openings) {
        (Some(committed), Some(openings)) => {
            Some(opening::open(committed, commitment.into_data(), openings, &mut transcript)?)
        }
        _ => None,
    };
    let (witness_root, witness_opening) = match (&plan.witness, committed, &witness_openings) {
        (Some(plan), Some((root, data)), Some(openings)) => {
            (Some(root), Some(opening::open(plan, data, openings, &mut transcript)?))
        }
        _ => (None, None),
    };
    let proof =
        Proof { witness_root, grinding, lookup, products, zerochecks, weight_opening, witness_opening }.encode();
    Ok(Proven { proof, security })
}

/// The 32 bytes of a commitment that this crate made.
fn bytes_of_root(root: &obelysk_statement::transcript::Root) -> [u8; 32] {
    root_bytes(root).expect("our trees have one root")
}
