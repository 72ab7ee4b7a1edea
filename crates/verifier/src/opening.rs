//! Openings of the two commitments.

use obelysk_statement::Challenge;
use obelysk_statement::layout::Role;
use obelysk_statement::plan::{Committed, Plan};
use obelysk_statement::reduction::{Claims, Openings};
use obelysk_statement::transcript::{Opening, Root, Transcript};
use p3_commit::MultilinearPcs;
use p3_sumcheck::PrescribedPointPcs;

use crate::VerifyError;

/// What a commitment was opened to.
#[derive(Default)]
pub(crate) struct Opened {
    /// One value per claim.
    pub(crate) values: Vec<Challenge>,
    pub(crate) openings: Option<Openings>,
}

/// Absorb a commitment where the prover made it.
pub(crate) fn observe(committed: &Committed, root: &Root, transcript: &mut Transcript) {
    MultilinearPcs::<Challenge, Transcript>::observe_commitment(&committed.commitments, root, transcript);
}

/// Check the opening of a role's claims; nothing is opened where the statement has no tensors of the role.
pub(crate) fn verify(
    plan: &Plan,
    role: Role,
    claims: &Claims,
    root: Option<&Root>,
    opening: Option<&Opening>,
    transcript: &mut Transcript,
) -> Result<Opened, VerifyError> {
    let (Some(committed), Some(openings), Some(root), Some(opening)) =
        (plan.committed(role), plan.openings(claims, role), root, opening)
    else {
        return Ok(Opened::default());
    };
    let evaluations = committed
        .commitments
        .verify_at(root, opening, &openings.protocol, &openings.points, transcript)
        .map_err(|error| VerifyError::Inconsistent { part: "opening", reason: error.to_string() })?;
    Ok(Opened { values: openings.values(&evaluations), openings: Some(openings) })
}
