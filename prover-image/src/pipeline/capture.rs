//! Capture: the integer engine answers the prompts, and the log records what it did. The same engine replays the log
//! in the audit and computes the witness of the proof.

use obelysk_model::integer::IntegerModel;
use obelysk_statement::{Inference, ModelDescription, SPECIFICATION};

use super::Observer;
use super::capture_log::{self, Entry, SessionFacts};
use super::inference::Prompt;
use super::inputs::RunInputs;
use super::prepare::Prepared;
use super::products::by_products;
use crate::artifacts::{Artifacts, LOG_LINES, LOG_MATRICES, LOG_META, MODEL};
use crate::device::{Device, gave_up};
use crate::failure::{ExitCode, Failure};

/// A log whose chain holds.
#[derive(Clone, Debug)]
pub struct CapturedLog {
    /// What all entries have in common.
    pub facts: SessionFacts,
    /// The entries, at least one.
    pub entries: Vec<Entry>,
    /// Hash of the last entry.
    pub head: String,
}

impl CapturedLog {
    /// What proofs are about: every inference of the log once, in order. Answers are a function of the prompt, so that a
    /// prompt that was captured again adds nothing to a proof.
    #[must_use]
    pub fn inferences(&self) -> Vec<Inference> {
        let mut inferences: Vec<Inference> = Vec::new();
        for Entry { prompt_tokens, output_tokens, .. } in &self.entries {
            let is_new = |known: &Inference| known.prompt_tokens != *prompt_tokens;
            if inferences.iter().all(is_new) {
                let (prompt_tokens, output_tokens) = (prompt_tokens.clone(), output_tokens.clone());
                inferences.push(Inference { prompt_tokens, output_tokens });
            }
        }
        inferences
    }
}

/// Run the integer engine, on a GPU as far as it multiplies, and write log and description. The CPU steps in where it may, which the
/// observer is told.
///
/// # Errors
/// A prompt that the model cannot read, a folder that cannot be written, or a GPU that gave up.
pub fn capture(
    artifacts: &Artifacts,
    prepared: &Prepared,
    inputs: &RunInputs,
    prompts: &[Prompt],
    device: &Device,
    observer: &dyn Observer,
) -> Result<CapturedLog, Failure> {
    let on_the_cpu = || record(artifacts, prepared, inputs, prompts, &IntegerModel::new(&prepared.model));
    let Some(gpu) = device.as_gpu() else { return on_the_cpu() };
    let on_the_gpu = || {
        let weights = gpu.weights(&prepared.digest, &prepared.model.weights)?;
        let captured = by_products(gpu, &weights, |products| {
            let engine = IntegerModel::new(&prepared.model).multiplied_by(products);
            record(artifacts, prepared, inputs, prompts, &engine)
        })?;
        gpu.keep(&prepared.digest, weights);
        Ok(captured)
    };
    match on_the_gpu() {
        Ok(captured) => captured,
        Err(error) if gpu.cpu_may_step_in => {
            observer.note(&format!("{} gave up: {error}; the CPU answers instead", gpu.name.name));
            on_the_cpu()
        }
        Err(error) => Err(gave_up(&error)),
    }
}

fn record(
    artifacts: &Artifacts,
    prepared: &Prepared,
    inputs: &RunInputs,
    prompts: &[Prompt],
    engine: &IntegerModel,
) -> Result<CapturedLog, Failure> {
    let facts = SessionFacts {
        specification: SPECIFICATION,
        model_digest: prepared.digest.clone(),
        max_new_tokens: inputs.max_new_tokens,
        stop_tokens: prompts.first().map(|prompt| prompt.stop_tokens.clone()).unwrap_or_default(),
    };
    let mut head = capture_log::start(&facts);
    let (mut entries, mut lines, mut offset) = (Vec::new(), String::new(), 0);
    artifacts.write_with(LOG_MATRICES, |matrices| {
        for prompt in (0..inputs.count).flat_map(|_| prompts) {
            let limit = facts.max_new_tokens as usize;
            let (output_tokens, logits) = engine.generate_with_logits(&prompt.tokens, limit, &facts.stop_tokens)?;
            let inference = Inference { prompt_tokens: prompt.tokens.clone(), output_tokens };
            let matrix = matrix(&logits);
            let entry = Entry {
                index: u32::try_from(entries.len()).expect("logs are shorter"),
                matrix_offset: offset,
                matrix_shape: matrix_shape(&prepared.model.description, &inference),
                matrix_digest: matrix_digest(&matrix),
                prev: head.clone(),
                prompt_tokens: inference.prompt_tokens,
                output_tokens: inference.output_tokens,
            };
            head = capture_log::append(&mut lines, &entry);
            offset += matrix.len() as u64;
            matrices.write_all(&matrix).map_err(|error| Failure::io("write", &artifacts.path(LOG_MATRICES), &error))?;
            entries.push(entry);
        }
        Ok(())
    })?;
    artifacts.write(MODEL, &prepared.model.description.canonical_json())?;
    artifacts.write_json(LOG_META, &facts)?;
    artifacts.write(LOG_LINES, lines.as_bytes())?;
    Ok(CapturedLog { facts, entries, head })
}

