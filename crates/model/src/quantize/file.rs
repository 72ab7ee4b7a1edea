//! `model.json` and `weights.q`: the quantised model on disk.
//!
//! `weights.q` holds the weight tensors in order of their names, 16-bit little-endian where the description's bound
//! allows it, else 32-bit. Their lengths follow from the description's shape; nothing else is in the file.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use obelysk_statement::ModelDescription;
use obelysk_statement::compile::validate_description;
use obelysk_statement::description::WeightBound;
use obelysk_witness::{Entries, Weights, WeightsFile, unreadable};

use super::QuantizedModel;
use crate::error::ModelError;
use crate::regular;

/// Name of the description's file.
pub const DESCRIPTION_FILE: &str = "model.json";
/// Entries that are read at once.
const READ_AT_ONCE: usize = 1 << 18;
/// Name of the weights' file.
pub const WEIGHTS_FILE: &str = "weights.q";

/// BLAKE3 of the weights: each tensor's name, length and 32-bit little-endian entries, in order of the names.
#[must_use]
pub fn digest_of_weights(model: &QuantizedModel) -> [u8; 32] {
    let mut digest = WeightsDigest::new();
    for name in model.description.weights.keys() {
        let entries = &model.weights[name];
        digest.begin(name, entries.len());
        for first in (0..entries.len()).step_by(READ_AT_ONCE) {
            let piece = entries.as_ref().slice(first..entries.len().min(first + READ_AT_ONCE));
            digest.update(&piece.iter().collect::<Vec<i32>>());
        }
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
    let mut text = Vec::new();
    let read = regular::open(&path).and_then(|mut file| file.read_to_end(&mut text));
    read.map_err(|error| ModelError::io(&path, error))?;
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
        for (name, bound) in &self.description.weights {
            let entries = &self.weights[name];
            bytes.extend(encode(bound, &entries.iter().collect::<Vec<i32>>()));
        }
        bytes
    }

    /// Read a folder written from [`ModelDescription::canonical_json`] and [`QuantizedModel::weight_bytes`].
    ///
    /// # Errors
    /// [`ModelError::Io`] for a file that cannot be read, [`ModelError::Corrupt`] for contents that do not match the
    /// description's digest.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let model = Self::load_unhashed(folder)?;
        model.check_digest(folder)?;
        Ok(model)
    }

    /// As [`QuantizedModel::load`], whatever the digest of the weights is.
    ///
    /// # Errors
    /// As there, but for the digest.
    pub fn load_unhashed(folder: &Path) -> Result<Self, ModelError> {
        let description = read_description(folder)?;
        Ok(Self::new(read_weights(folder, &description)?, description))
    }

    /// Compare the weights, read from a folder, with the description's digest.
    ///
    /// # Errors
    /// [`ModelError::Corrupt`], [`ModelError::Weights`].
    pub fn check_digest(&self, folder: &Path) -> Result<(), ModelError> {
        let matches = hex::encode(digest_of_weights(self)) == self.description.weights_digest;
        match unreadable(&self.weights) {
            Some(unreadable) => Err(unreadable.into()),
            None if matches => Ok(()),
            None => {
                let reason = "its contents do not have the digest that model.json states";
                Err(ModelError::corrupt(&folder.join(WEIGHTS_FILE), reason))
            }
        }
    }
}

/// The weights of a description, whatever their digest is. They stay in the file, which is as long as they are.
fn read_weights(folder: &Path, description: &ModelDescription) -> Result<Weights, ModelError> {
    let path = folder.join(WEIGHTS_FILE);
    let file = regular::open(&path).and_then(|file| WeightsFile::new(&path, file));
    let file = Arc::new(file.map_err(|error| ModelError::io(&path, error))?);
    let length = file.length();
    let mut offset = 0u64;
    let mut weights = Weights::new();
    let shapes = description.weight_shapes();
    if !description.weights.keys().eq(shapes.keys()) {
        return Err(ModelError::corrupt(&path, "model.json lists other weights than its operations have"));
    }
    for (name, bound) in &description.weights {
        let width = width(bound);
        let size = shapes[name.as_str()].iter().try_fold(1usize, |size, &axis| size.checked_mul(axis));
        let bytes = size.and_then(|size| size.checked_mul(width)).map(|bytes| bytes as u64);
        let (Some(size), Some(bytes)) = (size, bytes.filter(|&bytes| bytes <= length - offset)) else {
            return Err(ModelError::corrupt(&path, format!("it ends inside of tensor `{name}`")));
        };
        let entries = Entries::Stored { file: Arc::clone(&file), offset, length: size, is_wide: width == 4 };
        offset += bytes;
        weights.insert(name.clone(), entries);
    }
    if offset == length { Ok(weights) } else { Err(ModelError::corrupt(&path, "it is longer than its tensors")) }
}
