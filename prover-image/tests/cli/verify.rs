//! A stranger's check of a folder: `obelysk-verify` with nothing but the folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::program::{obelysk, obelysk_verify, verifier};

/// One proof for all tests of this file, made with a known nonce.
struct Proven {
    folder: tempfile::TempDir,
    digest: String,
}

fn proven() -> &'static Proven {
    static PROVEN: OnceLock<Proven> = OnceLock::new();
    PROVEN.get_or_init(|| {
        let home = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_str().unwrap();
        let nonce = "5a".repeat(32);
        let question = ["run", "--preset", "tiny-chat", "--prompt", "What is 7 + 5?", "--chat"];
        let limits = ["--max-new-tokens", "3", "--nonce", &nonce, "--out", out];
        obelysk(home.path(), question.iter().chain(&limits)).ok();
        let digest = obelysk(home.path(), ["model", "digest", "--preset", "tiny-chat"]).ok()["modelDigest"].clone();
        Proven { folder, digest: digest.as_str().unwrap().into() }
    })
}

/// The three files that a stranger gets, where a test may change them.
fn three_files(target: &Path) -> PathBuf {
    for file in ["model.json", "statement.json", "proof.bin"] {
        fs::copy(proven().folder.path().join(file), target.join(file)).unwrap();
    }
    target.to_path_buf()
}

