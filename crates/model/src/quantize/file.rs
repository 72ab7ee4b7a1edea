//! `model.json` and `weights.q`: the quantised model on disk.
//!
//! `weights.q` holds the weight tensors in order of their names, 16-bit little-endian where the description's bound
//! allows it, else 32-bit. Their lengths follow from the description's shape; nothing else is in the file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use obelysk_statement::ModelDescription;

use super::QuantizedModel;
use crate::error::ModelError;

/// Name of the description's file.
pub const DESCRIPTION_FILE: &str = "model.json";
/// Name of the weights' file.
pub const WEIGHTS_FILE: &str = "weights.q";

/// BLAKE3 of the weights: each tensor's name, length and 32-bit little-endian entries.
#[must_use]
pub fn digest_of_weights(weights: &BTreeMap<String, Vec<i32>>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("obelysk 2026 quantized weights");
    for (name, entries) in weights {
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hasher.update(&(entries.len() as u64).to_le_bytes());
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    *hasher.finalize().as_bytes()
}

/// Number of entries of a weight tensor.
fn length(description: &ModelDescription, name: &str) -> usize {
    let shape = &description.shape;
    let (heads, kv) = (shape.kv_heads * shape.group * shape.head_dim, shape.kv_heads * shape.head_dim);
    match name {
        "embedding" | "head_weight" => shape.vocabulary * shape.hidden,
        "query_weight" | "output_weight" => shape.layers * heads * shape.hidden,
        "key_weight" | "value_weight" => shape.layers * kv * shape.hidden,
        "query_gain" | "key_gain" => shape.layers * shape.head_dim,
        "gate_weight" | "up_weight" | "down_weight" => shape.layers * shape.intermediate * shape.hidden,
        _ => 0,
    }
}

impl QuantizedModel {
    /// The bytes of `weights.q`.
    #[must_use]
    pub fn weight_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, entries) in &self.weights {
            if self.description.weights[name].magnitude < 1 << 15 {
                bytes.extend(entries.iter().flat_map(|&entry| (entry as i16).to_le_bytes()));
            } else {
                bytes.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
            }
        }
        bytes
    }

    /// Read a folder written from [`ModelDescription::canonical_json`] and [`QuantizedModel::weight_bytes`].
    ///
    /// # Errors
    /// [`ModelError::Io`] for a file that cannot be read, [`ModelError::Corrupt`] for contents that do not match the
    /// description's digest.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join(DESCRIPTION_FILE);
        let text = fs::read(&path).map_err(|error| ModelError::io(&path, error))?;
        let description: ModelDescription =
            serde_json::from_slice(&text).map_err(|error| ModelError::corrupt(&path, error.to_string()))?;
        let path = folder.join(WEIGHTS_FILE);
        let bytes = fs::read(&path).map_err(|error| ModelError::io(&path, error))?;
        let mut rest = bytes.as_slice();
        let mut weights = BTreeMap::new();
        for (name, bound) in &description.weights {
            let count = length(&description, name);
            let width = if bound.magnitude < 1 << 15 { 2 } else { 4 };
            let Some((content, tail)) = rest.split_at_checked(count * width) else {
                return Err(ModelError::corrupt(&path, format!("it ends inside of tensor `{name}`")));
            };
            rest = tail;
            let entries = if width == 2 {
                content.chunks_exact(2).map(|b| i32::from(i16::from_le_bytes([b[0], b[1]]))).collect()
            } else {
                content.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            };
            weights.insert(name.clone(), entries);
        }
        if !rest.is_empty() || hex::encode(digest_of_weights(&weights)) != description.weights_digest {
            return Err(ModelError::corrupt(&path, "its contents do not have the digest that model.json states"));
        }
        Ok(Self { description, weights })
    }
}
