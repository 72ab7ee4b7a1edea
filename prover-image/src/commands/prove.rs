//! `prove`: a captured inference.

use serde_json::json;

use super::{Context, selection};
use crate::arguments::ProveArguments;
use crate::artifacts::{Artifacts, PROOF, RUN};
use crate::console::Answer;
use crate::device;
use crate::failure::Failure;
use crate::pipeline::inputs::parse_bytes32;
use crate::pipeline::record::{RunRecord, Stopwatch};
use crate::pipeline::{Observer, Step, capture, model_files, prepare, prove};

/// Prove and report.
pub fn prove(context: &Context, arguments: &ProveArguments) -> Result<Answer, Failure> {
    selection::require_supported_proof(&arguments.proof)?;
    let nonce = match &arguments.proof.nonce {
        Some(text) => parse_bytes32("the nonce", text)?,
        None => prove::random_nonce(),
    };
    let device = device::choose(selection::device(&arguments.device)?, &device::detect())?;
    context.console.note(&format!("device: {device}"));
    let artifacts = Artifacts::open(&arguments.out)?;
    let record: RunRecord = artifacts.read_json(RUN)?;
    let mut watch = Stopwatch::new(&context.console);
    let files =
        watch.step(Step::Model, || model_files::resolve(&context.home, &record.inputs.model, &context.console))?;
    let prepared = watch.step(Step::Validate, || prepare::load_or_prepare(&files, &context.console))?;
    let log = capture::read(&artifacts, &prepared.digest)?;
    artifacts.discard_from(Step::Prove)?;
    let facts = watch.step(Step::Prove, || prove::prove(&artifacts, &prepared, &log, &nonce))?;
    artifacts.finish()?;
    let text = format!(
        "{} bytes, {:.1} bits proven, {:.2} s\ncheck it    obelysk-verify {} --model-digest {}",
        facts.size_bytes,
        facts.security_bits,
        facts.proving_seconds,
        artifacts.folder().display(),
        facts.model_digest
    );
    let path = artifacts.path(PROOF);
    Ok(Answer { json: json!({"path": path, "proof": facts, "steps": watch.into_steps()}), text })
}
