//! The submission gate: says whether a proof may go on chain, before anything is sent.

use serde::{Deserialize, Serialize};

use super::prove::{NOT_READY, ProofFacts};
use crate::artifacts::{Artifacts, PROOF_FACTS, SUBMISSION};
use crate::failure::{ExitCode, Failure};

/// `submission.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Submission {
    /// Nothing was sent.
    pub dry_run: bool,
    /// Whether the proof could be submitted.
    pub submission_ready: bool,
    /// Why not.
    pub not_ready_reason: Option<String>,
}

/// Pass a proof through the gate without sending anything.
///
/// # Errors
/// There is no proof, or the folder cannot be written.
pub fn dry_run(artifacts: &Artifacts) -> Result<Submission, Failure> {
    let facts: ProofFacts = artifacts.read_json(PROOF_FACTS)?;
    let submission = Submission {
        dry_run: true,
        submission_ready: facts.submission_ready,
        not_ready_reason: facts.not_ready_reason,
    };
    artifacts.write_json(SUBMISSION, &submission)?;
    Ok(submission)
}

/// The failure of a submission for real, which no proof of this version can pass.
#[must_use]
pub fn refuse() -> Failure {
    let message = format!("the proof may not be submitted: {NOT_READY}");
    Failure::new(ExitCode::GateRefused, message, "use --dry-run; nothing was sent")
}
