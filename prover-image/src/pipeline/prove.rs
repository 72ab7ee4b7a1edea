//! Prove: from a captured inference to a proof that this very process has checked before it is saved.

use obelysk_prover::Estimate;
use obelysk_statement::{Claim, Inference, Mode, Profile, SPECIFICATION, Statement, compile};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Observer;
use super::capture::CapturedLog;
use super::make::{Made, Work};
use super::prepare::Prepared;
use crate::artifacts::{Artifacts, PROOF, PROOF_FACTS, STATEMENT, sha256_of_file};
use crate::device::Device;
use crate::failure::{ExitCode, Failure};
use crate::memory;

/// Why proofs of this version stay off chain.
pub const NOT_READY: &str = "no contract that checks this specification is known to this version";

/// `proof.json`: facts about a proof, for people. Nothing that checks a proof reads them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofFacts {
    /// Digest of `proof.bin`.
    pub sha256: String,
    /// Its length.
    pub size_bytes: u64,
    /// Kind of proof.
    pub mode: Mode,
    /// Hash profile.
    pub profile: Profile,
    /// How weights are opened.
    pub weight_binding: String,
    /// Proven bits, all phases composed.
    pub security_bits: f64,
    /// Time from the captured inference to the proof, without the commitment to the weights.
    pub proving_seconds: f64,
    /// What proved: `CPU`, or the product name that the GPU's driver gives.
    #[serde(default)]
    pub device: String,
    /// The GPU's identity, or why none proved.
    #[serde(default)]
    pub device_note: String,
    /// Of which each step took, in order.
    #[serde(default)]
    pub phases: Vec<PhaseTime>,
    /// The model that the proof is about.
    pub model_digest: String,
    /// What the proof is bound to.
    pub nonce: String,
    /// Hash of the log's last entry.
    pub log_head: String,
    /// Number of the log's entries.
    pub log_entries: usize,
    /// Whether the proof may go on chain.
    pub submission_ready: bool,
    /// Why not.
    pub not_ready_reason: Option<String>,
}

/// How long a step of the prover took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseTime {
    /// Its name.
    pub name: String,
    /// Its time.
    pub seconds: f64,
}

/// 32 random bytes in hex.
#[must_use]
pub fn random_nonce() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// What a proof of the log's inferences will take.
///
/// # Errors
/// The inference is outside of what can be proven.
pub fn estimate(prepared: &Prepared, log: &CapturedLog) -> Result<Estimate, Failure> {
    statement(prepared, &log.inferences()).map(|(_, estimate)| estimate)
}

/// What proofs of some sizes will take: positions and bytes, up to the first size that cannot be proven.
#[must_use]
pub fn memory_by_size(prepared: &Prepared) -> Vec<(usize, u64)> {
    /// Sizes to which positions are padded.
    const SIZES: [usize; 13] = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024];
    let longest = prepared.model.description.shape.positions;
    let memory = |positions: usize| {
        // A quarter of them answers.
        let output_tokens = vec![0; positions / 4];
        let inference = Inference { prompt_tokens: vec![0; positions + 1 - output_tokens.len()], output_tokens };
        statement(prepared, &[inference]).ok().map(|(_, estimate)| (positions, estimate.memory_bytes))
    };
    SIZES.into_iter().filter(|&positions| positions <= longest).map_while(memory).collect()
}

/// The statement of inferences, and what its proof will take.
pub(super) fn statement(prepared: &Prepared, inferences: &[Inference]) -> Result<(Statement, Estimate), Failure> {
    compile(&prepared.model.description, inferences)
        .and_then(|statement| obelysk_prover::estimate(&statement).map(|estimate| (statement, estimate)))
        .map_err(|error| Failure::new(ExitCode::Unsupported, error.to_string(), "use a shorter prompt or answer"))
}

pub(super) fn require_memory(estimate: &Estimate) -> Result<(), Failure> {
    let hint = "use a machine with more memory, a shorter prompt, or fewer layers (--layers)";
    memory::require("the proof", estimate.memory_bytes, hint)
}

/// Refuse a proof whose values do not fit beside a GPU.
pub(super) fn require_memory_beside_a_gpu(estimate: &Estimate) -> Result<(), Failure> {
    let hint = "use a machine with more memory, or a shorter prompt: values lie there until the GPU has them";
    memory::require("a proof on the GPU", estimate.host_bytes, hint)
}

/// An answer that was proven, and the logits that its tokens were chosen from, shape [tokens, vocabulary].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenAnswer {
    /// The inference.
    pub inference: Inference,
    /// As the pass over all its tokens computed them.
    pub logits: Vec<i32>,
}

