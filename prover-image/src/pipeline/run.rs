//! `run`: all steps in one folder.

use std::path::PathBuf;

use obelysk_model::validate::validate;

use super::audit::{self, AuditReport};
use super::capture::{self, CapturedLog};
use super::inference::{self, FloatAnswer};
use super::inputs::RunInputs;
use super::model_files::{self, ModelFiles};
use super::prepare::{self, Prepared};
use super::prove::{self, ProofFacts};
use super::record::{self, StepTime, Stopwatch};
use super::submit::{self, Submission};
use super::verify::{self, Verification};
use super::{Observer, Step};
use crate::artifacts::{Artifacts, INFERENCE, RUN};
use crate::failure::Failure;
use crate::home::Home;

/// What to run.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// Model, input and limits.
    pub inputs: RunInputs,
    /// 32 bytes in lower-case hex; random where absent.
    pub nonce: Option<String>,
    /// Folder of the results; named after the inputs where absent.
    pub out: Option<PathBuf>,
    /// Take over what the steps before this one left in the folder.
    pub resume_from: Option<Step>,
    /// Leave the float engine out.
    pub skip_inference: bool,
    /// Leave the audit out.
    pub skip_audit: bool,
}

/// What a run found out.
pub struct RunReport {
    /// The folder of the results.
    pub artifacts: Artifacts,
    /// What the float engine answered, unless it was left out.
    pub float: Option<FloatAnswer>,
    /// What the integer engine answered.
    pub log: CapturedLog,
    /// The integer engine's answer as text.
    pub text: String,
    /// Facts about the proof.
    pub proof: ProofFacts,
    /// The outcome of checking it.
    pub verification: Verification,
    /// The outcome of the audit, unless it was left out.
    pub audit: Option<AuditReport>,
    /// The outcome of the submission gate.
    pub submission: Submission,
    /// Times.
    pub steps: Vec<StepTime>,
}

/// Run all steps.
///
/// # Errors
/// The first step that fails. What earlier steps wrote stays, and the folder stays incomplete.
pub fn run(home: &Home, observer: &dyn Observer, request: &RunRequest) -> Result<RunReport, Failure> {
    request.inputs.input.check()?;
    let mut watch = Stopwatch::new(observer);
    let files = watch.step(Step::Model, || model_files::resolve(home, &request.inputs.model))?;
    run_on(home, watch, request, &files)
}

/// Run all steps after the first, on these files.
///
/// # Errors
/// As [`run`].
pub fn run_on(
    home: &Home,
    mut watch: Stopwatch,
    request: &RunRequest,
    files: &ModelFiles,
) -> Result<RunReport, Failure> {
    let first = request.resume_from.unwrap_or(Step::Setup);
    let observer = watch.observer();
    let out = request.out.as_deref();
    let (artifacts, mut record) = match request.resume_from {
        None => record::begin(home, &request.inputs, out, files)?,
        Some(step) => record::resume(home, &request.inputs, out, files, step)?,
    };
    let prepared = watch.step(Step::Validate, || {
        if first <= Step::Validate {
            validate(&files.folder)?;
        }
        prepare::load_or_prepare(files, observer)
    })?;
    let prompt = inference::encode(files, &request.inputs.input)?;
    let float = infer(&artifacts, &mut watch, request, files, &prompt)?;
    let log = if first <= Step::Capture {
        let limit = request.inputs.max_new_tokens;
        watch.step(Step::Capture, || {
            capture::capture(&artifacts, &prepared, &prompt.tokens, &prompt.stop_tokens, limit)
        })?
    } else {
        capture::read(&artifacts, &prepared.digest)?
    };
    let proof = if first <= Step::Prove {
        let nonce = request.nonce.clone().unwrap_or_else(prove::random_nonce);
        watch.step(Step::Prove, || prove::prove(&artifacts, &prepared, &log, &nonce))?
    } else {
        prove::read(&artifacts, &log, request.nonce.as_deref())?
    };
    let verification = watch.step(Step::Verify, || verify::verify_and_record(&artifacts, &prepared.digest))?;
    let audit = run_audit(&artifacts, &mut watch, request, &prepared)?;
    let submission = watch.step(Step::Submit, || submit::dry_run(&artifacts))?;

    let text = inference::decode(files, &log.inference().output_tokens)?;
    let steps = watch.into_steps();
    record.steps.extend(steps.iter().cloned());
    artifacts.write_json(RUN, &record)?;
    artifacts.finish()?;
    Ok(RunReport { artifacts, float, log, text, proof, verification, audit, submission, steps })
}

fn infer(
    artifacts: &Artifacts,
    watch: &mut Stopwatch,
    request: &RunRequest,
    files: &ModelFiles,
    prompt: &inference::Prompt,
) -> Result<Option<FloatAnswer>, Failure> {
    if request.skip_inference {
        return Ok(None);
    }
    if request.resume_from.is_some_and(|first| first > Step::Inference) {
        return if artifacts.has(INFERENCE) { artifacts.read_json(INFERENCE).map(Some) } else { Ok(None) };
    }
    watch.step(Step::Inference, || {
        let answer = inference::generate(files, prompt, request.inputs.max_new_tokens)?;
        artifacts.write_json(INFERENCE, &answer)?;
        Ok(Some(answer))
    })
}

fn run_audit(
    artifacts: &Artifacts,
    watch: &mut Stopwatch,
    request: &RunRequest,
    prepared: &Prepared,
) -> Result<Option<AuditReport>, Failure> {
    if request.skip_audit {
        return Ok(None);
    }
    watch.step(Step::Audit, || {
        let report = audit::audit(artifacts, prepared)?;
        match report.failure() {
            Some(failure) => Err(failure),
            None => Ok(Some(report)),
        }
    })
}

/// How many tokens of the two answers agree, from the first on: after a difference the engines read different texts.
#[must_use]
pub fn agreement(float: &FloatAnswer, integer: &[u32]) -> String {
    let agreeing = float.output_tokens.iter().zip(integer).take_while(|(a, b)| a == b).count();
    format!("{agreeing}/{}", float.output_tokens.len().max(integer.len()))
}
