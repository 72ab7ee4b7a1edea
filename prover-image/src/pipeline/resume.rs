//! How far an earlier attempt of the same run came, from what it left in the folder.

use std::path::Path;

use obelysk_statement::Claim;

use super::record::RunRecord;
use super::{Step, capture, verify};
use crate::artifacts::{Artifacts, RUN, STATEMENT};

/// What a run is about, as far as its folder shows.
pub struct Identity<'a> {
    /// Digest of the inputs.
    pub inputs_digest: &'a str,
    /// Digest of the model.
    pub model_digest: &'a str,
    /// What the proof is bound to.
    pub nonce: &'a str,
}

/// The first step that is still to do, or none if the folder holds nothing of this run. Damage is not an error: what is
/// damaged is made again.
#[must_use]
pub fn first_step_to_do(folder: &Path, run: &Identity) -> Option<Step> {
    let artifacts = Artifacts::open(folder).ok()?;
    let record: RunRecord = artifacts.read_json(RUN).ok()?;
    if record.inputs_digest != run.inputs_digest {
        return None;
    }
    let log = capture::read(&artifacts, run.model_digest).ok()?;
    let proven = artifacts.read_json::<Claim>(STATEMENT).is_ok_and(|claim| {
        claim.nonce == run.nonce
            && claim.inferences() == log.inferences()
            && verify::verify(&artifacts, Some(run.model_digest)).is_ok()
    });
    Some(if proven { Step::Verify } else { Step::Prove })
}
