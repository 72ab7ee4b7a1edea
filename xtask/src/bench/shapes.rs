//! Checkpoints with the shapes of published models and random weights: how far they come, how long that takes, and how
//! much memory. What fails is reported with the program's own words.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::{Measured, fresh_folder, measure, programs, report};
use crate::root;

/// Shapes of a decoder.
pub(super) struct Shapes {
    name: &'static str,
    architecture: &'static str,
    layers: usize,
    hidden: usize,
    intermediate: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    vocabulary: usize,
    tied: bool,
    head_norms: bool,
    /// Biases on queries, keys and values.
    biases: bool,
    /// Tokens of the prompt and after it, of each proof. Without any, quality is not measured either, which runs two engines over 1,500
    /// tokens.
    lengths: &'static [(u32, u32)],
}

/// Goal Z9.
pub(super) const QWEN2_0_5B: Shapes = Shapes {
    name: "qwen2-0.5b",
    architecture: "Qwen2ForCausalLM",
    layers: 24,
    hidden: 896,
    intermediate: 4864,
    heads: 14,
    kv_heads: 2,
    head_dim: 64,
    vocabulary: 151_936,
    tied: true,
    head_norms: false,
    biases: true,
    lengths: &[(9, 1)],
};

/// Goal Z4. GPT-2 itself is not supported: these are its layers, widths, heads and vocabulary in the form of Llama, whose three
/// matrices of 2,048 inner channels have as many weights as GPT-2's two of 3,072. Positions rotate queries and keys in place of
/// GPT-2's table of 1,024 embeddings.
pub(super) const GPT2_SMALL: Shapes = Shapes {
    name: "gpt2-small-as-llama",
    architecture: "LlamaForCausalLM",
    layers: 12,
    hidden: 768,
    intermediate: 2048,
    heads: 12,
    kv_heads: 12,
    head_dim: 64,
    vocabulary: 50_257,
    tied: true,
    head_norms: false,
    biases: false,
    lengths: &[(15, 2)],
};

/// [`GPT2_SMALL`] with more and more positions; what does not fit memory is refused.
pub(super) const GPT2_SMALL_LONG: Shapes = Shapes { lengths: &[(127, 2), (255, 2), (511, 2), (1023, 2)], ..GPT2_SMALL };

pub(super) const QWEN3_0_6B: Shapes = Shapes {
    name: "qwen3-0.6b",
    architecture: "Qwen3ForCausalLM",
    layers: 28,
    hidden: 1024,
    intermediate: 3072,
    heads: 16,
    kv_heads: 8,
    head_dim: 128,
    vocabulary: 151_936,
    tied: true,
    head_norms: true,
    biases: false,
    lengths: &[(15, 2)],
};

pub(super) const QWEN3_14B: Shapes = Shapes {
    name: "qwen3-14b-2-layers",
    architecture: "Qwen3ForCausalLM",
    layers: 2,
    hidden: 5120,
    intermediate: 17_408,
    heads: 40,
    kv_heads: 8,
    head_dim: 128,
    vocabulary: 151_936,
    tied: false,
    head_norms: true,
    biases: false,
    lengths: &[],
};

pub(super) const LLAMA3_70B: Shapes = Shapes {
    name: "llama3-70b-1-layer",
    architecture: "LlamaForCausalLM",
    layers: 1,
    hidden: 8192,
    intermediate: 28_672,
    heads: 64,
    kv_heads: 8,
    head_dim: 128,
    vocabulary: 128_256,
    tied: false,
    head_norms: false,
    biases: false,
    lengths: &[],
};

impl Shapes {
    pub(super) fn name(&self) -> &'static str {
        self.name
    }
}

/// Validate, quantise and commit, measure the quality, and prove.
pub(super) fn run(shapes: &Shapes, layers: Option<usize>) -> Result<()> {
    let programs = programs()?;
    let folder = fresh_folder(shapes.name)?;
    let model = folder.join("model");
    let bytes = write(shapes, &model)?;
    println!("{} bytes of weights in {}", bytes, model.display());
    let home = folder.join("home");
    let obelysk = |arguments: &[&str]| -> Result<Measured> {
        let mut command = Command::new(programs.join("obelysk"));
        command.args(arguments).arg("--model-dir").arg(&model).args(["--json", "--quiet", "--home"]).arg(&home);
        command.args(layers.map(|layers| format!("--layers={layers}")));
        measure(&mut command)
    };
    told(shapes, "validate", &obelysk(&["validate"])?);
    let committed = told(shapes, "quantise and commit", &obelysk(&["model", "digest"])?);
    if !committed || shapes.lengths.is_empty() || !told(shapes, "prepare", &obelysk(&["model", "prepare"])?) {
        return Ok(());
    }
    for &(prompt, outputs) in shapes.lengths {
        let positions = prompt + outputs - 1;
        let out = folder.join(format!("proof-{positions}"));
        let tokens: Vec<String> = (5..5 + prompt).map(|token| token.to_string()).collect();
        let (tokens, outputs) = (tokens.join(","), outputs.to_string());
        let run = [
            "run",
            "--tokens",
            &tokens,
            "--max-new-tokens",
            &outputs,
            "--skip-inference",
            "--no-audit",
            "--no-gpu",
            "--out",
        ];
        let proven = obelysk(&[&run[..], &[&out.display().to_string()]].concat())?;
        let step = format!("{positions} positions");
        if told(shapes, &format!("{step}: load, capture, prove and verify"), &proven) {
            let proof = proven.answer()?["proof"].take();
            for (field, unit) in
                [("provingSeconds", "s"), ("verifySeconds", "s"), ("sizeBytes", "bytes"), ("securityBits", "bits")]
            {
                let value = proof[field].as_f64().unwrap_or_default();
                report(&format!("{} {step}: {field}", shapes.name), unit, &mut [value]);
            }
            let seconds = proof["provingSeconds"].as_f64().context("provingSeconds")?;
            let rate = f64::from(positions) / seconds;
            report(&format!("{} {step}: positions proven a second", shapes.name), "1/s", &mut [rate]);
        }
    }
    Ok(())
}

