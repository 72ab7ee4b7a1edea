//! Configurations with keys changed or left out: what the model is then, by references of `transformers`, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use obelysk_model::ModelError;
use obelysk_model::checkpoint::Checkpoint;
use obelysk_model::config::ModelConfig;
use obelysk_model::float::FloatModel;
use obelysk_model::generation::GenerationConfig;
use serde_json::{Value, json};
use tempfile::TempDir;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// The configuration of a fixture with some keys changed and some absent.
fn config(model: &str, changed: &Value, absent: &[Value]) -> Result<ModelConfig, ModelError> {
    let path = fixtures().join("models").join(model).join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let keys = config.as_object_mut().unwrap();
    keys.extend(changed.as_object().unwrap().clone());
    keys.retain(|key, _| !absent.contains(&key.as_str().into()));
    ModelConfig::parse(config.to_string().as_bytes(), &path)
}

#[test]
fn logits_of_changed_configurations_are_within_1e_4_of_the_reference() {
    let path = fixtures().join("variants/references.json");
    let cases: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let mut wrong = 0;
    for case in &cases {
        let (name, model) = (case["name"].as_str().unwrap(), case["model"].as_str().unwrap());
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        let expected: Vec<f32> = serde_json::from_value(case["logits"].clone()).unwrap();
        let answer = config(model, &case["changed"], case["absent"].as_array().unwrap()).and_then(|config| {
            let checkpoint = Checkpoint::open(&fixtures().join("models").join(model))?;
            let model = FloatModel::load(config, &checkpoint)?;
            let logits = model.read(&mut model.cache(), &ids, 1);
            Ok(logits.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
        });
        let same = answer.as_ref().is_ok_and(|difference| *difference <= 1e-4);
        println!("{:4} {model:8} {name}: {answer:?}", if same { "ok" } else { "NOT" });
        wrong += usize::from(!same);
    }
    assert_eq!(wrong, 0, "{wrong} of {} configurations are other models", cases.len());
}

/// What is refused, and what the message names.
#[test]
fn what_cannot_be_represented_is_unsupported_and_what_contradicts_itself_corrupt() {
    let scaling = |kind: &str| json!({"rope_scaling": {"type": kind, "factor": 2.0}});
    let nested = json!({"full_attention": {"rope_type": "default"}, "sliding_attention": {"rope_type": "default"}});
    let unsupported = [
        ("qwen3", scaling("linear"), "linear"),
        ("qwen3", scaling("dynamic"), "dynamic"),
        ("qwen3", scaling("yarn"), "yarn"),
        ("phi3", scaling("su"), "su"),
        ("phi3", scaling("longrope"), "longrope"),
        ("phi3", json!({"partial_rotary_factor": 0.5}), "part of each head"),
        ("gemma2", json!({"rope_parameters": nested}), "type of layer"),
        ("llama31", json!({"attention_bias": true}), "biases"),
        ("llama31", json!({"mlp_bias": true}), "biases"),
        ("gemma2", json!({"use_bidirectional_attention": true}), "later tokens"),
        ("gemma2", json!({"hidden_activation": "gelu"}), "gelu"),
        ("qwen3", json!({"hidden_act": "gelu"}), "gelu"),
        ("qwen3", json!({"rms_norm_eps": 1.0}), "rms_norm_eps"),
        ("mistral", json!({"layer_types": ["sliding_attention", "full_attention"]}), "layer_types"),
        ("qwen3", json!({"quantization_config": {"quant_method": "fp8"}}), "fp8"),
        ("qwen3", json!({"quantization_config": {"quant_method": "gptq", "bits": 4}}), "gptq"),
        ("qwen3", json!({"quantization_config": {"load_in_8bit": true}}), "quantization_config"),
        ("qwen3", json!({"compression_config": {"format": "pack-quantized"}}), "compression_config"),
        ("qwen3", json!({"architectures": ["Qwen3ForSequenceClassification"]}), "Qwen3ForSequenceClassification"),
    ];
    let corrupt = [
        ("qwen3", json!({"model_type": "llama"}), "model_type"),
        ("qwen3", json!({"layer_types": ["sliding_attention", "sliding_attention"]}), "sliding_window"),
        ("qwen3", json!({"layer_types": ["full_attention"]}), "layer_types"),
        ("gemma2", json!({"attn_logit_softcapping": 0.0}), "attn_logit_softcapping"),
        ("qwen3", json!({"hidden_size": "96"}), "hidden_size"),
        ("qwen3", json!({"rms_norm_eps": -1.0}), "rms_norm_eps"),
        ("qwen3", json!({"eos_token_id": "two"}), "eos_token_id"),
        ("llama31", json!({"rope_scaling": {"type": "llama3", "factor": 8.0}}), "low_freq_factor"),
    ];
    for (model, changed, named) in unsupported {
        let error = config(model, &changed, &[]).unwrap_err();
        println!("13 {model} {changed}: {error}");
        assert!(matches!(error, ModelError::Unsupported(_)) && error.to_string().contains(named), "{changed}: {error}");
    }
    for (model, changed, named) in corrupt {
        let error = config(model, &changed, &[]).unwrap_err();
        println!("12 {model} {changed}: {error}");
        assert!(matches!(error, ModelError::Corrupt { .. }) && error.to_string().contains(named), "{changed}: {error}");
    }
}

fn generation(settings: &Value) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixtures().join("models/qwen3/config.json"), folder.path().join("config.json")).unwrap();
    fs::write(folder.path().join("generation_config.json"), settings.to_string()).unwrap();
    folder
}

#[test]
fn end_tokens_are_those_of_the_generation_where_it_names_any() {
    let ends = |settings: Value| ModelConfig::read(generation(&settings).path()).unwrap().eos_token_ids;
    assert_eq!(ends(json!({"eos_token_id": [7, 8]})), [7, 8]);
    assert_eq!(ends(json!({"eos_token_id": 9})), [9]);
    assert_eq!(ends(json!({"eos_token_id": null})), [0]);
    assert_eq!(ends(json!({})), [0]);
    assert_eq!(config("llama31", &json!({}), &["eos_token_id".into()]).unwrap().eos_token_ids, [2]);
    assert_eq!(config("qwen3", &json!({}), &["eos_token_id".into()]).unwrap().eos_token_ids, [0u32; 0]);
}

#[test]
fn settings_of_a_generation_that_change_greedy_answers_are_listed() {
    let unfollowed = |settings: Value| GenerationConfig::read(generation(&settings).path()).unwrap().unfollowed;
    let harmless = json!({"repetition_penalty": 1.0, "do_sample": true, "temperature": 0.6, "num_beams": 1, "bad_words_ids": null});
    assert_eq!(unfollowed(harmless), [""; 0]);
    let settings = json!({"repetition_penalty": 1.05, "no_repeat_ngram_size": 3, "suppress_tokens": [4]});
    assert_eq!(unfollowed(settings), ["repetition_penalty 1.05", "no_repeat_ngram_size 3", "suppress_tokens [4]"]);
}
