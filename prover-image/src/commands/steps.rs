//! `validate`, `capture`, `verify`, `audit`, `submit`: one step each.

use serde_json::json;

use super::run::further;
use super::{Context, selection};
use crate::arguments::{AuditArguments, CaptureArguments, SubmitArguments, ValidateArguments, VerifyArguments};
use crate::artifacts::{Artifacts, RUN, VERIFICATION};
use crate::console::Answer;
use crate::device::Device;
use crate::failure::Failure;
use crate::paths::shown;
use crate::pipeline::audit::{self, Original};
use crate::pipeline::inputs::parse_bytes32;
use crate::pipeline::quality::{self, Demand};
use crate::pipeline::record::{self, RunRecord, Stopwatch};
use crate::pipeline::verify::Verification;
use crate::pipeline::{Step, capture, inference, model_files, prepare, submit, verify};

/// Check a model's files.
pub fn validate(context: &Context, arguments: &ValidateArguments) -> Result<Answer, Failure> {
    let source = selection::model(&arguments.model)?;
    let mut watch = Stopwatch::new(&context.console);
    let files = watch.step(Step::Model, || model_files::resolve(&context.home, &source, &context.console))?;
    let report = watch.step(Step::Validate, || files.validate())?;
    let text = format!(
        "{}: {} with {} parameters in {} tensors; every file, shape and value is sound",
        files.name, report.architecture, report.parameters, report.tensors
    );
    Ok(Answer { json: json!({"model": files.name, "revision": files.manifest.revision, "checkpoint": report}), text })
}

/// Record an inference.
pub fn capture(context: &Context, arguments: &CaptureArguments) -> Result<Answer, Failure> {
    let inputs = selection::run_inputs(&arguments.model, &arguments.input, arguments.count)?;
    let out = selection::out(arguments.out.as_deref())?;
    let mut watch = Stopwatch::new(&context.console);
    let files = watch.step(Step::Model, || model_files::resolve(&context.home, &inputs.model, &context.console))?;
    let (artifacts, mut record) = record::begin(&context.home, &inputs, out.as_deref(), &files)?;
    let (prepared, quality) = watch.step(Step::Validate, || {
        files.validate_once()?;
        let prepared = prepare::load_or_prepare(&files, &context.console)?;
        let demand = Demand::of_option(arguments.accept_quality);
        let quality = quality::require(&files, &prepared, &demand, &context.console)?;
        Ok((prepared, quality))
    })?;
    record.quality = Some(quality.clone());
    let prompts = inference::encode(&files, &inputs.prompts, None)?;
    record.start(&artifacts, Step::Model)?;
    let log = watch.step(Step::Capture, || {
        let cpu = Device::cpu("capture alone has no GPU");
        capture::capture(&artifacts, &prepared, &inputs, &prompts, &cpu, &context.console)
    })?;
    let inferences = log.inferences();
    let texts = inference::decode(&files, inferences.iter().map(|answer| &answer.output_tokens[..]))?;
    let folder = artifacts.folder();
    Ok(Answer {
        json: json!({
            "out": shown(folder),
            "modelDigest": prepared.digest,
            "promptTokens": inferences[0].prompt_tokens,
            "outputTokens": inferences[0].output_tokens,
            "text": texts[0],
            "further": further(&inferences, &texts),
            "logHead": log.head,
            "logEntries": log.entries.len(),
            "steps": watch.into_steps(),
            "quality": quality,
        }),
        text: {
            let note = quality.note.map_or_else(String::new, |note| format!("\nquality     {note}"));
            format!("{}\nprove it    obelysk prove --out {}{note}", texts.join("\n"), folder.display())
        },
    })
}

/// Check the proof of a folder.
pub fn verify(arguments: &VerifyArguments) -> Result<Answer, Failure> {
    let artifacts = Artifacts::open(&arguments.folder)?;
    let digest = arguments.model_digest.as_deref().map(|text| parse_bytes32("--model-digest", text)).transpose()?;
    let verification = verify::verify(&artifacts, digest.as_deref())?;
    // What the prover wrote is no part of the proof; an honest one says what its model is worth.
    let stated: Option<Verification> = artifacts.read_json(VERIFICATION).ok();
    let note = stated.and_then(|stated| stated.quality).and_then(|quality| quality.note);
    let mut text = format!(
        "valid: {:.1} bits proven\nmodel   {}{}\nprompt  {:?}\noutput  {:?}",
        verification.security_bits,
        verification.model_digest,
        if digest.is_some() { "" } else { "  (whatever the folder claims: pass --model-digest)" },
        verification.prompt_tokens,
        verification.output_tokens,
    );
    if let Some(note) = &note {
        text.push_str(&format!("\nquality {note} (the prover says so)"));
    }
    Ok(Answer { json: json!({"verification": verification, "qualityNote": note}), text })
}

/// Replay a folder.
pub fn audit(context: &Context, arguments: &AuditArguments) -> Result<Answer, Failure> {
    let artifacts = Artifacts::open(&arguments.folder)?;
    if artifacts.is_complete() {
        artifacts.check_sums()?;
    }
    let record: RunRecord = artifacts.read_json(RUN)?;
    let model = selection::model_of_run(&record, arguments.model_dir.as_deref())?;
    let files = model_files::resolve(&context.home, &model, &context.console)?;
    // An audit believes nothing that it can compute.
    let prepared = prepare::load_or_prepare(&files.hashing_again(), &context.console)?;
    artifacts.discard_from(Step::Audit)?;
    let report =
        Stopwatch::new(&context.console).step(Step::Audit, || audit::audit(&artifacts, &Original::of(&prepared)))?;
    if let Some(failure) = report.failure() {
        return Err(failure);
    }
    artifacts.finish()?;
    let names: Vec<String> = report.checks.iter().map(|check| format!("  ok  {}", check.name)).collect();
    let text = format!("the audit passes\n{}", names.join("\n"));
    Ok(Answer { json: json!({"audit": report}), text })
}

/// Pass the submission gate.
pub fn submit(arguments: &SubmitArguments) -> Result<Answer, Failure> {
    let artifacts = Artifacts::open(&arguments.folder)?;
    if arguments.submit {
        return Err(submit::refuse());
    }
    artifacts.check_sums()?;
    artifacts.discard_from(Step::Submit)?;
    let submission = submit::dry_run(&artifacts)?;
    artifacts.finish()?;
    let text = match &submission.not_ready_reason {
        Some(reason) => format!("not ready for submission: {reason}"),
        None => "ready for submission".into(),
    };
    Ok(Answer { json: json!({"submission": submission}), text })
}
