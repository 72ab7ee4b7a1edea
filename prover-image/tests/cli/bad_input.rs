//! What goes wrong, one bad input per test: the right exit code, a message with the file and the remedy, and nothing
//! half-written that a later run would trust.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::model::{copy_of_fixture, copy_of_tiny_chat, edit_config, poison};
use crate::program::{Failure, obelysk};

/// Run on a model that is expected to fail, and check that nothing was prepared from it.
fn fails(model: &Path, code: i32) -> Failure {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    let arguments = ["run", "--tokens", "1,2", "--model-dir", model.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let failure = obelysk(home.path(), arguments).fails_with(code);
    assert!(!out.join("SHA256SUMS").exists(), "the folder counts as complete");
    assert!(!contains_folder(home.path(), "quant"), "a bad model was prepared");
    let validate = obelysk(home.path(), ["validate", "--model-dir", model.to_str().unwrap()]);
    assert_eq!(validate.code, code, "validate and run disagree: {}", validate.stderr);
    failure
}

fn contains_folder(folder: &Path, name: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let entry = entry.unwrap();
        entry.file_name() == name || entry.path().is_dir() && contains_folder(&entry.path(), name)
    })
}

#[test]
fn a_model_without_weights_names_the_missing_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_of_tiny_chat(folder.path());
    fs::remove_file(model.join("model.safetensors")).unwrap();
    let failure = fails(&model, 12);
    assert!(failure.message.contains("model.safetensors"), "{failure:?}");
}

#[test]
fn a_model_without_config_names_the_missing_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_of_tiny_chat(folder.path());
    fs::remove_file(model.join("config.json")).unwrap();
    let failure = fails(&model, 12);
    assert!(failure.message.contains("config.json"), "{failure:?}");
}

#[test]
fn a_truncated_shard_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_of_tiny_chat(folder.path());
    let path = model.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    for length in [bytes.len() - 1, bytes.len() / 2, 100, 0] {
        fs::write(&path, &bytes[..length]).unwrap();
        let failure = fails(&model, 12);
        assert!(failure.message.contains("model.safetensors"), "{length} bytes: {failure:?}");
    }
}

#[test]
fn a_missing_shard_of_several_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_of_fixture(folder.path(), "qwen3_sharded");
    fs::remove_file(model.join("model-00003-of-00005.safetensors")).unwrap();
    let failure = fails(&model, 12);
    assert!(failure.message.contains("model-00003-of-00005.safetensors"), "{failure:?}");
}

#[test]
fn a_wrong_shape_names_the_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_of_tiny_chat(folder.path());
    edit_config(&model, |config| config["intermediate_size"] = json!(256));
    let failure = fails(&model, 12);
    assert!(failure.message.contains("mlp"), "{failure:?}");
}

#[test]
fn a_weight_that_is_not_a_number_names_the_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_of_tiny_chat(folder.path());
    poison(&model, "model.layers.2.mlp.up_proj.weight");
    let failure = fails(&model, 12);
    assert!(failure.message.contains("model.layers.2.mlp.up_proj.weight"), "{failure:?}");
}

#[test]
fn an_unknown_architecture_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_of_tiny_chat(folder.path());
    edit_config(&model, |config| config["architectures"] = json!(["MysteryForCausalLM"]));
    edit_config(&model, |config| config["model_type"] = json!("mystery"));
    let failure = fails(&model, 13);
    assert!(failure.message.to_lowercase().contains("mystery"), "{failure:?}");
}

#[test]
fn a_config_that_is_not_json_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_of_tiny_chat(folder.path());
    fs::write(model.join("config.json"), "{").unwrap();
    let failure = fails(&model, 12);
    assert!(failure.message.contains("config.json"), "{failure:?}");
}

#[test]
fn a_model_folder_that_is_not_there_is_a_bad_specification() {
    let home = tempfile::tempdir().unwrap();
    let failure = obelysk(home.path(), ["validate", "--model-dir", "/nonexistent/model"]).fails_with(10);
    assert!(failure.message.contains("/nonexistent/model"), "{failure:?}");
}

#[test]
fn a_prompt_longer_than_the_model_reads_says_how_long_it_may_be() {
    let home = tempfile::tempdir().unwrap();
    let tokens = vec!["5"; 257].join(",");
    let failure = obelysk(home.path(), ["run", "--preset", "tiny-chat", "--tokens", &tokens]).fails_with(10);
    assert!(failure.message.contains("256") && failure.message.contains("257"), "{failure:?}");
}

#[test]
fn an_empty_prompt_is_refused_before_any_work() {
    let home = tempfile::tempdir().unwrap();
    let failure = obelysk(home.path(), ["run", "--preset", "tiny-chat", "--prompt", ""]).fails_with(10);
    assert!(failure.message.contains("empty"), "{failure:?}");
    let failure = obelysk(home.path(), ["run", "--preset", "no-such-model", "--prompt", "hello"]).fails_with(10);
    assert!(failure.message.contains("no-such-model") && failure.hint.contains("obelysk model list"), "{failure:?}");
    let failure = obelysk(home.path(), ["run", "--preset", "tiny-chat"]).fails_with(10);
    assert!(failure.message.contains("no prompt"), "{failure:?}");
    assert!(!home.path().join("models").exists(), "nothing was done");
}

#[test]
fn a_token_outside_of_the_vocabulary_is_named() {
    let home = tempfile::tempdir().unwrap();
    let failure = obelysk(home.path(), ["run", "--preset", "tiny-chat", "--tokens", "1,512"]).fails_with(10);
    assert!(failure.message.contains("512"), "{failure:?}");
}

#[test]
fn an_answer_of_no_tokens_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["run", "--preset", "tiny-chat", "--prompt", "hello", "--max-new-tokens", "0"];
    obelysk(home.path(), arguments).fails_with(10);
}

