//! The audit: compute the log's answers again with the integer engine and check everything that a folder says against them.
//! Unlike `obelysk-verify` it needs the weights, and it trusts no digest that it can recompute.

use std::io::{self, BufRead, BufReader, Read};

use obelysk_model::integer::{IntegerModel, is_whole_answer};
use obelysk_statement::{Claim, Inference, ModelDescription};
use serde::{Deserialize, Serialize};

use super::capture::{self, CapturedLog};
use super::capture_log::{Entry, SessionFacts};
use super::prepare::Prepared;
use super::prove::{ProofFacts, ProvenAnswer};
use super::verify;
use crate::artifacts::{AUDIT, Artifacts, LOG_MATRICES, MODEL, PROOF, PROOF_FACTS, STATEMENT, sha256_of_file};
use crate::failure::{ExitCode, Failure};

/// `audit.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditReport {
    /// Whether every check passed.
    pub verdict: Verdict,
    /// The model that the log was replayed with.
    pub model_digest: String,
    /// Hash of the log's last entry.
    pub log_head: String,
    /// Number of entries.
    pub log_entries: usize,
    /// What was checked, in order.
    pub checks: Vec<Check>,
}

/// Outcome of an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything holds.
    Pass,
    /// Something does not.
    Fail,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is checked.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl AuditReport {
    /// The failure of a negative verdict.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let failed = self.checks.iter().find(|check| !check.passed)?;
        let reason = failed.reason.clone().unwrap_or_default();
        let message = format!("the audit fails: {}: {reason}", failed.name);
        Some(Failure::new(ExitCode::SelfVerification, message, "do not use this folder; run again from the capture"))
    }
}

/// The model that a folder is audited against.
pub struct Original<'a> {
    /// Its digest.
    digest: &'a str,
    /// Its description.
    description: &'a ModelDescription,
    /// What it answers.
    answers: Answers<'a>,
}

/// Answers of the integer engine that the log has no part in.
enum Answers<'a> {
    /// Computed token by token from the weights.
    Replayed(Box<IntegerModel<'a>>),
    /// Computed by this very process when it proved them, in one pass over all tokens.
    Proven(&'a [ProvenAnswer]),
}

impl<'a> Original<'a> {
    /// A model that answers again.
    #[must_use]
    pub fn of(prepared: &'a Prepared) -> Self {
        Self::answering(prepared, Answers::Replayed(Box::new(IntegerModel::new(&prepared.model))))
    }

    /// A model whose answers this very process has proven.
    #[must_use]
    pub fn proven(prepared: &'a Prepared, answers: &'a [ProvenAnswer]) -> Self {
        Self::answering(prepared, Answers::Proven(answers))
    }

    fn answering(prepared: &'a Prepared, answers: Answers<'a>) -> Self {
        Self { digest: &prepared.digest, description: &prepared.model.description, answers }
    }

    /// The answer to the prompt of an entry, and its logits.
    fn answer(&self, entry: &Entry, facts: &SessionFacts) -> Result<(Vec<u32>, Vec<i32>), Failure> {
        let limit = facts.max_new_tokens as usize;
        match &self.answers {
            Answers::Replayed(engine) => {
                Ok(engine.generate_with_logits(&entry.prompt_tokens, limit, &facts.stop_tokens)?)
            }
            Answers::Proven(answers) => {
                let proven = answers.iter().find(|answer| answer.inference.prompt_tokens == entry.prompt_tokens);
                let proven = proven.filter(|ProvenAnswer { inference, .. }| {
                    is_whole_answer(inference, limit, self.description.shape.positions, &facts.stop_tokens)
                });
                let missing = || Failure::new(ExitCode::SelfVerification, "it was not proven as a whole answer", "");
                let ProvenAnswer { inference, logits } = proven.ok_or_else(missing)?;
                Ok((inference.output_tokens.clone(), logits.clone()))
            }
        }
    }
}

/// Audit a folder and write `audit.json`.
///
/// # Errors
/// The folder cannot be read or written, or its log is broken. A check that fails is a verdict, not an error.
pub fn audit(artifacts: &Artifacts, original: &Original) -> Result<AuditReport, Failure> {
    let log = capture::read(artifacts, original.digest)?;
    let outcomes = [
        ("model.json describes the model", description_matches(artifacts, original)),
        ("the log replays", replays(artifacts, original, &log)),
        ("the statement claims the log's inferences", claims_log(artifacts, &log)),
        ("proof.bin proves statement.json", verify::verify(artifacts, Some(original.digest)).map(drop)),
        ("proof.json describes proof and log", facts_match(artifacts, &log)),
    ];
    let mut checks = Vec::new();
    for (name, outcome) in outcomes {
        let reason = match outcome {
            Ok(()) => None,
            // A volume that does not answer says nothing about the proof, and a program of another version cannot.
            Err(failure) if [ExitCode::Io, ExitCode::Unsupported].contains(&failure.code) => return Err(failure),
            Err(failure) => Some(failure.message),
        };
        checks.push(Check { name: name.into(), passed: reason.is_none(), reason });
    }
    let report = AuditReport {
        verdict: if checks.iter().all(|check| check.passed) { Verdict::Pass } else { Verdict::Fail },
        model_digest: original.digest.to_owned(),
        log_head: log.head,
        log_entries: log.entries.len(),
        checks,
    };
    artifacts.write_json(AUDIT, &report)?;
    Ok(report)
}

fn require(holds: bool, otherwise: impl Into<String>) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::new(ExitCode::SelfVerification, otherwise, "")) }
}

