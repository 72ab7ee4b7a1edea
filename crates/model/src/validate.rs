//! Checks a folder before anything is computed from it: files, shapes, data types, values, tokenizer.

use std::path::Path;

use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::config::ModelConfig;
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

/// Name and shape of every tensor that a configuration calls for.
#[must_use]
pub fn expected_tensors(config: &ModelConfig, tied: bool) -> Vec<(String, Vec<usize>)> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![config.vocab_size, hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
    ];
    if !tied {
        tensors.push(("lm_head.weight".to_owned(), vec![config.vocab_size, hidden]));
    }
    for layer in 0..config.layers {
        let of_layer = [
            ("input_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![queries, hidden]),
            ("self_attn.k_proj", vec![keys, hidden]),
            ("self_attn.v_proj", vec![keys, hidden]),
            ("self_attn.o_proj", vec![hidden, queries]),
            ("self_attn.q_norm", vec![config.head_dim]),
            ("self_attn.k_norm", vec![config.head_dim]),
            ("post_attention_layernorm", vec![hidden]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
        ];
        tensors
            .extend(of_layer.into_iter().map(|(name, shape)| (format!("model.layers.{layer}.{name}.weight"), shape)));
    }
    tensors
}

/// Validate a folder, reading every weight once.
///
/// # Errors
/// The first problem, with the file and the tensor.
pub fn validate(folder: &Path) -> Result<Validation, ModelError> {
    let config = ModelConfig::read(folder)?;
    let checkpoint = Checkpoint::open(folder)?;
    let tokenizer = ModelTokenizer::open(folder)?;
    if tokenizer.size() > config.vocab_size {
        return Err(ModelError::corrupt(
            &folder.join("tokenizer.json"),
            format!("it has {} tokens, the model {}", tokenizer.size(), config.vocab_size),
        ));
    }
    let tied = !checkpoint.contains("lm_head.weight");
    if tied && !config.tied_embeddings {
        let path = checkpoint.shards()[0].clone();
        return Err(ModelError::corrupt(
            &path,
            "it lacks `lm_head.weight`, and config.json does not tie the embeddings",
        ));
    }
    let expected = expected_tensors(&config, tied);
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
        architecture: config.architecture,
        parameters,
        tensors: expected.len(),
        shards: checkpoint.shards().len(),
        tied_embeddings: tied,
    })
}