/// Prove the log's inferences, all in one proof, check the proof, and write statement, proof and facts. Facts, and what was
/// proven.
///
/// # Errors
/// The inference is outside of what can be proven, the model's weights were changed meanwhile, the proof does not verify, or the folder
/// cannot be written.
pub fn prove(
    artifacts: &Artifacts,
    prepared: &Prepared,
    log: &CapturedLog,
    nonce: &str,
    device: &Device,
    observer: &dyn Observer,
) -> Result<(ProofFacts, Vec<ProvenAnswer>), Failure> {
    prove_log(artifacts, prepared, log, nonce, device, observer)
        .map_err(|failure| prepared.changed().unwrap_or(failure))
}

fn prove_log(
    artifacts: &Artifacts,
    prepared: &Prepared,
    log: &CapturedLog,
    nonce: &str,
    device: &Device,
    observer: &dyn Observer,
) -> Result<(ProofFacts, Vec<ProvenAnswer>), Failure> {
    let inferences = log.inferences();
    let (first, further) = inferences.split_first().expect("a log has entries");
    let claim = Claim {
        specification: SPECIFICATION,
        mode: Mode::Gkr,
        profile: Profile::Blake2s,
        nonce: nonce.into(),
        model_digest: prepared.digest.clone(),
        weight_root: prepared.weight_root.clone(),
        prompt_tokens: first.prompt_tokens.clone(),
        output_tokens: first.output_tokens.clone(),
        further: further.to_vec(),
    };
    let work = Work { prepared, inferences: &inferences, header: claim.header() };
    let Made { proof, security_bits, logits, phases, proving_seconds, device } = work.make(device, observer)?;
    let facts = ProofFacts {
        sha256: hex::encode(Sha256::digest(&proof)),
        size_bytes: proof.len() as u64,
        mode: claim.mode,
        profile: claim.profile,
        weight_binding: "aggregated".into(),
        security_bits,
        proving_seconds,
        device: device.name,
        device_note: device.note,
        phases,
        model_digest: prepared.digest.clone(),
        nonce: claim.nonce.clone(),
        log_head: log.head.clone(),
        log_entries: log.entries.len(),
        submission_ready: false,
        not_ready_reason: Some(NOT_READY.into()),
    };
    artifacts.write_json(STATEMENT, &claim)?;
    artifacts.write(PROOF, &proof)?;
    artifacts.write_json(PROOF_FACTS, &facts)?;
    let answers = inferences.into_iter().zip(logits);
    Ok((facts, answers.map(|(inference, logits)| ProvenAnswer { inference, logits }).collect()))
}

/// Take over an earlier proof of this log.
///
/// # Errors
/// The folder has none, or it is of another log or nonce.
pub fn read(artifacts: &Artifacts, log: &CapturedLog, nonce: Option<&str>) -> Result<ProofFacts, Failure> {
    let facts: ProofFacts = artifacts.read_json(PROOF_FACTS)?;
    if facts.sha256 != sha256_of_file(&artifacts.path(PROOF))? || facts.log_head != log.head {
        return Err(artifacts.damaged(PROOF, "it is not the proof of this folder's log"));
    }
    match nonce {
        Some(nonce) if nonce != facts.nonce => {
            let message = format!("the folder's proof has nonce {}, not {nonce}", facts.nonce);
            Err(Failure::new(ExitCode::BadSpec, message, "resume from `prove` to prove with another nonce"))
        }
        _ => Ok(facts),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::time::SystemTime;

    use super::super::inference::Prompt;
    use super::super::inputs::{ModelSelection, ModelSource, RunInputs};
    use super::super::{capture, model_files, prepare};
    use super::*;
    use crate::console::{Console, Level};
    use crate::home::Home;

    #[test]
    fn a_proof_that_fails_for_changed_weights_says_so() {
        let home = tempfile::tempdir().unwrap();
        let source = ModelSource::Preset { name: "tiny-chat".into(), endpoint: String::new() };
        let model = ModelSelection { source, layers: None };
        let console = Console::new(true, Level::Quiet);
        let files = model_files::resolve(&Home::at(home.path()), &model, &console).unwrap();
        let prepared = prepare::load_or_prepare(&files, &console).unwrap();
        let artifacts = Artifacts::begin(&home.path().join("out")).unwrap();
        let inputs = RunInputs { model, prompts: Vec::new(), max_new_tokens: 1, count: 1 };
        let prompt = Prompt { tokens: vec![1, 2], stop_tokens: Vec::new() };
        let log =
            capture::capture(&artifacts, &prepared, &inputs, &[prompt], &Device::cpu("as asked"), &console).unwrap();
        let weights = File::options().write(true).open(prepared.folder.join("weights.q")).unwrap();
        weights.write_all_at(&[0; 4096], 0).unwrap();
        weights.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let failure =
            prove(&artifacts, &prepared, &log, &"0".repeat(64), &Device::cpu("as asked"), &console).unwrap_err();
        assert_eq!(failure.code, ExitCode::Cache, "{failure:?}");
        assert!(failure.message.contains("weights.q is damaged: it was changed while it was in use"), "{failure:?}");
        assert!(!artifacts.has(PROOF));
    }
}
