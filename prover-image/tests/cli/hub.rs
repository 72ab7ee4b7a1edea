//! Models of a hub, from a stand-in on the loopback: pinned, resumed, checked, and used without a network afterwards.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use obelysk_stand_in_hub::{Faults, Server};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::model::{copy_of_fixture, shard_by_layer};
use crate::program::{Outcome, command, obelysk_verify};

struct Hub {
    server: Server,
    root: TempDir,
    home: TempDir,
}

impl Hub {
    fn of(fixtures: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let organisation = root.path().join("tiny-org");
        fs::create_dir(&organisation).unwrap();
        for name in fixtures {
            copy_of_fixture(&organisation, name);
        }
        let server = Server::start(root.path().into(), &[("tiny-org/llama31", "hf_good")]);
        Self { server, root, home: tempfile::tempdir().unwrap() }
    }

    fn obelysk(&self, arguments: &[&str], token: Option<&str>) -> Outcome {
        let mut command = command(self.home.path());
        command.env("HF_ENDPOINT", self.server.endpoint()).env_remove("HF_TOKEN");
        command.env("HF_TOKEN_PATH", self.home.path().join("no-token"));
        if let Some(token) = token {
            command.env("HF_TOKEN", token);
        }
        Outcome::of(command.arg("--json").args(arguments).output().unwrap())
    }
}

#[test]
fn a_model_of_a_hub_is_downloaded_proven_and_checked() {
    let hub = Hub::of(&["gemma2"]);
    let out = hub.home.path().join("proof");
    let model = ["--hf-model", "tiny-org/gemma2"];
    let run =
        [&["run"], &model[..], &["--prompt", "hello world", "--max-new-tokens", "3", "--accept-quality", "--out"]]
            .concat();
    let report = hub.obelysk(&[&run[..], &[out.to_str().unwrap()]].concat(), None).ok();
    let digest = hub.obelysk(&[&["model", "digest"], &model[..]].concat(), None).ok();
    assert_eq!(report["modelDigest"], digest["modelDigest"]);
    let digest = digest["modelDigest"].as_str().unwrap().to_owned();
    assert_eq!(obelysk_verify([out.to_str().unwrap(), "--model-digest", &digest]).code, 0);
}

#[test]
fn a_branch_is_pinned_and_later_commands_need_no_hub() {
    let hub = Hub::of(&["qwen3"]);
    let pulled = hub.obelysk(&["model", "pull", "--hf-model", "tiny-org/qwen3"], None).ok();
    let commit = pulled["revision"].as_str().unwrap();
    assert_eq!(commit.len(), 40);
    let _ = hub.server.take_log();
    for reference in ["tiny-org/qwen3", &format!("tiny-org/qwen3@{commit}")] {
        let shown = hub.obelysk(&["model", "show", "--hf-model", reference], None).ok();
        assert_eq!(shown["revision"], commit);
    }
    assert!(hub.server.take_log().is_empty(), "the pin and the files are in HOME");
}

#[test]
fn a_preset_is_its_repository_and_needs_no_hub_again() {
    let hub = Hub::of(&[]);
    let organisation = hub.root.path().join("HuggingFaceTB");
    fs::create_dir(&organisation).unwrap();
    fs::rename(copy_of_fixture(&organisation, "llama31"), organisation.join("SmolLM2-135M-Instruct")).unwrap();
    let pulled = hub.obelysk(&["model", "pull", "--hf-model", "HuggingFaceTB/SmolLM2-135M-Instruct"], None).ok();
    let _ = hub.server.take_log();
    let shown = hub.obelysk(&["model", "show", "--preset", "smollm2-135m"], None).ok();
    assert_eq!(shown["revision"], pulled["revision"]);
    assert!(hub.server.take_log().is_empty(), "the pin and the files are in HOME");
}

#[test]
fn every_changed_byte_of_a_manifest_is_noticed() {
    let hub = Hub::of(&["qwen3"]);
    let pulled = hub.obelysk(&["model", "pull", "--hf-model", "tiny-org/qwen3"], None).ok();
    let commit = pulled["revision"].as_str().unwrap();
    let manifest = hub.home.path().join("models/tiny-org--qwen3").join(&commit[..12]).join("manifest.json");
    let content = fs::read(&manifest).unwrap();
    for place in (0..content.len()).step_by(13).chain([content.len() - 1]) {
        let mut changed = content.clone();
        changed[place] ^= 1;
        fs::write(&manifest, changed).unwrap();
        let failure = hub.obelysk(&["model", "show", "--hf-model", "tiny-org/qwen3"], None).fails_with(42);
        assert!(failure.message.contains("tiny-org--qwen3"), "byte {place}: {failure:?}");
    }
}

#[test]
fn the_first_layers_need_only_their_shards_and_are_another_model() {
    let hub = Hub::of(&["qwen3"]);
    let repository = hub.root.path().join("tiny-org/qwen3");
    shard_by_layer(&repository);
    let digest = |layers: &[&str]| {
        let arguments = [&["model", "digest", "--hf-model", "tiny-org/qwen3"], layers].concat();
        hub.obelysk(&arguments, None).ok()["modelDigest"].as_str().unwrap().to_owned()
    };
    let first = digest(&["--layers", "1"]);
    let shards = |log: Vec<obelysk_stand_in_hub::Request>| log.iter().filter(|request| request.to_store).count();
    let of_first = shards(hub.server.take_log());
    assert_eq!(of_first, 1, "one of two shards");
    let whole = digest(&[]);
    assert_ne!(first, whole);
    assert_eq!(digest(&["--layers", "2"]), whole, "all layers are the whole model");
    let folder = repository.to_str().unwrap();
    let local = hub.obelysk(&["model", "digest", "--layers", "1", "--model-dir", folder], None).ok();
    assert_eq!(local["modelDigest"], first.as_str(), "the same weights make the same model");
    let failure = hub.obelysk(&["validate", "--hf-model", "tiny-org/qwen3", "--layers", "3"], None);
    assert!(failure.fails_with(10).message.contains("3 layers"));
}

