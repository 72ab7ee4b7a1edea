//! Checks proofs. Reads no environment, no clock, no network; starts no threads; takes every count and length from the
//! statement; never panics, whatever the bytes; takes memory and time in proportion to them.

pub mod folder;
pub mod proof;

mod bounded;
mod opening;

use obelysk_statement::plan::Plan;
use obelysk_statement::schedule::LOOKUP_GRINDING;
use obelysk_statement::transcript::{Transcript, check_grinding, sample, start};
use obelysk_statement::{Challenge, SecurityReport, Statement, Value};
use p3_field::PrimeCharacteristicRing;
use p3_multi_stark::fractional_gkr::verify_fractional_gkr;

use obelysk_statement::layout::Role;
use proof::{Proof, root_bytes, root_from_bytes};

/// Why a proof is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The bytes are not a proof.
    #[error("the proof cannot be read: {0}")]
    Encoding(String),
    /// The statement is not sound or not supported.
    #[error(transparent)]
    Statement(#[from] obelysk_statement::CompileError),
    /// The proof has parts that the statement does not call for, or lacks some.
    #[error("the proof does not have the parts that its statement calls for: {0}")]
    Shape(&'static str),
    /// A proof of work is missing.
    #[error("the proof's grinding witness is wrong")]
    Grinding,
    /// A sumcheck or lookup message is inconsistent.
    #[error("the {part} is inconsistent: {reason}")]
    Inconsistent {
        /// Which part.
        part: &'static str,
        /// What its check reported.
        reason: String,
    },
    /// Opened values do not satisfy an equation of the statement.
    #[error("the opened values contradict the {0}")]
    Equation(&'static str),
}

/// Check a proof of `statement` under the claim `header` against the model's `weight_root`.
///
/// # Errors
/// Why the proof is not accepted.
pub fn verify(
    statement: &Statement,
    header: &[u8],
    weight_root: &[u8; 32],
    proof: &[u8],
) -> Result<SecurityReport, VerifyError> {
    statement.check()?;
    let plan = Plan::new(statement)?;
    let proof = Proof::decode(proof)?;
    check_shape(&plan, &proof)?;

    let mut transcript = start(header, statement, weight_root);
    if let (Some(committed), Some(root)) = (&plan.witness, &proof.witness_root) {
        opening::observe(committed, root, &mut transcript);
    }
    let mut claims = plan.claims();
    let mut equations = Vec::new();

    if !check_grinding(&mut transcript, LOOKUP_GRINDING, proof.grinding) {
        return Err(VerifyError::Grinding);
    }
    if let Some(lookup) = &proof.lookup {
        let keys = [sample(&mut transcript), sample(&mut transcript)];
        let leaves = verify_fractional_gkr::<Value, Challenge, Transcript>(lookup, plan.log_leaves(), &mut transcript)
            .map_err(|error| VerifyError::Inconsistent { part: "lookup argument", reason: error.to_string() })?;
        let point = leaves.point.as_slice();
        equations.extend(claims.lookup(&plan.blocks, keys, point, [leaves.numerator, leaves.denominator]));
    }

    let points = plan.draw_points(&mut transcript);
    let lambda = sample(&mut transcript);
    equations.extend(claims.linear_relations(&points));
    for (batch, sumcheck) in plan.products.iter().zip(&proof.products) {
        let rounds = obelysk_statement::batch::variables(statement, &batch.axes());
        let (end, value) = sumcheck
            .verify(&mut transcript, rounds, batch.degree(), 0)
            .map_err(|error| VerifyError::Inconsistent { part: "product sumcheck", reason: error.to_string() })?;
        equations.extend(claims.products(batch, lambda, &points, sumcheck.claimed_sum, end.as_slice(), value));
    }
    for (batch, sumcheck) in plan.zerochecks.iter().zip(&proof.zerochecks) {
        let rounds = obelysk_statement::batch::variables(statement, &batch.axes);
        if sumcheck.claimed_sum != Challenge::ZERO {
            return Err(VerifyError::Inconsistent { part: "zerocheck", reason: "its sum is not zero".into() });
        }
        let (end, value) = sumcheck
            .verify(&mut transcript, rounds, batch.degree, 0)
            .map_err(|error| VerifyError::Inconsistent { part: "zerocheck", reason: error.to_string() })?;
        equations.push(claims.zerocheck(batch, lambda, &points, end.as_slice(), value));
    }

    let weight_root = root_from_bytes(weight_root);
    let weights = opening::verify(
        &plan,
        Role::Weight,
        &claims,
        Some(&weight_root),
        proof.weight_opening.as_ref(),
        &mut transcript,
    )?;
    let witness = opening::verify(
        &plan,
        Role::Witness,
        &claims,
        proof.witness_root.as_ref(),
        proof.witness_opening.as_ref(),
        &mut transcript,
    )?;
    let values = [weights.values, witness.values];
    for equation in &equations {
        if !equation.holds(&values) {
            return Err(VerifyError::Equation(equation.name));
        }
    }
    Ok(plan.security(weights.openings.as_ref(), witness.openings.as_ref())?)
}

/// Every part is there exactly if the statement calls for it.
fn check_shape(plan: &Plan, proof: &Proof) -> Result<(), VerifyError> {
    let parts = [
        ("witness commitment", plan.witness.is_some(), proof.witness_root.is_some()),
        ("witness opening", plan.witness.is_some(), proof.witness_opening.is_some()),
        ("weight opening", plan.weights.is_some(), proof.weight_opening.is_some()),
        ("lookup argument", !plan.blocks.is_empty(), proof.lookup.is_some()),
        ("product sumchecks", true, plan.products.len() == proof.products.len()),
        ("zerochecks", true, plan.zerochecks.len() == proof.zerochecks.len()),
    ];
    match parts.into_iter().find(|(_, expected, actual)| expected != actual) {
        Some((name, _, _)) => Err(VerifyError::Shape(name)),
        None if proof.witness_root.as_ref().is_some_and(|root| root_bytes(root).is_none()) => {
            Err(VerifyError::Shape("witness commitment"))
        }
        None => Ok(()),
    }
}
