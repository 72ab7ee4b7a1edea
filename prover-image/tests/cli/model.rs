//! A model made for a test: the bundled one, copied to a folder where a test may damage it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use crate::program::obelysk;

/// Small models with random weights.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/models");

/// A folder with the bundled model's files and nothing that says where they come from.
pub fn copy_of_tiny_chat(folder: &Path) -> PathBuf {
    let home = tempfile::tempdir().unwrap();
    let pulled = obelysk(home.path(), ["model", "pull", "--preset", "tiny-chat"]).ok();
    let source = PathBuf::from(pulled["folder"].as_str().unwrap());
    let copy = folder.join("tiny");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() && entry.file_name() != "manifest.json" {
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
    }
    copy
}

/// A model of the fixtures, copied to a folder where a test may damage it.
pub fn copy_of_fixture(folder: &Path, name: &str) -> PathBuf {
    let source = Path::new(FIXTURES).join(name);
    let copy = folder.join(name);
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        // Read and write: a copy would keep a fixture's write protection.
        fs::write(copy.join(entry.file_name()), fs::read(entry.path()).unwrap()).unwrap();
    }
    copy
}

/// Cut a model's file in two shards: one with the tensors of layer 1, one with all others.
pub fn shard_by_layer(model: &Path) {
    let path = model.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut weight_map = BTreeMap::new();
    for (number, of_layer_1) in [(1, true), (2, false)] {
        let shard = format!("model-0000{number}-of-00002.safetensors");
        let own: Vec<_> = tensors.iter().filter(|(name, _)| name.contains("layers.1.") == of_layer_1).collect();
        weight_map.extend(own.iter().map(|(name, _)| ((*name).to_owned(), shard.clone())));
        fs::write(model.join(&shard), safetensors::serialize(own, None).unwrap()).unwrap();
    }
    fs::write(model.join("model.safetensors.index.json"), json!({"weight_map": weight_map}).to_string()).unwrap();
    fs::remove_file(path).unwrap();
}

/// Change a model's config.
pub fn edit_config(model: &Path, edit: impl FnOnce(&mut Value)) {
    let path = model.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut config);
    fs::write(path, config.to_string()).unwrap();
}

/// Give a model a tensor of zeros, in place of its own of that name if it has one.
pub fn put_zeros(model: &Path, name: &str, dtype: Dtype, shape: &[usize]) {
    let path = model.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let zeros = vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8];
    let view = TensorView::new(dtype, shape.to_vec(), &zeros).unwrap();
    let others = tensors.iter().filter(|(other, _)| *other != name);
    let all: Vec<_> = others.chain([(name, view)]).collect();
    fs::write(path, safetensors::serialize(all, None).unwrap()).unwrap();
}

/// Overwrite the first entry of a bf16 tensor with NaN.
pub fn poison(model: &Path, tensor: &str) {
    let path = model.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let header_length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + header_length]).unwrap();
    let offset = header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[8 + header_length + offset..][..2].copy_from_slice(&0x7fc0u16.to_le_bytes());
    fs::write(path, bytes).unwrap();
}
