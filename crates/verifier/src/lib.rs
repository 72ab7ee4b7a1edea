//! Checks proofs. Reads no environment, no clock, no network; starts no threads; takes every count and length from the
//! statement; never panics, whatever the bytes; takes memory and time in proportion to them and to the statement's
//! tiles, whose number is limited.

pub mod folder;
pub mod tree;
pub mod whir;

mod lookup;
mod messages;
mod sumcheck;

use obelysk_statement::batch::variables;
use obelysk_statement::fiat_shamir::{FiatShamir, Label};
use obelysk_statement::layout::Role;
use obelysk_statement::plan::Plan;
use obelysk_statement::reduction::{Equation, Grouped};
use obelysk_statement::schedule::LOOKUP_GRINDING;
use obelysk_statement::tree::Digest;
use obelysk_statement::{Challenge, SecurityReport, Statement};
use p3_field::PrimeCharacteristicRing;

use messages::Messages;
use whir::{OpeningError, Reader, Unreadable};

/// Why a proof is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The bytes are not those of a proof of this statement.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The statement is not sound or not supported.
    #[error(transparent)]
    Statement(#[from] obelysk_statement::CompileError),
    /// A proof of work is missing.
    #[error("a proof of work of {bits} bits is wrong")]
    Work {
        /// Bits asked for.
        bits: usize,
    },
    /// The lookup argument's sum has no value.
    #[error("the lookup argument divides by zero")]
    ZeroDenominator,
    /// A layer of the lookup argument contradicts the one above it.
    #[error("layer {layer} of the lookup argument contradicts the one above it")]
    Tree {
        /// Which, from the root.
        layer: usize,
    },
    /// Claimed values do not satisfy an equation of the statement.
    #[error("the claimed values contradict the {0}")]
    Equation(&'static str),
    /// Claimed values are not those of what was committed.
    #[error("the {part} does not hold: {error}")]
    Opening {
        /// Of what.
        part: &'static str,
        /// Why.
        error: OpeningError,
    },
}

/// Check a proof of `statement` under the claim `header` against the model's `weight_root`.
///
/// # Errors
/// Why the proof is not accepted.
pub fn verify(
    statement: &Statement,
    header: &[u8],
    weight_root: Digest,
    proof: &[u8],
) -> Result<SecurityReport, VerifyError> {
    statement.check()?;
    let plan = Plan::new(statement)?;
    let transcript = FiatShamir::start(header, statement, weight_root);
    let mut messages = Messages { reader: Reader::new(proof), transcript };
    let mut roots = Vec::new();
    for committed in &plan.commitments {
        roots.push(match committed.role {
            Role::Weight => weight_root,
            Role::Witness => messages.root()?,
        });
    }
    let mut claims = plan.claims();
    let mut equations: Vec<(Equation, Challenge)> = Vec::new();

    if !plan.blocks.is_empty() {
        messages.work(LOOKUP_GRINDING)?;
        let keys = [messages.transcript.challenge(), messages.transcript.challenge()];
        let leaves = lookup::verify(plan.log_leaves(), &mut messages)?;
        let sides = claims.lookup(&plan.blocks, keys, &leaves.point);
        equations.extend(sides.into_iter().zip([leaves.numerator, leaves.denominator]));
    }

    let points = plan.draw_points(&mut messages.transcript);
    let lambda = messages.transcript.challenge();
    equations.extend(claims.linear_relations(&points).into_iter().map(|equation| (equation, Challenge::ZERO)));
    for batch in &plan.products {
        let sum = messages.challenges(Label::SUM, 1)?[0];
        let end = sumcheck::verify(variables(statement, &batch.axes()), batch.degree(), sum, &mut messages)?;
        let sides = claims.products(batch, lambda, &points, &end.point);
        equations.extend(sides.into_iter().zip([sum, end.value]));
    }
    for batch in &plan.zerochecks {
        let end = sumcheck::verify(variables(statement, &batch.axes), batch.degree, Challenge::ZERO, &mut messages)?;
        equations.push((claims.zerocheck(batch, lambda, &points, &end.point), end.value));
    }

    let mut grouped: Vec<Grouped> = Vec::new();
    let mut values = Vec::new();
    for commitment in 0..plan.commitments.len() {
        let mut own = claims.grouped(commitment);
        values.push(own.fill(&messages.challenges(Label::CLAIMS, claims.count(commitment))?));
        grouped.push(own);
    }
    if let Some((equation, _)) = equations.iter().find(|(equation, value)| equation.value(&values) != *value) {
        return Err(VerifyError::Equation(equation.name));
    }
    for ((committed, root), claims) in plan.commitments.iter().zip(roots).zip(&grouped) {
        let Messages { reader, transcript } = &mut messages;
        whir::verify(&committed.opening, root, &claims.groups, reader, transcript)
            .map_err(|error| VerifyError::Opening { part: committed.role.opening_name(), error })?;
    }
    messages.reader.finish()?;
    Ok(plan.security(&claims)?)
}
