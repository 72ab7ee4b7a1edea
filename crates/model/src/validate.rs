//! Checks a folder before anything is computed from it: files, shapes, data types, values, tokenizer.

use std::path::Path;

use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::decoder::{EMBEDDING, HEAD, expected_tensors};
use crate::error::ModelError;
use crate::template::ChatTemplate;
use crate::tokenizer::ModelTokenizer;

/// Version of what validation asks of files: what an earlier version found valid is looked at again.
pub const VALIDATION: u32 = 1;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// Architecture.
    pub architecture: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Number of tensors that the model uses.
    pub tensors: usize,
    /// Number of weight files.
    pub shards: usize,
    /// Whether the head shares the embedding's weights.
    pub tied_embeddings: bool,
}

/// Parts of the names of tensors that only quantised checkpoints have: scales, zero points and packed weights.
const QUANTISED: [&str; 9] = ["scale", "qweight", "qzeros", "g_idx", "packed", "zero_point", "absmax", "quant_", "SCB"];

/// Check that a checkpoint is what its configuration says, before anything is computed with it: every tensor and its shape,
/// and that it is clear which weights are meant. Values are read where two tensors might be meant.
///
/// # Errors
/// The first problem, with the file and the tensor.
pub fn check_tensors(config: &ModelConfig, checkpoint: &Checkpoint) -> Result<(), ModelError> {
    let is_quantised = |name: &&str| name.split('.').any(|part| QUANTISED.iter().any(|mark| part.contains(mark)));
    if let Some(name) = checkpoint.names().find(is_quantised) {
        let file = checkpoint.file_of(name).expect("it has a name").display();
        return Err(ModelError::Unsupported(format!(
            "quantised weights (tensor `{name}` in {file}); take the model's bf16, f16 or f32 weights"
        )));
    }
    for (name, shape) in &expected_tensors(config) {
        match (checkpoint.shape(name), checkpoint.file_of(name)) {
            (Some(actual), _) if actual == shape => {}
            (Some(actual), Some(path)) => {
                let reason = format!("tensor `{name}` has shape {actual:?}, config.json calls for {shape:?}");
                return Err(ModelError::corrupt(path, reason));
            }
            _ if name == HEAD => {
                let reason = format!("it lacks `{HEAD}`, and config.json does not tie the embeddings");
                return Err(ModelError::corrupt(&checkpoint.shards()[0], reason));
            }
            _ => return Err(checkpoint.tensor(name).expect_err("it has no shape")),
        }
    }
    if config.tied_embeddings
        && let Some(path) = checkpoint.file_of(HEAD)
        && !checkpoint.holds_same(HEAD, checkpoint, EMBEDDING)?
    {
        let reason = format!(
            "`{HEAD}` is other than `{EMBEDDING}`, and config.json ties the two: remove `{HEAD}`, or set \
             `tie_word_embeddings` to false"
        );
        return Err(ModelError::corrupt(path, reason));
    }
    Ok(())
}

/// Validate a folder's tokenizer, chat template and checkpoint against its configuration, reading every weight once.
///
/// # Errors
/// The first problem, with the file and the tensor.
pub fn validate(folder: &Path, config: &ModelConfig, checkpoint: &Checkpoint) -> Result<Validation, ModelError> {
    ModelTokenizer::open(folder)?.check_vocabulary(config.vocab_size)?;
    ChatTemplate::for_questions(folder)?;
    check_tensors(config, checkpoint)?;
    let expected = expected_tensors(config);
    let mut parameters = 0;
    for (name, _) in &expected {
        parameters += checkpoint.tensor(name)?.len() as u64;
    }
    Ok(Validation {
        architecture: config.architecture.name().into(),
        parameters,
        tensors: expected.len(),
        shards: checkpoint.shards().len(),
        tied_embeddings: config.tied_embeddings,
    })
}
