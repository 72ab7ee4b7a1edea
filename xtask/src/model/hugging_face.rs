//! From a GGUF file of the Llama architecture to a folder as hubs keep it: configuration, tokenizer, bf16 weights.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use half::bf16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use super::gguf::{Gguf, Tensor};

/// Tokens of these types are recognised wherever a text spells them.
const CONTROL: i128 = 3;
const USER_DEFINED: i128 = 4;

/// Write a model's files.
pub fn write(gguf: &Gguf, folder: &Path) -> Result<()> {
    let architecture = gguf.text("general.architecture")?;
    ensure!(architecture == "llama", "models of architecture `{architecture}` cannot be converted; `llama` ones can");
    let save = |name: &str, mut content: Value| {
        // Equal bytes whatever order the library keeps.
        content.sort_all_objects();
        fs::write(folder.join(name), serde_json::to_vec_pretty(&content)?)
            .with_context(|| format!("cannot write {name}"))
    };
    save("config.json", config(gguf)?)?;
    save("generation_config.json", generation_config(gguf)?)?;
    save("tokenizer.json", tokenizer(gguf)?)?;
    save("tokenizer_config.json", tokenizer_config(gguf)?)?;
    write_weights(gguf, &folder.join("model.safetensors"))
}

fn config(gguf: &Gguf) -> Result<Value> {
    let (hidden, heads) = (gguf.integer("llama.embedding_length")?, gguf.integer("llama.attention.head_count")?);
    ensure!(heads > 0 && hidden.is_multiple_of(heads), "{heads} heads do not share a width of {hidden}");
    Ok(json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": gguf.integer("llama.feed_forward_length")?,
        "num_hidden_layers": gguf.integer("llama.block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": gguf.integer("llama.attention.head_count_kv")?,
        "head_dim": hidden / heads,
        "max_position_embeddings": gguf.integer("llama.context_length")?,
        "rms_norm_eps": gguf.float("llama.attention.layer_norm_rms_epsilon")?,
        "rope_theta": gguf.float("llama.rope.freq_base")?,
        "vocab_size": gguf.texts("tokenizer.ggml.tokens")?.len(),
        "tie_word_embeddings": !gguf.tensors.iter().any(|tensor| tensor.name == "output.weight"),
        "attention_bias": false,
        "mlp_bias": false,
        "torch_dtype": "bfloat16",
        "bos_token_id": gguf.integer("tokenizer.ggml.bos_token_id")?,
        "eos_token_id": gguf.integer("tokenizer.ggml.eos_token_id")?,
    }))
}

fn generation_config(gguf: &Gguf) -> Result<Value> {
    Ok(json!({
        "bos_token_id": gguf.integer("tokenizer.ggml.bos_token_id")?,
        "eos_token_id": gguf.integer("tokenizer.ggml.eos_token_id")?,
        "pad_token_id": gguf.integer("tokenizer.ggml.padding_token_id")?,
    }))
}

/// Byte-level byte-pair encoding.
fn tokenizer(gguf: &Gguf) -> Result<Value> {
    let (model, split) = (gguf.text("tokenizer.ggml.model")?, gguf.text("tokenizer.ggml.pre")?);
    ensure!(
        (model, split) == ("gpt2", "smollm"),
        "a tokenizer `{model}` that splits as `{split}` cannot be converted; `gpt2` with `smollm` can"
    );
    let tokens = gguf.texts("tokenizer.ggml.tokens")?;
    let types = gguf.integers("tokenizer.ggml.token_type")?;
    ensure!(types.len() == tokens.len(), "{} tokens have {} types", tokens.len(), types.len());
    let added: Vec<Value> = types
        .iter()
        .zip(&tokens)
        .enumerate()
        .filter(|(_, (kind, _))| [CONTROL, USER_DEFINED].contains(kind))
        .map(|(id, (&kind, token))| {
            json!({
                "id": id,
                "content": token,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": kind == CONTROL,
            })
        })
        .collect();
    let vocabulary: BTreeMap<&str, usize> = tokens.iter().enumerate().map(|(id, &token)| (token, id)).collect();
    ensure!(vocabulary.len() == tokens.len(), "two tokens are spelt alike");
    let byte_level = |add_prefix_space: bool| json!({"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": true, "use_regex": true});
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": true}, byte_level(false)],
        },
        "post_processor": null,
        "decoder": byte_level(true),
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": false,
            "vocab": vocabulary,
            "merges": gguf.texts("tokenizer.ggml.merges")?,
        },
    }))
}