/// Read a log, check its chain, and check that it is about this model.
///
/// # Errors
/// The log is missing, damaged, or of another model.
pub fn read(artifacts: &Artifacts, model_digest: &str) -> Result<CapturedLog, Failure> {
    let facts: SessionFacts = artifacts.read_json(LOG_META)?;
    if facts.model_digest != model_digest {
        let folder = artifacts.folder().display();
        let message = format!("the log in {folder} is of model {}, not {model_digest}", facts.model_digest);
        return Err(Failure::new(ExitCode::ModelMismatch, message, "capture again, or name the model of the log"));
    }
    if facts.specification != SPECIFICATION {
        let message =
            format!("the log is of specification {}; this program knows {SPECIFICATION}", facts.specification);
        return Err(Failure::new(ExitCode::Unsupported, message, "capture again, or use the program that captured it"));
    }
    let damaged = |reason: String| artifacts.damaged(LOG_LINES, &reason);
    let text = String::from_utf8(artifacts.read(LOG_LINES)?).map_err(|error| damaged(error.to_string()))?;
    let (entries, head) = capture_log::parse(&facts, &text).map_err(damaged)?;
    if entries.is_empty() || entries.iter().any(|entry| entry.output_tokens.is_empty()) {
        return Err(damaged("it has no inference".into()));
    }
    Ok(CapturedLog { facts, entries, head })
}

impl CapturedLog {
    /// Refuse a log that does not answer these prompts within the limits of these inputs.
    ///
    /// # Errors
    /// Other prompts, another number of answers, or other limits.
    pub fn require(&self, artifacts: &Artifacts, inputs: &RunInputs, prompts: &[Prompt]) -> Result<(), Failure> {
        let asked = (0..inputs.count).flat_map(|_| prompts).map(|prompt| &prompt.tokens);
        let answers_them = self.entries.iter().map(|entry| &entry.prompt_tokens).eq(asked);
        let stop_tokens = prompts.first().map(|prompt| prompt.stop_tokens.as_slice()).unwrap_or_default();
        let within_limits = self.facts.max_new_tokens == inputs.max_new_tokens && self.facts.stop_tokens == stop_tokens;
        match (answers_them, within_limits) {
            (true, true) => Ok(()),
            (false, _) => Err(artifacts.damaged(LOG_LINES, "it answers other prompts than run.json asks")),
            (_, false) => Err(artifacts.damaged(LOG_META, "its limits are others than those of run.json")),
        }
    }
}

/// Integer logits of the output rows, i32 little-endian.
#[must_use]
pub fn matrix(logits: &[i32]) -> Vec<u8> {
    logits.iter().flat_map(|logit| logit.to_le_bytes()).collect()
}

/// BLAKE3 of a matrix, lower-case hex.
#[must_use]
pub fn matrix_digest(matrix: &[u8]) -> String {
    blake3::hash(matrix).to_hex().to_string()
}

/// Rows and columns of the logits of an inference.
#[must_use]
pub fn matrix_shape(description: &ModelDescription, inference: &Inference) -> [u32; 2] {
    [inference.output_tokens.len(), description.shape.vocabulary]
        .map(|size| u32::try_from(size).expect("models are smaller"))
}