#[test]
fn a_home_that_cannot_be_written_says_what_to_do() {
    for home in ["/sys/obelysk", "/dev/null/obelysk"] {
        let failure = obelysk(Path::new(home), ["model", "pull", "--preset", "tiny-chat"]).fails_with(41);
        assert!(failure.message.contains(home), "{failure:?}");
    }
    let failure = obelysk(Path::new("/sys/obelysk"), ["setup"]).fails_with(41);
    assert!(failure.hint.contains("--home"), "{failure:?}");
}

#[test]
fn a_full_disk_leaves_nothing_that_a_later_run_would_trust() {
    let mount = tempfile::tempdir().unwrap();
    let Some(volume) = SmallVolume::mount(mount.path(), "2m") else { return };
    let home = mount.path().join("home");
    let run = ["run", "--preset", "tiny-chat", "--tokens", "1,2", "--max-new-tokens", "1"];
    let failure = obelysk(&home, run).fails_with(40);
    assert!(failure.message.contains(home.to_str().unwrap()), "{failure:?}");
    assert!(failure.hint.contains("--home"), "{failure:?}");
    volume.resize("64m");
    obelysk(&home, run).ok();
}

#[test]
fn a_damaged_file_of_the_home_is_found_and_pulling_again_repairs_it() {
    let home = tempfile::tempdir().unwrap();
    let pull = ["model", "pull", "--preset", "tiny-chat"];
    let pulled = obelysk(home.path(), pull).ok();
    let weights = Path::new(pulled["folder"].as_str().unwrap()).join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    bytes[500_000] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let failure = obelysk(home.path(), ["validate", "--preset", "tiny-chat"]).fails_with(42);
    assert!(failure.message.contains("model.safetensors") && failure.hint.contains("model pull"), "{failure:?}");
    obelysk(home.path(), pull).ok();
    obelysk(home.path(), ["validate", "--preset", "tiny-chat"]).ok();
}

#[test]
fn a_model_folder_with_a_manifest_is_compared_with_it() {
    let home = tempfile::tempdir().unwrap();
    let pulled = obelysk(home.path(), ["model", "pull", "--preset", "tiny-chat"]).ok();
    let folder = pulled["folder"].as_str().unwrap();
    let other_home = tempfile::tempdir().unwrap();
    let validate = ["validate", "--model-dir", folder];
    let revision = obelysk(other_home.path(), validate).ok()["revision"].clone();
    assert_eq!(revision, pulled["revision"]);
    fs::write(Path::new(folder).join("chat_template.jinja"), "other").unwrap();
    let failure = obelysk(other_home.path(), validate).fails_with(42);
    assert!(failure.message.contains("chat_template.jinja"), "{failure:?}");
}

#[test]
fn damaged_prepared_weights_are_found() {
    let home = tempfile::tempdir().unwrap();
    let prepared = obelysk(home.path(), ["model", "prepare", "--preset", "tiny-chat"]).ok();
    let weights = Path::new(prepared["folder"].as_str().unwrap()).join("weights.q");
    let mut bytes = fs::read(&weights).unwrap();
    bytes[1000] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let run = ["run", "--preset", "tiny-chat", "--tokens", "1,2", "--max-new-tokens", "1"];
    let failure = obelysk(home.path(), run).fails_with(42);
    assert!(failure.message.contains("weights.q"), "{failure:?}");
}

#[test]
fn pipes_in_place_of_prepared_files_are_found_without_waiting() {
    let home = tempfile::tempdir().unwrap();
    let prepared = obelysk(home.path(), ["model", "prepare", "--preset", "tiny-chat"]).ok();
    let folder = Path::new(prepared["folder"].as_str().unwrap());
    for name in ["weights.q", "model.json"] {
        let (kept, path) = (folder.join("kept"), folder.join(name));
        fs::rename(&path, &kept).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let infer = ["infer", "--preset", "tiny-chat", "--tokens", "1,2", "--engine", "integer"];
        let failure = obelysk(home.path(), infer).fails_with(42);
        assert!(failure.message.contains(name) && failure.message.contains("not a regular file"), "{failure:?}");
        fs::rename(&kept, &path).unwrap();
    }
}

#[test]
fn a_folder_with_other_things_in_it_is_not_written_to() {
    let home = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("thesis.txt"), "years of work").unwrap();
    let arguments = ["run", "--preset", "tiny-chat", "--tokens", "1,2", "--out", out.path().to_str().unwrap()];
    let failure = obelysk(home.path(), arguments).fails_with(10);
    assert!(failure.message.contains("neither empty"), "{failure:?}");
}

#[test]
fn a_nonce_that_is_not_32_bytes_is_refused_before_any_work() {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["run", "--preset", "tiny-chat", "--prompt", "hello", "--nonce", "abc"];
    let failure = obelysk(home.path(), arguments).fails_with(10);
    assert!(failure.message.contains("nonce"), "{failure:?}");
    assert!(!home.path().join("models").exists(), "nothing was done");
}

/// A volume in memory of a chosen size. Mounting needs root.
struct SmallVolume<'a> {
    folder: &'a Path,
}

impl<'a> SmallVolume<'a> {
    fn mount(folder: &'a Path, size: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder)
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("SKIPPED: mounting a small volume needs root; what a full disk does is not tested");
            return None;
        }
        Some(Self { folder })
    }

    fn resize(&self, size: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(self.folder)
            .status()
            .expect("mount starts");
        assert!(status.success(), "the volume does not grow");
    }
}

impl Drop for SmallVolume<'_> {
    fn drop(&mut self) {
        // A failed unmount leaves a small volume behind and must not hide why a test failed.
        let _ = Command::new("umount").arg(self.folder).status();
    }
}