fn description_matches(artifacts: &Artifacts, original: &Original) -> Result<(), Failure> {
    let stated = artifacts.read(MODEL)?;
    require(stated == original.description.canonical_json(), "it differs from what the quantiser wrote")
}

fn replays(artifacts: &Artifacts, original: &Original, log: &CapturedLog) -> Result<(), Failure> {
    let mut matrices = BufReader::new(artifacts.open_file(LOG_MATRICES)?);
    let unreadable = |error: io::Error| Failure::io("read", &artifacts.path(LOG_MATRICES), &error);
    let mut offset = 0u64;
    for entry in &log.entries {
        let entry_holds = |holds: bool, otherwise: &str| require(holds, format!("entry {}: {otherwise}", entry.index));
        let (output_tokens, logits) = original.answer(entry, &log.facts)?;
        entry_holds(output_tokens == entry.output_tokens, "the integer engine answers with other tokens")?;
        let inference = Inference { prompt_tokens: entry.prompt_tokens.clone(), output_tokens };
        let matrix = capture::matrix(&logits);
        let place = (entry.matrix_offset, entry.matrix_shape);
        entry_holds(
            place == (offset, capture::matrix_shape(original.description, &inference)),
            "its logits are not where the log says",
        )?;
        let mut stored = Vec::new();
        let length = matrix.len() as u64;
        matrices.by_ref().take(length).read_to_end(&mut stored).map_err(unreadable)?;
        entry_holds(
            entry.matrix_digest == capture::matrix_digest(&matrix) && stored == matrix,
            "the integer engine computes other logits than matrices.bin holds",
        )?;
        offset += length;
    }
    let rest = matrices.fill_buf().map_err(unreadable)?;
    require(rest.is_empty(), "matrices.bin is longer than the log says")
}

fn claims_log(artifacts: &Artifacts, log: &CapturedLog) -> Result<(), Failure> {
    let claim: Claim = artifacts.read_json(STATEMENT)?;
    require(claim.inferences() == log.inferences(), "its tokens are others")
}

fn facts_match(artifacts: &Artifacts, log: &CapturedLog) -> Result<(), Failure> {
    let facts: ProofFacts = artifacts.read_json(PROOF_FACTS)?;
    let same = facts.sha256 == sha256_of_file(&artifacts.path(PROOF))?
        && facts.log_head == log.head
        && facts.log_entries == log.entries.len()
        && facts.model_digest == log.facts.model_digest;
    require(same, "its digests are others")
}
