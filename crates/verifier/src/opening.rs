//! Openings of the commitments.

use obelysk_statement::Challenge;
use obelysk_statement::plan::Committed;
use obelysk_statement::reduction::Openings;
use obelysk_statement::transcript::{Opening, Root, Transcript};
use p3_commit::MultilinearPcs;
use p3_sumcheck::PrescribedPointPcs;

use crate::VerifyError;

/// Absorb a commitment where the prover made it.
pub(crate) fn observe(committed: &Committed, root: &Root, transcript: &mut Transcript) {
    MultilinearPcs::<Challenge, Transcript>::observe_commitment(&committed.commitments, root, transcript);
}

/// Check the opening of a commitment's claims: one value per claim.
pub(crate) fn verify(
    committed: &Committed,
    openings: &Openings,
    root: Option<&Root>,
    opening: Option<&Opening>,
    transcript: &mut Transcript,
) -> Result<Vec<Challenge>, VerifyError> {
    let (Some(root), Some(opening)) = (root, opening) else {
        return Err(VerifyError::Shape(committed.role.opening_name()));
    };
    let evaluations = committed
        .commitments
        .verify_at(root, opening, &openings.protocol, &openings.points, transcript)
        .map_err(|error| VerifyError::Inconsistent { part: "opening", reason: error.to_string() })?;
    Ok(openings.values(&evaluations))
}