fn edit(folder: &Path, file: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.join(file);
    let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

fn code_of(folder: &Path, more: &[&str]) -> i32 {
    obelysk_verify([folder.to_str().unwrap()].iter().chain(more)).code
}

#[test]
fn three_files_are_enough_to_accept_a_proof() {
    let folder = tempfile::tempdir().unwrap();
    let folder = three_files(folder.path());
    let outcome = obelysk_verify([folder.to_str().unwrap(), "--model-digest", &proven().digest, "--json"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let report = outcome.json();
    assert_eq!(report["status"], "valid");
    assert_eq!(report["modelDigest"], proven().digest);
    assert_eq!(report["modelDigestExpected"], true);
    assert_eq!(report["outputTokens"], json!([26, 266, 224]));
    assert!(report["securityBits"].as_f64().unwrap() >= 100.0, "{report}");
    assert!(!report["security"].as_array().unwrap().is_empty());
    assert!(!outcome.stderr.contains("WARNING"));
}

#[test]
fn without_a_digest_the_verifier_warns_loudly() {
    let outcome = obelysk_verify([proven().folder.path()]);
    assert_eq!(outcome.code, 0);
    assert!(outcome.stderr.contains("WARNING") && outcome.stderr.contains("whatever this folder claims"));
    assert!(outcome.stdout.contains(&proven().digest));
}

#[test]
fn other_expectations_are_not_met() {
    let folder = proven().folder.path();
    let other = format!("{}{}", if proven().digest.starts_with('0') { '1' } else { '0' }, &proven().digest[1..]);
    assert_eq!(code_of(folder, &["--model-digest", &other]), 1);
    assert_eq!(code_of(folder, &["--model-digest", "nonsense"]), 1);
    assert_eq!(code_of(folder, &["--output-tokens", "26,266,224"]), 0);
    assert_eq!(code_of(folder, &["--output-tokens", "26,266"]), 1);
    assert_eq!(code_of(folder, &["--prompt-tokens", "1,88"]), 1);
    assert_eq!(code_of(folder, &["--nonce", &"5a".repeat(32)]), 0);
    assert_eq!(code_of(folder, &["--nonce", &"5b".repeat(32)]), 1);
}

type Change = fn(&mut Value);

#[test]
fn a_changed_statement_is_not_proven() {
    let changes: [(&str, Change); 7] = [
        ("an output token", |claim| claim["outputTokens"][0] = json!(27)),
        ("a prompt token", |claim| claim["promptTokens"][5] = json!(268)),
        ("a shorter output", |claim| drop(claim["outputTokens"].as_array_mut().unwrap().pop())),
        ("a longer prompt", |claim| claim["promptTokens"].as_array_mut().unwrap().insert(0, json!(1))),
        ("the nonce", |claim| claim["nonce"] = json!("00".repeat(32))),
        ("the weight root", |claim| claim["weightRoot"] = json!("00".repeat(32))),
        ("the model digest", |claim| claim["modelDigest"] = json!("00".repeat(32))),
    ];
    for (what, change) in changes {
        let folder = tempfile::tempdir().unwrap();
        let folder = three_files(folder.path());
        edit(&folder, "statement.json", change);
        assert_eq!(code_of(&folder, &[]), 1, "{what}");
    }
}

#[test]
fn a_changed_model_is_not_proven() {
    let folder = tempfile::tempdir().unwrap();
    let folder = three_files(folder.path());
    edit(&folder, "model.json", |model| model["rotary"]["theta"] = json!(10_000));
    assert_eq!(code_of(&folder, &[]), 1);
}

#[test]
fn changed_truncated_and_extended_proofs_are_refused() {
    let proof = fs::read(proven().folder.path().join("proof.bin")).unwrap();
    let mut changed = proof.clone();
    changed[proof.len() / 2] ^= 1;
    let extended = [&proof[..], &[0]].concat();
    for bytes in [&changed[..], &proof[..proof.len() - 1], &extended, &[]] {
        let folder = tempfile::tempdir().unwrap();
        let folder = three_files(folder.path());
        fs::write(folder.join("proof.bin"), bytes).unwrap();
        assert_eq!(code_of(&folder, &[]), 1, "{} bytes", bytes.len());
    }
}

#[test]
fn what_cannot_be_read_is_not_called_invalid() {
    assert_eq!(code_of(Path::new("/nonexistent"), &[]), 2);
    for file in ["model.json", "statement.json", "proof.bin"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = three_files(folder.path());
        fs::remove_file(folder.join(file)).unwrap();
        let outcome = obelysk_verify([&folder]);
        assert_eq!(outcome.code, 2);
        assert!(outcome.stderr.contains(file), "{}", outcome.stderr);
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = three_files(folder.path());
    fs::write(folder.join("statement.json"), "{").unwrap();
    assert_eq!(code_of(&folder, &[]), 2);
}

#[test]
fn a_file_that_never_ends_is_not_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let folder = three_files(folder.path());
    fs::remove_file(folder.join("proof.bin")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.join("proof.bin")).unwrap();
    let outcome = obelysk_verify([&folder]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("not a regular file"), "{}", outcome.stderr);
    fs::remove_file(folder.join("proof.bin")).unwrap();
    fs::File::create(folder.join("proof.bin")).unwrap().set_len(1 << 40).unwrap();
    let outcome = obelysk_verify([&folder]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.stderr.contains("more than"), "{}", outcome.stderr);
}

#[test]
fn pipes_and_folders_in_place_of_files_are_not_waited_for() {
    for file in ["model.json", "statement.json", "proof.bin"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = three_files(folder.path());
        let path = folder.join(file);
        fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let outcome = obelysk_verify([&folder]).told(&format!("verify-fifo, {file}"));
        assert_eq!(outcome.code, 2);
        assert!(outcome.stderr.contains("not a regular file"), "{}", outcome.stderr);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(obelysk_verify([&folder]).told(&format!("verify of a folder {file}")).code, 2);
    }
}

#[test]
fn no_changed_byte_is_accepted_or_crashes_the_verifier() {
    for (file, samples) in [("model.json", 40), ("statement.json", 40), ("proof.bin", 40)] {
        let folder = tempfile::tempdir().unwrap();
        let folder = three_files(folder.path());
        let original = fs::read(folder.join(file)).unwrap();
        // A prime stride visits every kind of place.
        for position in (0..samples).map(|sample| sample * 7_919 % original.len()) {
            for mask in [1, 0x80] {
                let mut changed = original.clone();
                changed[position] ^= mask;
                fs::write(folder.join(file), changed).unwrap();
                let code = code_of(&folder, &[]);
                assert!(code == 1 || code == 2, "{file}: byte {position} ^ {mask:#x} ends with {code}");
            }
        }
    }
}

#[test]
fn a_reader_that_went_away_does_not_change_the_verdict() {
    let script = format!("'{}' '{}' 2>/dev/null >&-", verifier().display(), proven().folder.path().display());
    let status = std::process::Command::new("sh").args(["-c", &script]).status().unwrap();
    assert_eq!(status.code(), Some(0));
    let script = script.replace(">&-", ">/dev/full");
    let status = std::process::Command::new("sh").args(["-c", &script]).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn an_object_that_a_program_waits_for_and_cannot_be_written_is_an_error() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = std::process::Command::new(verifier()).arg(proven().folder.path()).arg("--json").stdout(full).output();
    let outcome = crate::program::Outcome::of(output.unwrap()).told("stdout-full, obelysk-verify");
    assert_eq!(outcome.code, 2, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("stdout"), "{}", outcome.stderr);
}
