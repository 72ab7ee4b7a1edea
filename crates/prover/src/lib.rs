//! Proves a statement from values of its tensors. The driver owns plan, transcript and claims, and contains no loop over field elements:
//! those are a [`Backend`]'s. Each file here is the other side of the verifier's step of the same name; [`cpu`] does the work.

pub mod backend;
pub mod cpu;

mod estimate;
mod lookup;
mod phases;
mod product;
mod sumcheck;
pub mod tree;
pub mod whir;
mod zerocheck;

use obelysk_statement::layout::Role;
use obelysk_statement::plan::Plan;
use obelysk_statement::schedule::LOOKUP_GRINDING;
use obelysk_statement::transcript::{grind, sample, start};
use obelysk_statement::{CompileError, SecurityReport, Statement};
use obelysk_verifier::proof::Proof;
use obelysk_witness::{Assignment, misfit};
use phases::Stopwatch;

pub use backend::{Backend, DeviceError};
pub use cpu::{CommittedModel, Cpu};
pub use estimate::{Estimate, estimate};
pub use phases::Phases;
pub use zerocheck::{Constraint, Form, Rows};

/// Why a proof cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError {
    /// The statement is not sound or not supported.
    #[error(transparent)]
    Statement(#[from] CompileError),
    /// Values are missing or have the wrong length.
    #[error("the values do not fit the statement: {0}")]
    Misfit(String),
    /// The device gave up.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// A proof and what it is worth.
#[derive(Debug)]
pub struct Proven {
    /// The bytes that a verifier checks.
    pub proof: Vec<u8>,
    /// The accounting that the verifier will repeat.
    pub security: SecurityReport,
    /// Where the time went.
    pub phases: Phases,
}

/// Prove `statement` under the claim `header`, from the model's weights and values of all witness tensors, multiplicities included
/// ([`obelysk_witness::fill_multiplicities`]). Values are not checked: a proof of values that do not satisfy the statement convinces
/// nobody. The witness is consumed, so that memory holds it once; the model serves any number of proofs.
///
/// # Errors
/// [`ProveError`].
pub fn prove<B: Backend>(
    backend: &B,
    statement: &Statement,
    header: &[u8],
    model: &B::Model,
    witness: Assignment,
) -> Result<Proven, ProveError> {
    let plan = Plan::new(statement)?;
    if let Some(misfit) = misfit(statement, Role::Witness, |name| witness.get(name).map(Vec::len)) {
        return Err(ProveError::Misfit(misfit));
    }
    let mut transcript = start(header, statement, &backend.root(model));
    let mut stopwatch = Stopwatch::start();
    let values = backend.values(statement, model, witness)?;
    stopwatch.lap("values");
    let mut witness_root = None;
    let mut witness_commitment = None;
    if let Some((_, committed)) = plan.commitment(Role::Witness) {
        let (root, commitment) = backend.commit(committed, &values, &mut transcript)?;
        (witness_root, witness_commitment) = (Some(root), Some(commitment));
    }
    stopwatch.lap("witness commitment");

    let mut claims = plan.claims();
    let grinding = grind(&mut transcript, LOOKUP_GRINDING);
    let mut lookup = None;
    if !plan.blocks.is_empty() {
        let keys = [sample(&mut transcript), sample(&mut transcript)];
        let mut fractions = backend.fractions(&plan, &values, keys)?;
        let (proof, point) = lookup::prove(plan.log_leaves(), fractions.as_mut(), &mut transcript)?;
        claims.lookup(&plan.blocks, keys, &point);
        lookup = Some(proof);
    }
    stopwatch.lap("lookups");

    let points = plan.draw_points(&mut transcript);
    let lambda = sample(&mut transcript);
    claims.linear_relations(&points);
    let mut products = Vec::new();
    for batch in &plan.products {
        let (proof, end) = product::prove(backend, statement, &values, batch, lambda, &points, &mut transcript)?;
        claims.products(batch, lambda, &points, &end);
        products.push(proof);
    }
    stopwatch.lap("products");
    let mut zerochecks = Vec::new();
    for batch in &plan.zerochecks {
        let (proof, end) = zerocheck::prove(backend, statement, &values, batch, lambda, &points, &mut transcript)?;
        claims.zerocheck(batch, lambda, &points, &end);
        zerochecks.push(proof);
    }
    stopwatch.lap("zerochecks");

    drop(values);
    let openings = claims.openings();
    let security = plan.security(&openings)?;
    let mut weight_opening = None;
    let mut witness_opening = None;
    for (committed, openings) in plan.commitments.iter().zip(&openings) {
        match committed.role {
            Role::Weight => weight_opening = Some(backend.open_model(committed, model, openings, &mut transcript)?),
            Role::Witness => {
                let commitment = witness_commitment.take().expect("one commitment of each role");
                witness_opening = Some(backend.open(committed, commitment, openings, &mut transcript)?);
            }
        }
        stopwatch.lap(committed.role.opening_name());
    }
    let proof =
        Proof { witness_root, grinding, lookup, products, zerochecks, weight_opening, witness_opening }.encode();
    Ok(Proven { proof, security, phases: stopwatch.finish() })
}
