//! `run`: all steps in one folder.

use std::path::PathBuf;

use obelysk_statement::Inference;

use super::audit::{self, AuditReport};
use super::capture::{self, CapturedLog};
use super::inference::{self, FloatAnswer};
use super::inputs::RunInputs;
use super::model_files::{self, ModelFiles};
use super::prepare;
use super::prove::{self, ProofFacts};
use super::record::{self, StepTime, Stopwatch};
use super::submit;
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
    /// Steps to leave out, of inference, audit and submission.
    pub skip: Vec<Step>,
}

/// What a run found out.
pub struct RunReport {
    /// The folder of the results.
    pub artifacts: Artifacts,
    /// What the float engine answered, unless it was left out.
    pub float: Option<FloatAnswer>,
    /// What the integer engine answered.
    pub log: CapturedLog,
    /// The integer engine's answers as text, one for each inference of the proof.
    pub texts: Vec<String>,
    /// Facts about the proof.
    pub proof: ProofFacts,
    /// The outcome of checking it.
    pub verification: Verification,
    /// The outcome of the audit, unless it was left out.
    pub audit: Option<AuditReport>,
    /// Times.
    pub steps: Vec<StepTime>,
}

/// Run all steps.
///
/// # Errors
/// The first step that fails. What earlier steps wrote stays, and the folder stays incomplete.
pub fn run(home: &Home, observer: &dyn Observer, request: &RunRequest) -> Result<RunReport, Failure> {
    request.inputs.check()?;
    let mut watch = Stopwatch::new(observer);
    let files = watch.step(Step::Model, || model_files::resolve(home, &request.inputs.model, observer))?;
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
    inference::note_settings(files, observer)?;
    let out = request.out.as_deref();
    let (artifacts, mut record) = match request.resume_from {
        None => record::begin(home, &request.inputs, out, files)?,
        Some(step) => record::resume(home, &request.inputs, out, files, step)?,
    };
    let prepared = watch.step(Step::Validate, || {
        if first <= Step::Validate {
            files.validate()?;
        }
        prepare::load_or_prepare(files, observer)
    })?;
    let prompts = inference::encode(files, &request.inputs.prompts)?;
    let float = infer(&artifacts, &mut watch, request, files, &prompts)?;
    let log = if first <= Step::Capture {
        watch.step(Step::Capture, || capture::capture(&artifacts, &prepared, &request.inputs, &prompts))?
    } else {
        capture::read(&artifacts, &prepared.digest)?
    };
    let digest = prepared.digest.clone();
    // A proof consumes the model.
    let (proof, prepared) = if first <= Step::Prove {
        let nonce = request.nonce.clone().unwrap_or_else(prove::random_nonce);
        (watch.step(Step::Prove, || prove::prove(&artifacts, prepared, &log, &nonce))?, None)
    } else {
        (prove::read(&artifacts, &log, request.nonce.as_deref())?, Some(prepared))
    };
    let verification = watch.step(Step::Verify, || verify::verify_and_record(&artifacts, &digest))?;
    let audit = optional(&mut watch, request, Step::Audit, || {
        let prepared = prepared.map_or_else(|| prepare::load_or_prepare(files, observer), Ok)?;
        let report = audit::audit(&artifacts, &prepared)?;
        report.failure().map_or(Ok(report), Err)
    })?;
    optional(&mut watch, request, Step::Submit, || submit::dry_run(&artifacts))?;

    let texts = inference::decode(files, log.inferences().iter().map(|answer| &answer.output_tokens[..]))?;
    let steps = watch.into_steps();
    record.steps.extend(steps.iter().cloned());
    artifacts.write_json(RUN, &record)?;
    artifacts.finish()?;
    Ok(RunReport { artifacts, float, log, texts, proof, verification, audit, steps })
}

fn infer(
    artifacts: &Artifacts,
    watch: &mut Stopwatch,
    request: &RunRequest,
    files: &ModelFiles,
    prompts: &[inference::Prompt],
) -> Result<Option<FloatAnswer>, Failure> {
    let is_taken_over = request.resume_from.is_some_and(|first| first > Step::Inference);
    if is_taken_over && !request.skip.contains(&Step::Inference) {
        return artifacts.has(INFERENCE).then(|| artifacts.read_json(INFERENCE)).transpose();
    }
    optional(watch, request, Step::Inference, || {
        let answer = inference::generate(files, prompts, request.inputs.max_new_tokens)?;
        artifacts.write_json(INFERENCE, &answer)?;
        Ok(answer)
    })
}

fn optional<T>(
    watch: &mut Stopwatch,
    request: &RunRequest,
    step: Step,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    if request.skip.contains(&step) { Ok(None) } else { watch.step(step, work).map(Some) }
}

/// How many tokens of the two engines' answers agree, from the first of each answer on: after a difference the engines read
/// different texts.
#[must_use]
pub fn agreement(float: &FloatAnswer, integer: &[Inference]) -> String {
    let (mut agreeing, mut all) = (0, 0);
    for answer in integer {
        let Some(float) = float.iter().find(|float| float.prompt_tokens == answer.prompt_tokens) else { continue };
        let both = float.output_tokens.iter().zip(&answer.output_tokens);
        agreeing += both.take_while(|(a, b)| a == b).count();
        all += float.output_tokens.len().max(answer.output_tokens.len());
    }
    format!("{agreeing}/{all}")
}
