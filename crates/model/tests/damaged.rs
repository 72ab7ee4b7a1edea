//! Damaged model folders: the right error, with the file and the tensor.

use std::fs;
use std::path::Path;

use obelysk_model::ModelError;
use obelysk_model::checkpoint::Checkpoint;
use obelysk_model::config::ModelConfig;
use obelysk_model::template::ChatTemplate;
use obelysk_model::tokenizer::ModelTokenizer;
use obelysk_model::validate::{Validation, validate};
use proptest::prelude::*;
use tempfile::TempDir;

fn check(folder: &Path) -> Result<Validation, ModelError> {
    validate(folder, &ModelConfig::read(folder)?, &Checkpoint::open(folder)?)
}

fn copy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("bundle/tiny-chat")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

fn change(folder: &TempDir, file: &str, edit: impl FnOnce(&mut Vec<u8>)) {
    let path = folder.path().join(file);
    let mut bytes = fs::read(&path).unwrap();
    edit(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_intact_folder_is_valid() {
    let validation = check(copy().path()).unwrap();
    assert_eq!(validation.parameters, 918_912);
    assert_eq!(validation.tensors, 47);
}

#[test]
fn a_missing_file_is_named() {
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let folder = copy();
        fs::remove_file(folder.path().join(file)).unwrap();
        let error = check(folder.path()).unwrap_err();
        assert!(matches!(error, ModelError::Missing(_)), "{error}");
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[test]
fn a_truncated_shard_is_named() {
    for length in [4, 100, 1_000_000] {
        let folder = copy();
        change(&folder, "model.safetensors", |bytes| bytes.truncate(length));
        let error = check(folder.path()).unwrap_err();
        assert!(matches!(error, ModelError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    }
}

#[test]
fn a_value_that_is_no_number_is_named_with_its_tensor() {
    let folder = copy();
    change(&folder, "model.safetensors", |bytes| {
        let last = bytes.len() - 2;
        bytes[last..].copy_from_slice(&[0xC0, 0x7F]);
    });
    let error = check(folder.path()).unwrap_err();
    assert!(error.to_string().contains("NaN") && error.to_string().contains("tensor `"), "{error}");
}

#[test]
fn a_wrong_shape_is_named_beside_the_right_one() {
    let folder = copy();
    change(&folder, "config.json", |bytes| {
        *bytes = String::from_utf8(bytes.clone())
            .unwrap()
            .replace("\"intermediate_size\": 384", "\"intermediate_size\": 400")
            .into();
    });
    let error = check(folder.path()).unwrap_err();
    assert!(error.to_string().contains("384") && error.to_string().contains("400"), "{error}");
}

/// A header that says `text`, then `data` bytes.
fn shard(text: &str, data: usize) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn a_header_that_lies_about_its_tensors_is_an_error_and_no_panic() {
    let tensor = |shape: &str, offsets: &str| {
        format!(r#"{{"model.norm.weight":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let lies = [
        tensor("[128]", "[512,0]"),
        tensor("[128]", "[0,256]"),
        tensor("[128]", "[0,18446744073709551615]"),
        tensor("[18446744073709551615,8]", "[0,512]"),
        tensor("[4294967296,4294967296]", "[0,512]"),
        tensor("[]", "[0,512]"),
    ];
    for header in lies {
        let folder = copy();
        change(&folder, "model.safetensors", |bytes| *bytes = shard(&header, 512));
        let error = check(folder.path()).unwrap_err();
        assert!(matches!(error, ModelError::Corrupt { .. }), "{header}: {error}");
    }
}

#[test]
fn an_index_of_nothing_is_named() {
    let folder = copy();
    fs::write(folder.path().join("model.safetensors.index.json"), r#"{"weight_map": {}}"#).unwrap();
    let error = check(folder.path()).unwrap_err();
    assert!(error.to_string().contains("index.json"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_headers_tokenizers_and_templates_are_errors_and_no_panics(place in 0..4000usize, byte: u8, file in 0..3usize) {
        let folder = copy();
        let name = ["model.safetensors", "tokenizer.json", "chat_template.jinja"][file];
        change(&folder, name, |bytes| {
            let place = place % bytes.len();
            bytes[place] = byte;
        });
        let _ = check(folder.path());
        if let Ok(tokenizer) = ModelTokenizer::open(folder.path()) {
            let _ = tokenizer.encode("What is 7 + 5?");
        }
        if let Ok(template) = ChatTemplate::open(folder.path()) {
            let _ = template.ask("What is 7 + 5?");
        }
    }
}