#[test]
fn a_gated_model_says_what_is_missing() {
    let hub = Hub::of(&["llama31"]);
    let pull = ["model", "pull", "--hf-model", "tiny-org/llama31"];
    let failure = hub.obelysk(&pull, None).fails_with(11);
    assert!(failure.hint.contains("HF_TOKEN"), "{failure:?}");
    let failure = hub.obelysk(&pull, Some("hf_bad")).fails_with(11);
    assert!(failure.hint.contains("licence") && !failure.message.contains("hf_bad"), "{failure:?}");
    hub.obelysk(&pull, Some("hf_good")).ok();
    assert!(!holds_text(hub.home.path(), "hf_good"), "the token is written nowhere");
    let failure = hub.obelysk(&["model", "pull", "--hf-model", "tiny-org/none"], None).fails_with(10);
    assert!(failure.message.contains("tiny-org/none"), "{failure:?}");
}

fn holds_text(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds_text(&path, text);
        }
        fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[test]
fn a_name_that_is_none_and_a_hub_that_is_none_are_told_apart() {
    let hub = Hub::of(&[]);
    assert!(hub.obelysk(&["model", "pull", "--hf-model", "../x"], None).fails_with(10).message.contains("../x"));
    let arguments = ["model", "pull", "--hf-model", "a/b", "--endpoint", "ftp://nowhere"];
    assert!(hub.obelysk(&arguments, None).fails_with(10).message.contains("ftp://nowhere"));
}

/// A repository with one large file of content that is its own offset.
fn large_repository(root: &Path, megabytes: usize) -> String {
    let folder = root.join("tiny-org/large");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), "{}").unwrap();
    let mut file = fs::File::create(folder.join("model.safetensors")).unwrap();
    let mut hasher = Sha256::new();
    for megabyte in 0..megabytes {
        let content: Vec<u8> =
            (0..1u32 << 17).flat_map(|i| (megabyte as u64 * (1 << 17) + u64::from(i)).to_le_bytes()).collect();
        hasher.update(&content);
        file.write_all(&content).unwrap();
    }
    hex::encode(hasher.finalize())
}

#[test]
fn a_download_of_a_gibibyte_survives_ten_kills_and_every_fault() {
    /// Of the large file.
    const MEGABYTES: usize = 1024;
    let hub = Hub::of(&[]);
    let expected = large_repository(hub.root.path(), MEGABYTES);
    let pull = || -> Child {
        let mut command = command(hub.home.path());
        command.env("HF_ENDPOINT", hub.server.endpoint()).stdout(Stdio::null()).stderr(Stdio::null());
        command.args(["model", "pull", "--hf-model", "tiny-org/large"]).spawn().unwrap()
    };
    let steady = Faults { rate: Some(600 << 20), ..Faults::default() };
    let faults = [
        Faults { cuts: 1, cut_after: 5 << 20, ..steady.clone() },
        Faults { expired: 1, ..steady.clone() },
        Faults { failures: 1, status: Some(429), retry_after: Some(0), ..steady.clone() },
        Faults { short_ranges: 1, ..steady.clone() },
    ];
    let part = |home: &Path| -> PathBuf {
        let models = home.join("models/tiny-org--large");
        let revision = fs::read_dir(models).unwrap().map(|entry| entry.unwrap().path());
        let revision = revision.into_iter().find(|path| path.join(".lock").exists()).unwrap();
        revision.join("model.safetensors")
    };
    // Moments that depend on nothing but this list.
    for (kill, milliseconds) in [180u64, 310, 95, 420, 260, 140, 375, 205, 330, 120].into_iter().enumerate() {
        hub.server.set(faults.get(kill % 5).cloned().unwrap_or_else(|| steady.clone()));
        let mut child = pull();
        std::thread::sleep(Duration::from_millis(milliseconds + if kill == 0 { 6000 } else { 0 }));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    hub.server.set(steady);
    assert!(pull().wait().unwrap().success());
    let path = part(hub.home.path());
    let mut hasher = Sha256::new();
    std::io::copy(&mut fs::File::open(&path).unwrap(), &mut hasher).unwrap();
    assert_eq!(hex::encode(hasher.finalize()), expected);
    let twice = hub.server.sent().saturating_sub((MEGABYTES as u64) << 20) >> 20;
    println!("{twice} MiB sent twice");
    assert!(twice <= 64, "{twice} MiB sent twice");
}

#[test]
fn a_flipped_byte_never_becomes_a_model() {
    let hub = Hub::of(&["qwen3"]);
    hub.server.set(Faults { flips: 1000, ..Faults::default() });
    let failure = hub.obelysk(&["model", "pull", "--hf-model", "tiny-org/qwen3"], None).fails_with(42);
    assert!(failure.message.contains("model.safetensors"), "{failure:?}");
    hub.server.set(Faults::default());
    hub.obelysk(&["model", "pull", "--hf-model", "tiny-org/qwen3"], None).ok();
}