/// Report a step; whether it succeeded.
fn told(shapes: &Shapes, step: &str, measured: &Measured) -> bool {
    report(&format!("{} {step}", shapes.name), "s", &mut [measured.time.as_secs_f64()]);
    report(&format!("{} {step} peak memory", shapes.name), "MiB", &mut [measured.peak_mebibytes]);
    if !measured.succeeded {
        println!("{} {step}: {}", shapes.name, measured.output.trim());
    }
    measured.succeeded
}

/// Write config, tokenizer and weights; the bytes of the weights.
pub(super) fn write(shapes: &Shapes, folder: &Path) -> Result<u64> {
    fs::create_dir_all(folder)?;
    let config = json!({
        "architectures": [shapes.architecture],
        "vocab_size": shapes.vocabulary,
        "hidden_size": shapes.hidden,
        "intermediate_size": shapes.intermediate,
        "num_hidden_layers": shapes.layers,
        "num_attention_heads": shapes.heads,
        "num_key_value_heads": shapes.kv_heads,
        "head_dim": shapes.head_dim,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": shapes.tied,
        "hidden_act": "silu",
        "rope_theta": 1e6,
    });
    fs::write(folder.join("config.json"), config.to_string())?;
    fs::copy(root().join("tests/fixtures/models/qwen3/tokenizer.json"), folder.join("tokenizer.json"))?;
    let tensors = tensors(shapes);
    let mut header = Map::new();
    let mut end = 0u64;
    for (name, shape) in &tensors {
        let start = end;
        end += 2 * shape.iter().product::<usize>() as u64;
        header.insert(name.clone(), json!({"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}));
    }
    let header = Value::Object(header).to_string();
    let mut output = BufWriter::with_capacity(1 << 20, File::create(folder.join("model.safetensors"))?);
    output.write_all(&(header.len() as u64).to_le_bytes())?;
    output.write_all(header.as_bytes())?;
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for (name, shape) in &tensors {
        let is_gain = name.contains("norm");
        for _ in 0..shape.iter().product::<usize>() {
            let weight = if is_gain { 1.0 } else { random_weight(&mut state) };
            output.write_all(&weight.to_bits().to_le_bytes()[2..])?;
        }
    }
    output.flush()?;
    Ok(end)
}

/// A sum of four uniform numbers, with the spread that initialisations have.
fn random_weight(state: &mut u64) -> f32 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    let sum: u64 = (0..4).map(|part| *state >> (16 * part) & 0xFFFF).sum();
    (sum as f32 / 65_535.0 - 2.0) * 0.035
}

fn tensors(shapes: &Shapes) -> Vec<(String, Vec<usize>)> {
    let (hidden, inner) = (shapes.hidden, shapes.intermediate);
    let (queries, keys) = (shapes.heads * shapes.head_dim, shapes.kv_heads * shapes.head_dim);
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![shapes.vocabulary, hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
    ];
    if !shapes.tied {
        tensors.push(("lm_head.weight".to_owned(), vec![shapes.vocabulary, hidden]));
    }
    for layer in 0..shapes.layers {
        let mut of_layer = vec![
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![queries, hidden]),
            ("self_attn.k_proj", vec![keys, hidden]),
            ("self_attn.v_proj", vec![keys, hidden]),
            ("self_attn.o_proj", vec![hidden, queries]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
        ];
        if shapes.head_norms {
            of_layer.push(("self_attn.q_norm", vec![shapes.head_dim]));
            of_layer.push(("self_attn.k_norm", vec![shapes.head_dim]));
        }
        if shapes.biases {
            let biases = [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)];
            let name = |name| format!("model.layers.{layer}.self_attn.{name}.bias");
            tensors.extend(biases.map(|(own, width)| (name(own), vec![width])));
        }
        tensors
            .extend(of_layer.into_iter().map(|(name, shape)| (format!("model.layers.{layer}.{name}.weight"), shape)));
    }
    tensors
}
