//! `run`: all steps in one folder.

use std::path::PathBuf;

use super::agreement::Agreement;
use super::audit::{self, AuditReport, Original};
use super::capture::{self, CapturedLog};
use super::inference::{self, FloatAnswer};
use super::inputs::RunInputs;
use super::model_files::{self, ModelFiles};
use super::prepare;
use super::prove::{self, ProofFacts};
use super::quality::{self, Demand, QualityNote};
use super::record::{self, StepTime, Stopwatch};
use super::submit;
use super::verify::{self, Verification};
use super::{Observer, Step};
use crate::artifacts::{Artifacts, INFERENCE, RUN};
use crate::device::Device;
use crate::failure::Failure;
use crate::home::Home;

/// What to run.
pub struct RunRequest {
    /// Model, input and limits.
    pub inputs: RunInputs,
    /// The day that a chat template may mention; today where absent.
    pub day: Option<String>,
    /// 32 bytes in lower-case hex; random where absent.
    pub nonce: Option<String>,
    /// Folder of the results; named after the inputs where absent.
    pub out: Option<PathBuf>,
    /// Take over what the steps before this one left in the folder.
    pub resume_from: Option<Step>,
    /// Steps to leave out, of inference, audit and submission.
    pub skip: Vec<Step>,
    /// What is asked of the model's quality.
    pub demand: Demand,
    /// What proves.
    pub device: Device,
}

/// What a run found out.
pub struct RunReport {
    /// The folder of the results.
    pub artifacts: Artifacts,
    /// What the float engine answered, unless it was left out.
    pub float: Option<FloatAnswer>,
    /// What the integer engine answered.
    pub log: CapturedLog,
    /// Its answers against the float engine's, unless that was left out.
    pub agreement: Option<Agreement>,
    /// The quality of the model.
    pub quality: QualityNote,
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
    let (prepared, quality) = watch.step(Step::Validate, || {
        if first <= Step::Validate {
            files.validate_once()?;
        }
        let prepared = prepare::load_or_prepare(files, observer)?;
        let quality = quality::require(files, &prepared, &request.demand, observer)?;
        Ok((prepared, quality))
    })?;
    record.quality = Some(quality.clone());
    let prompts = inference::encode(files, &request.inputs.prompts, request.day.as_deref())?;
    record.start(&artifacts, first)?;
    let float = infer(&artifacts, &mut watch, request, files, &prompts)?;
    let log = if first <= Step::Capture {
        watch.step(Step::Capture, || {
            capture::capture(&artifacts, &prepared, &request.inputs, &prompts, &request.device, observer)
        })?
    } else {
        let log = capture::read(&artifacts, &prepared.digest)?;
        log.require(&artifacts, &request.inputs, &prompts)?;
        log
    };
    let agreement = float.as_ref().map(|float| Agreement::of(float, &log.inferences()));
    record.integer_matches_float = agreement.as_ref().map(|agreement| agreement.tokens.clone());
    let (proof, proven) = if first <= Step::Prove {
        let nonce = request.nonce.clone().unwrap_or_else(prove::random_nonce);
        let (facts, answers) =
            watch.step(Step::Prove, || prove::prove(&artifacts, &prepared, &log, &nonce, &request.device, observer))?;
        (facts, Some(answers))
    } else {
        (prove::read(&artifacts, &log, request.nonce.as_deref())?, None)
    };
    let verification =
        watch.step(Step::Verify, || verify::verify_and_record(&artifacts, &prepared.digest, Some(quality.clone())))?;
    let audit = optional(&mut watch, request, Step::Audit, || {
        // What this process has proven it need not compute again.
        let original = match &proven {
            Some(answers) => Original::proven(&prepared, answers),
            None => Original::of(&prepared),
        };
        let report = audit::audit(&artifacts, &original)?;
        report.failure().map_or(Ok(report), Err)
    })?;
    optional(&mut watch, request, Step::Submit, || submit::dry_run(&artifacts))?;

    let texts = inference::decode(files, log.inferences().iter().map(|answer| &answer.output_tokens[..]))?;
    let steps = watch.into_steps();
    record.steps.extend(steps.iter().cloned());
    artifacts.write_json(RUN, &record)?;
    artifacts.finish()?;
    Ok(RunReport { artifacts, float, log, agreement, quality, texts, proof, verification, audit, steps })
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
