//! Models made from fixtures, for what no fixture has.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use obelysk_model::quantize::QuantizedModel;
use obelysk_statement::description::{Branch, Rounding};
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
    biased(|_, layer, width, channel| {
        let spread = (channel * 37 + layer * 11 + width) % 101;
        largest * (spread as f32 / 50.0 - 1.0)
    })
}

/// As [`qwen2`], with one large bias per key head and no other: what trained models of this architecture have.
///
/// # Panics
/// If the fixture is not what it is.
#[must_use]
pub fn qwen2_with_large_keys(largest: f32) -> TempDir {
    // Of both halves of a pair, in heads of 24 channels.
    biased(|projection, _, _, channel| if projection == "k" && [5, 24 + 17].contains(&channel) { largest } else { 0.0 })
}

/// The weights of the Llama fixture with a bias of each projection, layer, width and channel.
fn biased(bias: impl Fn(&str, usize, usize, usize) -> f32) -> TempDir {
    let source = fixture("llama31");
    let folder = copy_without_weights(&source);
    let config = fs::read_to_string(source.join("config.json")).expect("a config");
    fs::write(
        folder.path().join("config.json"),
        config.replace("LlamaForCausalLM", "Qwen2ForCausalLM").replace("\"llama\"", "\"qwen2\""),
    )
    .expect("a folder for a test");
    let bytes = fs::read(source.join("model.safetensors")).expect("weights");
    let tensors = SafeTensors::deserialize(&bytes).expect("weights");
    let mut biases: HashMap<String, Vec<u8>> = HashMap::new();
    for layer in 0..2usize {
        for (projection, width) in [("q", 96usize), ("k", 48), ("v", 48)] {
            let entry = |channel: usize| bias(projection, layer, width, channel);
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

/// A model with activation spikes inside of its first feed-forward block: one channel's gate and up projection are `2^bits` times
/// as large, and what reads their product is `2^(2 bits)` times as small.
///
/// # Panics
/// If the source is not a fixture with weights in bfloat16.
#[must_use]
pub fn spiked(source: &Path, bits: i16) -> TempDir {
    const CHANNEL: usize = 3;
    let folder = copy_without_weights(source);
    let bytes = fs::read(source.join("model.safetensors")).expect("weights");
    let tensors = SafeTensors::deserialize(&bytes).expect("weights");
    let scaled = |name: &str, by: i16| {
        let view = tensors.tensor(&format!("model.layers.0.mlp.{name}_proj.weight")).expect("a gated block");
        let columns = view.shape()[1];
        let mut entries = view.data().to_vec();
        for (place, entry) in entries.chunks_exact_mut(2).enumerate() {
            let channel = if name == "down" { place % columns } else { place / columns };
            let value = u16::from_le_bytes([entry[0], entry[1]]);
            // A power of two is added to the exponent, which zero has none of.
            if channel == CHANNEL && value & 0x7fff != 0 {
                entry.copy_from_slice(&value.wrapping_add_signed(by << 7).to_le_bytes());
            }
        }
        (view.shape().to_vec(), entries)
    };
    let changed: HashMap<String, (Vec<usize>, Vec<u8>)> = [("gate", bits), ("up", bits), ("down", -2 * bits)]
        .map(|(name, by)| (format!("model.layers.0.mlp.{name}_proj.weight"), scaled(name, by)))
        .into();
    let views = tensors.iter().map(|(name, view)| match changed.get(name) {
        Some((shape, entries)) => {
            (name.to_owned(), TensorView::new(Dtype::BF16, shape.clone(), entries).expect("as many entries"))
        }
        None => (name.to_owned(), view),
    });
    write(folder.path(), views);
    folder
}

/// The same model without the tables that clamp numbers of one limb, which are most of a fixture's proof: [`narrowed`] has them. Some
/// inputs have no witness any more, and the engine says so.
#[must_use]
pub fn without_clamp_tables(mut model: QuantizedModel) -> QuantizedModel {
    let description = &mut model.description;
    let (attention, feed_forward) = (&mut description.attention, &mut description.feed_forward);
    for rounding in [
        &mut attention.query_rounding,
        &mut attention.key_rounding,
        &mut attention.score_rounding,
        &mut attention.value_rounding,
        &mut feed_forward.gate_rounding,
        &mut feed_forward.up_rounding,
    ] {
        *rounding = Rounding::exact(rounding.shift);
    }
    refitted(model)
}

/// A model of the plain precision with ranges so narrow that activations are clamped, whatever the quantiser chose. Its answers are worth
/// nothing; its arithmetic is that of any other model.
///
/// # Panics
/// If a range of the model is narrower than those of fixtures.
#[must_use]
pub fn narrowed(mut model: QuantizedModel) -> QuantizedModel {
    /// Bits that a range loses.
    const LOST: u32 = 5;
    let clamp = |rounding: &mut Rounding, bits: &mut u32| {
        rounding.unclamped_bits = *bits;
        *bits -= LOST;
    };
    let description = &mut model.description;
    let (attention, feed_forward) = (&mut description.attention, &mut description.feed_forward);
    if attention.score_cap.is_some() {
        // Scores before a cap address a table of 16 bits, as gates do below.
        attention.score_rounding = Rounding { shift: attention.score_rounding.shift - 1, unclamped_bits: 17 };
    }
    clamp(&mut attention.value_rounding, &mut attention.value_bits);
    clamp(&mut feed_forward.up_rounding, &mut feed_forward.up_bits);
    clamp(&mut feed_forward.hidden_rounding, &mut feed_forward.hidden_bits);
    // Gates address a table of 16 bits: their scale changes instead, by a bit.
    feed_forward.gate_rounding = Rounding { shift: feed_forward.gate_rounding.shift - 1, unclamped_bits: 17 };
    match &mut description.head_norms {
        Some(norms) => {
            for (rounding, norm) in
                [(&mut attention.query_rounding, &mut norms.query), (&mut attention.key_rounding, &mut norms.key)]
            {
                // The low limb loses bits to the high one, which a carry may make a bit wider.
                rounding.unclamped_bits = norm.highest_bits + 2 + 1;
                norm.limb_bits -= 2;
                norm.highest_bits -= 2;
            }
        }
        None => {
            for rounding in [&mut attention.query_rounding, &mut attention.key_rounding] {
                rounding.unclamped_bits = 16;
            }
            attention.projected_end >>= LOST;
        }
    }
    let residual = &mut description.residual;
    let narrow_branch = |branch: &mut Branch| {
        if branch.high_bits > LOST {
            clamp(&mut branch.rounding, &mut branch.high_bits);
        }
    };
    [&mut residual.attention, &mut residual.feed_forward].into_iter().for_each(narrow_branch);
    if let Some(norms) = &mut description.branch_norms {
        for norm in [&mut norms.attention, &mut norms.feed_forward] {
            narrow_branch(&mut norm.output);
        }
    }
    refitted(model)
}

/// The same weights with the constants of the description as it is now.
#[must_use]
pub fn refitted(model: QuantizedModel) -> QuantizedModel {
    QuantizedModel::new(Arc::unwrap_or_clone(model.weights), model.description)
}

fn copy_without_weights(source: &Path) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for a test");
    for file in fs::read_dir(source).expect("a folder").map(|entry| entry.expect("a readable folder").path()) {
        let is_weights = file.extension().is_some_and(|kind| kind == "safetensors");
        if file.is_file() && !is_weights {
            fs::copy(&file, folder.path().join(file.file_name().expect("a file"))).expect("a folder for a test");
        }
    }
    folder
}

pub(crate) fn write<'a>(folder: &Path, views: impl Iterator<Item = (String, TensorView<'a>)>) {
    let bytes = serialize(views, None).expect("tensors fit a file");
    fs::write(folder.join("model.safetensors"), bytes).expect("a folder for a test");
}
