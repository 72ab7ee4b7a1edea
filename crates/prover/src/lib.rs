//! Proves a statement from values of its tensors. The driver owns plan, transcript and claims, and contains no loop over field elements:
//! those are a [`Backend`]'s. Each file here is the other side of the verifier's step of the same name; [`cpu`] does the work.

pub mod backend;
pub mod cpu;

mod bind;
mod estimate;
mod lookup;
mod messages;
mod opening;
mod packed;
mod phases;
mod product;
mod sumcheck;
pub mod whir;
mod zerocheck;

use backend::Opened;
use messages::Messages;
use obelysk_statement::fiat_shamir::FiatShamir;
use obelysk_statement::layout::Role;
use obelysk_statement::plan::Plan;
use obelysk_statement::schedule::LOOKUP_GRINDING;
use obelysk_statement::{CompileError, SecurityReport, Statement};
use obelysk_witness::{Assignment, misfit};
use phases::Stopwatch;

pub use backend::{Backend, DeviceError};
pub use cpu::{CommittedModel, Cpu};
pub use estimate::{Estimate, commitment_bytes, estimate};
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
    let transcript = FiatShamir::start(header, statement, backend.root(model));
    let mut messages = Messages { words: Vec::new(), transcript };
    let mut stopwatch = Stopwatch::start();
    let values = backend.values(statement, model, witness)?;
    stopwatch.lap("values");
    let mut witness = None;
    if let Some((_, committed)) = plan.commitment(Role::Witness) {
        let (root, commitment) = backend.commit(committed, &values)?;
        messages.root(root);
        witness = Some(commitment);
    }
    stopwatch.lap("witness commitment");

    let mut claims = plan.claims();
    if !plan.blocks.is_empty() {
        messages.work(LOOKUP_GRINDING);
        let keys = [messages.transcript.challenge(), messages.transcript.challenge()];
        let mut fractions = backend.fractions(&plan, &values, keys)?;
        let point = lookup::prove(plan.log_leaves(), fractions.as_mut(), &mut messages)?;
        claims.lookup(&plan.blocks, keys, &point);
    }
    stopwatch.lap("lookups");

    let points = plan.draw_points(&mut messages.transcript);
    let lambda = messages.transcript.challenge();
    claims.linear_relations(&points);
    for batch in &plan.products {
        let end = product::prove(backend, statement, &values, batch, lambda, &points, &mut messages)?;
        claims.products(batch, lambda, &points, &end);
    }
    stopwatch.lap("products");
    for batch in &plan.zerochecks {
        let end = zerocheck::prove(backend, statement, &values, batch, lambda, &points, &mut messages)?;
        claims.zerocheck(batch, lambda, &points, &end);
    }
    stopwatch.lap("zerochecks");

    let security = plan.security(&claims)?;
    let mut openings = Vec::new();
    for (commitment, committed) in plan.commitments.iter().enumerate() {
        let grouped = claims.grouped(commitment);
        openings.push((committed, opening::claim(backend, committed, &values, grouped, &mut messages)?));
    }
    stopwatch.lap("claims");
    for (committed, claims) in openings {
        let opened = match committed.role {
            Role::Weight => Opened::Model(model),
            Role::Witness => Opened::Witness(witness.as_ref().expect("the witness was committed")),
        };
        let begin = |alpha| backend.opening(committed, opened, &values, &claims, alpha);
        let opening = whir::open(&committed.opening, &claims.groups, begin, &mut messages.transcript)?;
        messages.words.extend(opening.words());
        stopwatch.lap(committed.role.opening_name());
    }
    Ok(Proven { proof: messages.finish(), security, phases: stopwatch.finish() })
}
