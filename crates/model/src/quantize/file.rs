//! `model.json` and `weights.q`: the quantised model on disk.
//!
//! `weights.q` holds the weight tensors in order of their names, 16-bit little-endian where the description's bound
//! allows it, else 32-bit. Their lengths follow from the description's shape; nothing else is in the file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use obelysk_statement::ModelDescription;
use obelysk_statement::compile::validate_description;
use obelysk_statement::description::WeightBound;

use super::QuantizedModel;
use crate::error::ModelError;

/// Name of the description's file.
pub const DESCRIPTION_FILE: &str = "model.json";
/// Name of the weights' file.
pub const WEIGHTS_FILE: &str = "weights.q";

/// BLAKE3 of the weights: each tensor's name, length and 32-bit little-endian entries, in order of the names.
#[must_use]
pub fn digest_of_weights(weights: &BTreeMap<String, Vec<i32>>) -> [u8; 32] {
    let mut digest = WeightsDigest::new();
    for (name, entries) in weights {
        digest.begin(name, entries.len());
        digest.update(entries);
    }
    digest.finish()
}

/// [`digest_of_weights`] of weights that come in pieces.
pub(super) struct WeightsDigest {
    hasher: blake3::Hasher,
}

impl WeightsDigest {
    pub(super) fn new() -> Self {
        Self { hasher: blake3::Hasher::new_derive_key("obelysk 2026 quantized weights") }
    }

    pub(super) fn begin(&mut self, name: &str, length: usize) {
        self.hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        self.hasher.update(&(length as u64).to_le_bytes());
    }

    pub(super) fn update(&mut self, entries: &[i32]) {
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        self.hasher.update(&bytes);
    }

    pub(super) fn finish(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }
}

/// Bytes of an entry of a tensor in `weights.q`.
fn width(bound: &WeightBound) -> usize {
    if bound.magnitude < 1 << 15 { 2 } else { 4 }
}

/// The bytes of some entries of a tensor with this bound in `weights.q`.
#[must_use]
pub fn encode(bound: &WeightBound, entries: &[i32]) -> Vec<u8> {
    match width(bound) {
        2 => entries.iter().flat_map(|&entry| (entry as i16).to_le_bytes()).collect(),
        _ => entries.iter().flat_map(|entry| entry.to_le_bytes()).collect(),
    }
}

/// Read the description of a folder.
///
/// # Errors
/// [`ModelError::Io`] for a file that cannot be read, [`ModelError::Corrupt`] for one that describes no model.
pub fn read_description(folder: &Path) -> Result<ModelDescription, ModelError> {
    let path = folder.join(DESCRIPTION_FILE);
    let text = fs::read(&path).map_err(|error| ModelError::io(&path, error))?;
    let description: ModelDescription =
        serde_json::from_slice(&text).map_err(|error| ModelError::corrupt(&path, error.to_string()))?;
    validate_description(&description).map_err(|error| ModelError::corrupt(&path, error.to_string()))?;
    Ok(description)
}

impl QuantizedModel {
    /// The bytes of `weights.q`.
    #[must_use]
    pub fn weight_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, entries) in &self.weights {
            bytes.extend(encode(&self.description.weights[name], entries));
        }
        bytes
    }

    /// Read a folder written from [`ModelDescription::canonical_json`] and [`QuantizedModel::weight_bytes`].
    ///
    /// # Errors
    /// [`ModelError::Io`] for a file that cannot be read, [`ModelError::Corrupt`] for contents that do not match the
    /// description's digest.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let description = read_description(folder)?;
        let path = folder.join(WEIGHTS_FILE);
        let bytes = fs::read(&path).map_err(|error| ModelError::io(&path, error))?;
        let mut rest = bytes.as_slice();
        let mut weights = BTreeMap::new();
        let shapes = description.weight_shapes();
        if !description.weights.keys().eq(shapes.keys()) {
            return Err(ModelError::corrupt(&path, "model.json lists other weights than its operations have"));
        }
        for (name, bound) in &description.weights {
            let size = shapes[name.as_str()].iter().try_fold(width(bound), |size, &axis| size.checked_mul(axis));
            let width = width(bound);
            let Some((content, tail)) = size.and_then(|size| rest.split_at_checked(size)) else {
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