fn tokenizer_config(gguf: &Gguf) -> Result<Value> {
    let tokens = gguf.texts("tokenizer.ggml.tokens")?;
    let token = |role: &str| -> Result<&str> {
        let id = gguf.integer(&format!("tokenizer.ggml.{role}_token_id"))?;
        tokens.get(id).copied().with_context(|| format!("the {role} token {id} is not in the vocabulary"))
    };
    Ok(json!({
        "tokenizer_class": "GPT2Tokenizer",
        "bos_token": token("bos")?,
        "eos_token": token("eos")?,
        "pad_token": token("padding")?,
        "model_max_length": gguf.integer("llama.context_length")?,
        "chat_template": gguf.text("tokenizer.chat_template")?,
    }))
}

fn write_weights(gguf: &Gguf, path: &Path) -> Result<()> {
    let heads = gguf.integer("llama.attention.head_count")?;
    let kv_heads = gguf.integer("llama.attention.head_count_kv")?;
    let mut tensors = BTreeMap::new();
    for tensor in &gguf.tensors {
        let name = hub_name(&tensor.name)?;
        let decoded = tensor.encoding.decode(tensor.data);
        let values = match tensor.name.rsplit('.').nth(1) {
            Some("attn_q") => halves_from_pairs(&decoded, tensor, heads)?,
            Some("attn_k") => halves_from_pairs(&decoded, tensor, kv_heads)?,
            _ => decoded,
        };
        let bytes: Vec<u8> = values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect();
        tensors.insert(name, (tensor.shape.clone(), bytes));
    }
    let mut views = Vec::new();
    for (name, (shape, bytes)) in &tensors {
        views.push((name, TensorView::new(Dtype::BF16, shape.clone(), bytes)?));
    }
    safetensors::serialize_to_file(views, None, path).with_context(|| format!("cannot write {}", path.display()))
}

/// The hub's name of a tensor.
fn hub_name(name: &str) -> Result<String> {
    let parts: Vec<&str> = name.split('.').collect();
    Ok(match parts.as_slice() {
        ["token_embd", "weight"] => "model.embed_tokens.weight".into(),
        ["output_norm", "weight"] => "model.norm.weight".into(),
        ["output", "weight"] => "lm_head.weight".into(),
        ["blk", layer, part, "weight"] => {
            let part = match *part {
                "attn_norm" => "input_layernorm",
                "attn_q" => "self_attn.q_proj",
                "attn_k" => "self_attn.k_proj",
                "attn_v" => "self_attn.v_proj",
                "attn_output" => "self_attn.o_proj",
                "ffn_norm" => "post_attention_layernorm",
                "ffn_gate" => "mlp.gate_proj",
                "ffn_up" => "mlp.up_proj",
                "ffn_down" => "mlp.down_proj",
                _ => bail!("tensor `{name}` has no place in a Llama model"),
            };
            format!("model.layers.{layer}.{part}.weight")
        }
        _ => bail!("tensor `{name}` has no place in a Llama model"),
    })
}

/// Rows of queries and keys that are rotated together are neighbours in a GGUF file, and half a head apart in a hub's.
fn halves_from_pairs(values: &[f32], tensor: &Tensor, heads: usize) -> Result<Vec<f32>> {
    let [rows, columns] = tensor.shape[..] else { bail!("`{}` is no matrix", tensor.name) };
    let fits = heads > 0 && columns > 0 && rows.is_multiple_of(2 * heads);
    ensure!(fits, "`{}` of {rows} rows is not of {heads} heads", tensor.name);
    let half = rows / heads / 2;
    let row = |index: usize| &values[index * columns..][..columns];
    let order = (0..heads)
        .flat_map(|head| (0..2).flat_map(move |side| (0..half).map(move |pair| head * 2 * half + 2 * pair + side)));
    Ok(order.flat_map(row).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::encoding::Encoding;

    #[test]
    fn rows_that_rotate_together_come_half_a_head_apart() {
        let tensor = Tensor { name: "q".into(), shape: vec![8, 1], encoding: Encoding::F32, data: &[] };
        let values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        let halves = halves_from_pairs(&values, &tensor, 2).unwrap();
        assert_eq!(halves, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
        assert!(halves_from_pairs(&values, &tensor, 3).is_err());
    }

    #[test]
    fn tensors_that_a_llama_model_lacks_are_refused_by_name() {
        assert_eq!(hub_name("blk.7.ffn_down.weight").unwrap(), "model.layers.7.mlp.down_proj.weight");
        assert!(hub_name("blk.7.attn_q.bias").unwrap_err().to_string().contains("blk.7.attn_q.bias"));
    }
}
