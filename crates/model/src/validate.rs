//! Checks a folder before anything is computed from it: files, shapes, data types, values, tokenizer.

use std::path::Path;

use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
use crate::decoder::{HEAD, expected_tensors};
use crate::error::ModelError;
use crate::tokenizer::ModelTokenizer;

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

/// Validate a folder's tokenizer and checkpoint against its configuration, reading every weight once.
///
/// # Errors
/// The first problem, with the file and the tensor.
pub fn validate(folder: &Path, config: &ModelConfig, checkpoint: &Checkpoint) -> Result<Validation, ModelError> {
    let tokenizer = ModelTokenizer::open(folder)?;
    if tokenizer.size() > config.vocab_size {
        return Err(ModelError::corrupt(
            &folder.join("tokenizer.json"),
            format!("it has {} tokens, the model {}", tokenizer.size(), config.vocab_size),
        ));
    }
    if !config.tied_embeddings && !checkpoint.contains(HEAD) {
        let path = checkpoint.shards()[0].clone();
        return Err(ModelError::corrupt(
            &path,
            format!("it lacks `{HEAD}`, and config.json does not tie the embeddings"),
        ));
    }
    let expected = expected_tensors(config);
    let mut parameters = 0;
    for (name, shape) in &expected {
        match checkpoint.shape(name) {
            Some(actual) if actual == shape => {}
            Some(actual) => {
                let path = checkpoint.file_of(name).expect("it has a shape").to_owned();
                let reason = format!("tensor `{name}` has shape {actual:?}, config.json calls for {shape:?}");
                return Err(ModelError::corrupt(&path, reason));
            }
            None => return Err(checkpoint.tensor(name).expect_err("it has no shape")),
        }
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
