//! Checkpoints made from fixtures, for what no fixture has.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};
use tempfile::TempDir;

use crate::subject::fixture;

/// A model of the Qwen2 architecture: the weights of the Llama fixture, with biases of up to `largest` on queries, keys
/// and values.
///
/// # Panics
/// If the fixture is not what it is.
#[must_use]
pub fn qwen2(largest: f32) -> TempDir {
    let source = fixture("llama31");
    let folder = tempfile::tempdir().expect("a folder for a test");
    for name in ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        fs::copy(source.join(name), folder.path().join(name)).expect("fixtures have these files");
    }
    let config = fs::read_to_string(source.join("config.json")).expect("a config");
    fs::write(folder.path().join("config.json"), config.replace("LlamaForCausalLM", "Qwen2ForCausalLM"))
        .expect("a folder for a test");
    let bytes = fs::read(source.join("model.safetensors")).expect("weights");
    let tensors = SafeTensors::deserialize(&bytes).expect("weights");
    let mut biases: HashMap<String, Vec<u8>> = HashMap::new();
    for layer in 0..2usize {
        for (projection, width) in [("q", 96usize), ("k", 48), ("v", 48)] {
            let entry = |channel: usize| {
                let spread = (channel * 37 + layer * 11 + width) % 101;
                largest * (spread as f32 / 50.0 - 1.0)
            };
            let name = format!("model.layers.{layer}.self_attn.{projection}_proj.bias");
            biases.insert(name, (0..width).flat_map(|channel| entry(channel).to_le_bytes()).collect());
        }
    }
    let views = tensors.iter().map(|(name, view)| (name.to_owned(), view)).chain(biases.iter().map(|(name, bytes)| {
        let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).expect("whole numbers");
        (name.clone(), view)
    }));
    write(folder.path(), views);
    folder
}

fn write<'a>(folder: &Path, views: impl Iterator<Item = (String, TensorView<'a>)>) {
    let bytes = serialize(views, None).expect("tensors fit a file");
    fs::write(folder.join("model.safetensors"), bytes).expect("a folder for a test");
}
