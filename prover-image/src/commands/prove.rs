//! `prove`: a captured inference, or what that will take.

use indicatif::HumanBytes;
use serde_json::json;

use super::{Context, selection};
use crate::arguments::ProveArguments;
use crate::artifacts::{Artifacts, PROOF, RUN};
use crate::console::Answer;
use crate::device;
use crate::failure::Failure;
use crate::memory;
use crate::paths::shown;
use crate::pipeline::capture::CapturedLog;
use crate::pipeline::inputs::parse_bytes32;
use crate::pipeline::prepare::Prepared;
use crate::pipeline::quality::{self, Demand};
use crate::pipeline::record::{RunRecord, Stopwatch};
use crate::pipeline::{Observer, Step, capture, model_files, prepare, prove};

/// Prove and report.
pub fn prove(context: &Context, arguments: &ProveArguments) -> Result<Answer, Failure> {
    selection::require_supported_proof(&arguments.proof)?;
    let nonce = match &arguments.proof.nonce {
        Some(text) => parse_bytes32("the nonce", text)?,
        None => prove::random_nonce(),
    };
    let device = device::choose(selection::device(&arguments.device), &context.home, obelysk_kernels::discover)?;
    context.console.note(&format!("device: {}", device.name()));
    let artifacts = Artifacts::open(&arguments.out)?;
    let record: RunRecord = artifacts.read_json(RUN)?;
    let mut watch = Stopwatch::new(&context.console);
    let model = selection::model_of_run(&record, arguments.model_dir.as_deref())?;
    let files = watch.step(Step::Model, || model_files::resolve(&context.home, &model, &context.console))?;
    let prepared = watch.step(Step::Validate, || prepare::load_or_prepare(&files, &context.console))?;
    let demand = Demand::of_note(record.quality.as_ref());
    let quality = quality::require(&files, &prepared, &demand, &context.console)?;
    let log = capture::read(&artifacts, &prepared.digest)?;
    if arguments.estimate {
        return estimate(&prepared, &log);
    }
    artifacts.discard_from(Step::Prove)?;
    let (facts, _) =
        watch.step(Step::Prove, || prove::prove(&artifacts, &prepared, &log, &nonce, &device, &context.console))?;
    artifacts.finish()?;
    let mut text = format!(
        "{} bytes, {:.1} bits proven, {:.2} s\ncheck it    obelysk-verify {} --model-digest {}",
        facts.size_bytes,
        facts.security_bits,
        facts.proving_seconds,
        artifacts.folder().display(),
        facts.model_digest
    );
    if let Some(note) = &quality.note {
        text.push_str(&format!("\nquality     {note}"));
    }
    let path = shown(&artifacts.path(PROOF));
    let steps = watch.into_steps();
    Ok(Answer { json: json!({"path": path, "proof": facts, "steps": steps, "quality": quality}), text })
}

/// What the proof of a log will take, against what is free.
fn estimate(prepared: &Prepared, log: &CapturedLog) -> Result<Answer, Failure> {
    let estimate = prove::estimate(prepared, log)?;
    let available = memory::available();
    let text = format!(
        "about {} of memory ({} are free), {} committed weights, {} committed values, {} lookups",
        HumanBytes(estimate.memory_bytes),
        available.map_or_else(|| "an unknown amount".to_owned(), |bytes| HumanBytes(bytes).to_string()),
        estimate.weight_cells,
        estimate.witness_cells,
        estimate.lookup_leaves,
    );
    let json = json!({"estimate": {
        "memoryBytes": estimate.memory_bytes,
        "availableBytes": available,
        "weightCells": estimate.weight_cells,
        "witnessCells": estimate.witness_cells,
        "lookupLeaves": estimate.lookup_leaves,
    }});
    Ok(Answer { json, text })
}
