//! Verify: check a folder as a stranger would, from `model.json`, `statement.json` and `proof.bin` alone.

use std::time::Instant;

use obelysk_statement::Inference;
use obelysk_verifier::folder::{Expectations, FolderError, ProofFolder};
use serde::{Deserialize, Serialize};

use super::quality::QualityNote;
use crate::artifacts::{Artifacts, VERIFICATION};
use crate::failure::{ExitCode, Failure};

/// `verification.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// The proof holds. A negative outcome is never written: it is an error.
    pub valid: bool,
    /// The model that the proof is about.
    pub model_digest: String,
    /// Prompt token ids.
    pub prompt_tokens: Vec<u32>,
    /// Output token ids.
    pub output_tokens: Vec<u32>,
    /// Inferences that the proof claims besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<Inference>,
    /// The nonce.
    pub nonce: String,
    /// Proven bits, all phases composed.
    pub security_bits: f64,
    /// Time that checking took, reading included.
    pub verify_seconds: f64,
    /// What the prover says of the model's quality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualityNote>,
}

/// A proof that holds, and the files that say so.
pub struct Checked {
    /// Description, claim and proof, as they were checked.
    pub folder: ProofFolder,
    /// What came of it.
    pub verification: Verification,
}

/// Check the proof of a folder against what is expected of it.
///
/// # Errors
/// The files cannot be read, the proof is not what is expected, or it does not hold.
pub fn check(artifacts: &Artifacts, expected: &Expectations) -> Result<Checked, Failure> {
    let start = Instant::now();
    let folder = ProofFolder::read(artifacts.folder())?;
    let report = folder.check(expected)?;
    let claim = folder.claim.clone();
    let verification = Verification {
        valid: true,
        model_digest: claim.model_digest,
        prompt_tokens: claim.prompt_tokens,
        output_tokens: claim.output_tokens,
        further: claim.further,
        nonce: claim.nonce,
        security_bits: report.bits(),
        verify_seconds: start.elapsed().as_secs_f64(),
        quality: None,
    };
    Ok(Checked { folder, verification })
}

/// Check the proof of a folder.
///
/// # Errors
/// As [`check`]; of a model's digest, another is not what is expected.
pub fn verify(artifacts: &Artifacts, model_digest: Option<&str>) -> Result<Verification, Failure> {
    let expected = Expectations { model_digest: model_digest.map(Into::into), ..Expectations::default() };
    check(artifacts, &expected).map(|checked| checked.verification)
}

/// As [`verify`], and write `verification.json`.
///
/// # Errors
/// As [`verify`], or the folder cannot be written.
pub fn verify_and_record(
    artifacts: &Artifacts,
    model_digest: &str,
    quality: Option<QualityNote>,
) -> Result<Verification, Failure> {
    record(artifacts, verify(artifacts, Some(model_digest))?, quality)
}

/// Write `verification.json`.
///
/// # Errors
/// The folder cannot be written.
pub fn record(
    artifacts: &Artifacts,
    verification: Verification,
    quality: Option<QualityNote>,
) -> Result<Verification, Failure> {
    let verification = Verification { quality, ..verification };
    artifacts.write_json(VERIFICATION, &verification)?;
    Ok(verification)
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        let (code, hint) = match &error {
            FolderError::Unreadable { .. } => {
                (ExitCode::Cache, "name a folder with model.json, statement.json, proof.bin")
            }
            FolderError::OtherSpecification { .. } => {
                (ExitCode::Unsupported, "check it with the version of this program that knows its specification")
            }
            FolderError::Invalid(_) => (ExitCode::SelfVerification, "do not trust this folder"),
        };
        Self::new(code, error.to_string(), hint)
    }
}
