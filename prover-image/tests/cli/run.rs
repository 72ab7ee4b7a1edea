//! Whole runs, resumption, and single steps.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::model::copy_of_fixture;
use crate::program::{Outcome, command, obelysk};

const QUESTION: [&str; 5] = ["--preset", "tiny-chat", "--prompt", "What is 7 + 5?", "--chat"];

fn run(home: &Path, out: &Path, more: &[&str]) -> Outcome {
    let out = ["--out", out.to_str().unwrap()];
    obelysk(home, ["run"].iter().chain(&QUESTION).chain(&out).chain(more))
}

fn step_names(report: &Value) -> Vec<&str> {
    report["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect()
}

#[test]
fn a_run_answers_proves_and_audits() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    let report = run(home.path(), &out, &["--dry-run"]).ok();
    assert_eq!(report["text"], "7 + 5 = 12.");
    assert_eq!(report["floatText"], "7 + 5 = 12.");
    assert_eq!(report["integerMatchesFloat"], "10/10");
    assert_eq!(report["promptTokens"].as_array().unwrap().len(), 24);
    assert_eq!(report["outputTokens"], serde_json::json!([26, 266, 224, 24, 260, 224, 20, 21, 17, 2]));
    assert_eq!(report["modelDigest"].as_str().unwrap().len(), 64);
    let proof = &report["proof"];
    assert_eq!(proof["mode"], "gkr");
    assert_eq!(proof["profile"], "blake2s");
    assert!(proof["securityBits"].as_f64().unwrap() >= 100.0, "{proof}");
    assert!(proof["provingSeconds"].as_f64().unwrap() > 0.0 && proof["verifySeconds"].as_f64().unwrap() > 0.0);
    assert_eq!(proof["sizeBytes"], fs::metadata(proof["path"].as_str().unwrap()).unwrap().len());
    assert_eq!(proof["submissionReady"], false);
    assert_eq!(report["audit"]["verdict"], "pass");
    assert_eq!(
        step_names(&report),
        ["model", "validate", "inference", "capture", "prove", "verify", "audit", "submit"]
    );
    let files = [
        "run.json",
        "inference.json",
        "log/meta.json",
        "log/log.jsonl",
        "log/matrices.bin",
        "model.json",
        "statement.json",
        "proof.bin",
        "proof.json",
        "verification.json",
        "audit.json",
        "submission.json",
    ];
    let sums = fs::read_to_string(out.join("SHA256SUMS")).unwrap();
    for file in files {
        assert!(out.join(file).is_file(), "{file} is missing");
        assert!(sums.contains(&format!("  {file}\n")), "{file} is not in SHA256SUMS");
    }
}

#[test]
fn a_run_audits_its_log_with_what_it_proved() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    run(home.path(), &out, &["--max-new-tokens", "2"]).ok();
    let path = out.join("log/matrices.bin");
    let mut matrices = fs::read(&path).unwrap();
    matrices[0] ^= 1;
    fs::write(&path, matrices).unwrap();
    let failure = run(home.path(), &out, &["--max-new-tokens", "2", "--resume-from", "prove"]).fails_with(21);
    assert!(failure.message.contains("other logits than matrices.bin holds"), "{failure:?}");
}

#[test]
fn a_run_that_ends_before_its_capture_leaves_the_proof_of_an_earlier_one() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    let proof = |outcome: Outcome| outcome.ok()["proof"]["sha256"].clone();
    let earlier = proof(run(home.path(), &out, &["--max-new-tokens", "1"]));
    let model = copy_of_fixture(home.path(), "qwen3");
    fs::write(model.join("model.safetensors"), "cut").unwrap();
    let damaged = ["run", "--tokens", "1", "--out", out.to_str().unwrap(), "--model-dir", model.to_str().unwrap()];
    obelysk(home.path(), damaged).fails_with(12);
    let facts: Value = serde_json::from_slice(&fs::read(out.join("proof.json")).unwrap()).unwrap();
    assert_eq!(facts["sha256"], earlier);
    obelysk(home.path(), ["verify", out.to_str().unwrap()]).ok();
}

#[test]
fn a_log_of_other_prompts_or_limits_is_not_taken_over() {
    let home = tempfile::tempdir().unwrap();
    let (out, other) = (home.path().join("out"), home.path().join("other"));
    run(home.path(), &out, &["--max-new-tokens", "2"]).ok();
    let limit = ["--max-new-tokens", "3"];
    run(home.path(), &other, &limit).ok();
    for file in ["log.jsonl", "meta.json", "matrices.bin"] {
        fs::copy(other.join("log").join(file), out.join("log").join(file)).unwrap();
    }
    let resume = ["--resume-from", "prove"];
    let failure = run(home.path(), &out, &[&["--max-new-tokens", "2"], &resume[..]].concat()).fails_with(42);
    assert!(failure.message.contains("limits are others"), "{failure:?}");

    let question = ["--preset", "tiny-chat", "--prompt", "What is 2 + 2?", "--chat"];
    obelysk(home.path(), ["run", "--out", out.to_str().unwrap()].iter().chain(&question).chain(&limit)).ok();
    for file in ["log.jsonl", "meta.json", "matrices.bin"] {
        fs::copy(out.join("log").join(file), other.join("log").join(file)).unwrap();
    }
    let failure = run(home.path(), &other, &[&limit[..], &resume].concat()).fails_with(42);
    assert!(failure.message.contains("other prompts"), "{failure:?}");
}

#[test]
fn a_model_of_home_whose_files_change_is_prepared_again() {
    let home = tempfile::tempdir().unwrap();
    let folder = copy_of_fixture(home.path(), "qwen3");
    let other = home.path().join("other");
    fs::create_dir(&other).unwrap();
    let other = copy_of_fixture(&other, "qwen3");
    let weights = other.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    // The exponent of one weight.
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let digest = |command: &str, folder: &Path| {
        let model = ["model", command, "--model-dir", folder.to_str().unwrap()];
        let accept = if command == "prepare" { &["--accept-quality"][..] } else { &[] };
        obelysk(home.path(), model.iter().chain(accept)).ok()["modelDigest"].as_str().unwrap().to_owned()
    };
    let [before, after] = [&folder, &other].map(|folder| digest("digest", folder));
    assert_ne!(before, after);
    assert_eq!(digest("prepare", &folder), before);
    fs::copy(&weights, folder.join("model.safetensors")).unwrap();
    assert_eq!(digest("prepare", &folder), after);

    // What lies under the name of a quantised model is compared with what the quantiser makes.
    let kept = |folder: &Path| {
        let mut entries = fs::read_dir(folder.join("quant")).unwrap().map(|entry| entry.unwrap().path());
        entries.find(|path| path.is_dir()).unwrap()
    };
    fs::remove_dir_all(folder.join("quant")).unwrap();
    digest("digest", &folder);
    let name = kept(&folder);
    fs::copy(kept(&other).join("model.json"), name.join("model.json")).unwrap();
    fs::write(name.join("weights.q"), "damaged").unwrap();
    assert_eq!(digest("digest", &folder), after);
}

#[test]
fn a_models_files_are_hashed_once_and_again_on_demand() {
    let home = tempfile::tempdir().unwrap();
    let show = |more: &[&str]| obelysk(home.path(), ["model", "show", "--preset", "tiny-chat"].iter().chain(more));
    let folder = show(&[]).ok()["folder"].as_str().unwrap().to_owned();
    let known = Path::new(&folder).join("known.json");
    // What has just been written may change again within a tick of the clock.
    thread::sleep(Duration::from_millis(3100));
    show(&[]).ok();
    let remembered = fs::read_to_string(&known).unwrap();
    let digest = remembered.split("\"digest\":\"").nth(1).unwrap()[..64].to_owned();
    fs::write(&known, remembered.replace(&digest, &"0".repeat(64))).unwrap();
    assert!(show(&[]).fails_with(42).message.contains("differs from its SHA-256"), "what is remembered is believed");
    show(&["--verify"]).ok();
    show(&[]).ok();
}

#[test]
fn sha256sum_accepts_the_sums_of_a_run() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    run(home.path(), &out, &["--max-new-tokens", "1"]).ok();
    let status = std::process::Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(&out)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_run_resumes_from_the_proof_without_running_the_engines_again() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    let first = run(home.path(), &out, &["--max-new-tokens", "2"]).ok();
    let resumed = run(home.path(), &out, &["--max-new-tokens", "2", "--resume-from", "prove"]).ok();
    assert_eq!(step_names(&resumed), ["model", "validate", "prove", "verify", "audit", "submit"]);
    for fact in ["logHead", "outputTokens", "modelDigest", "floatText"] {
        assert_eq!(resumed[fact], first[fact], "{fact}");
    }
    assert_ne!(resumed["proof"]["sha256"], first["proof"]["sha256"], "another nonce gives another proof");
}

#[test]
fn a_killed_run_is_incomplete_and_can_be_resumed() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    let arguments = ["--json", "run", "--max-new-tokens", "2", "--out", out.to_str().unwrap()];
    let mut running = command(home.path())
        .args(arguments)
        .args(QUESTION)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The log is the last file before the long work of the proof.
    let start = Instant::now();
    while !out.join("log/log.jsonl").exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "the log never comes");
        thread::sleep(Duration::from_millis(5));
    }
    running.kill().unwrap();
    running.wait().unwrap();
    assert!(!out.join("SHA256SUMS").exists() && !out.join("proof.bin").exists(), "it was killed before the proof");
    let resumed = run(home.path(), &out, &["--max-new-tokens", "2", "--resume-from", "prove"]).ok();
    assert_eq!(resumed["outputTokens"], serde_json::json!([26, 266]));
}

#[test]
fn equal_nonces_give_equal_proofs() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    let nonce = "07".repeat(32);
    let more = ["--max-new-tokens", "1", "--nonce", &nonce];
    let first = run(home.path(), &out, &more).ok();
    let second = run(home.path(), &home.path().join("second"), &more).ok();
    assert_eq!(first["proof"]["sha256"], second["proof"]["sha256"]);
}

#[test]
fn a_run_with_other_inputs_is_not_resumed() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    run(home.path(), &out, &["--max-new-tokens", "1"]).ok();
    let failure = run(home.path(), &out, &["--max-new-tokens", "2", "--resume-from", "prove"]).fails_with(10);
    assert!(failure.message.contains("other inputs"), "{failure:?}");
}

#[test]
fn a_changed_log_is_not_resumed() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    run(home.path(), &out, &["--max-new-tokens", "1"]).ok();
    let log = out.join("log/log.jsonl");
    fs::write(&log, fs::read_to_string(&log).unwrap().replace("\"index\":0", "\"index\":1")).unwrap();
    let failure = run(home.path(), &out, &["--max-new-tokens", "1", "--resume-from", "prove"]).fails_with(42);
    assert!(failure.message.contains("log.jsonl"), "{failure:?}");
    assert!(!out.join("SHA256SUMS").exists(), "the folder no longer counts as complete");
}

#[test]
fn without_a_folder_the_same_command_finds_its_run_again() {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["run", "--preset", "tiny-chat", "--tokens", "1,88", "--max-new-tokens", "1", "--skip-inference"];
    let first = obelysk(home.path(), arguments).ok();
    let resumed = obelysk(home.path(), arguments.iter().chain(&["--resume-from", "verify"])).ok();
    assert_eq!(first["out"], resumed["out"]);
    assert_eq!(first["proof"]["sha256"], resumed["proof"]["sha256"]);
    assert_eq!(step_names(&resumed), ["model", "validate", "verify", "audit", "submit"]);
    assert_eq!(first["integerMatchesFloat"], Value::Null, "the float engine was left out");
}

#[test]
fn a_folder_with_a_qwen3_model_is_proven_whatever_its_shards() {
    let home = tempfile::tempdir().unwrap();
    let reports = ["qwen3", "qwen3_sharded"].map(|name| {
        let model = copy_of_fixture(home.path(), name);
        let arguments = ["run", "--tokens", "1,40,50", "--max-new-tokens", "2", "--model-dir", model.to_str().unwrap()];
        // Random weights have near ties everywhere.
        obelysk(home.path(), arguments.iter().chain(&["--accept-quality"])).ok()
    });
    assert_eq!(reports[0]["modelDigest"], reports[1]["modelDigest"], "how weights are cut into files is no property");
    assert_eq!(reports[0]["outputTokens"], reports[1]["outputTokens"]);
    assert_ne!(reports[0]["out"], reports[1]["out"], "runs on other files are other runs");
}

#[test]
fn single_steps_add_up_to_a_run() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    let out = out.to_str().unwrap();
    let captured = obelysk(home.path(), ["capture"].iter().chain(&QUESTION).chain(&["--out", out])).ok();
    assert!(!Path::new(out).join("SHA256SUMS").exists(), "a captured log is not a proof");
    obelysk(home.path(), ["verify", out]).fails_with(42);
    let proved = obelysk(home.path(), ["prove", "--out", out]).ok();
    assert_eq!(proved["proof"]["logHead"], captured["logHead"]);
    let digest = obelysk(home.path(), ["model", "digest", "--preset", "tiny-chat"]).ok()["modelDigest"].clone();
    assert_eq!(captured["modelDigest"], digest);
    obelysk(home.path(), ["verify", out, "--model-digest", digest.as_str().unwrap()]).ok();
    obelysk(home.path(), ["verify", out, "--model-digest", &"00".repeat(32)]).fails_with(21);
    assert_eq!(obelysk(home.path(), ["audit", out]).ok()["audit"]["verdict"], "pass");
    let submission = obelysk(home.path(), ["submit", out]).ok()["submission"].clone();
    assert_eq!(submission["submissionReady"], false);
    assert!(submission["notReadyReason"].as_str().unwrap().len() > 20);
    obelysk(home.path(), ["submit", out, "--submit"]).fails_with(22);
}

#[test]
fn prompts_share_a_proof_and_repetitions_add_nothing_to_it() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    let second = ["--prompt", "What is 2 + 9?", "--count", "2", "--max-new-tokens", "3"];
    let report = run(home.path(), &out, &second).ok();
    assert_eq!(report["logEntries"], 4);
    let further = report["further"].as_array().unwrap();
    assert_eq!(further.len(), 1, "each prompt once");
    assert_eq!(report["integerMatchesFloat"], "6/6");
    let single = home.path().join("single");
    let alone = obelysk(
        home.path(),
        ["run", "--preset", "tiny-chat", "--chat", "--max-new-tokens", "3", "--out", single.to_str().unwrap()]
            .iter()
            .chain(&second[..2]),
    )
    .ok();
    assert_eq!(alone["outputTokens"], further[0]["outputTokens"], "an answer does not depend on who shares the proof");
    assert_eq!(alone["further"], serde_json::json!([]));

    let ids = |tokens: &Value| tokens.as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>().join(",");
    let verify = |prompt: &Value, output: &Value| {
        let mut command = std::process::Command::new(crate::program::verifier());
        command.arg(&out).args(["--prompt-tokens", &ids(prompt), "--output-tokens", &ids(output), "--json"]);
        command.output().unwrap().status.code()
    };
    assert_eq!(verify(&report["promptTokens"], &report["outputTokens"]), Some(0));
    assert_eq!(verify(&further[0]["promptTokens"], &further[0]["outputTokens"]), Some(0));
    assert_eq!(verify(&further[0]["promptTokens"], &report["outputTokens"]), Some(1), "answers belong to prompts");
}

#[test]
fn a_log_holds_at_most_a_thousand_inferences() {
    let home = tempfile::tempdir().unwrap();
    let failure = run(home.path(), &home.path().join("out"), &["--prompt", "again", "--count", "501"]).fails_with(10);
    assert!(failure.message.contains("1000"), "{failure:?}");
}

#[test]
fn an_audit_names_the_file_of_a_changed_byte() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    run(home.path(), &out, &["--max-new-tokens", "1"]).ok();
    let out_name = out.to_str().unwrap().to_owned();
    let audit = || obelysk(home.path(), ["audit", &out_name]);
    let flip = |file: &str, place: usize| {
        let mut bytes = fs::read(out.join(file)).unwrap();
        let place = place.min(bytes.len() - 2);
        bytes[place] ^= 1;
        fs::write(out.join(file), bytes).unwrap();
    };
    let files = [
        "log/meta.json",
        "log/log.jsonl",
        "log/matrices.bin",
        "model.json",
        "statement.json",
        "proof.bin",
        "proof.json",
        "SHA256SUMS",
    ];
    for file in files {
        for place in [0, 100, usize::MAX] {
            flip(file, place);
            let failure = audit().fails_with(42);
            assert!(failure.message.contains(file), "{file}, byte {place}: {failure:?}");
            flip(file, place);
        }
    }
    audit().ok();

    // An audit does not live off the sums: whoever changes a file can change them too.
    fs::remove_file(out.join("SHA256SUMS")).unwrap();
    let found = [
        ("log/meta.json", 60, 12, "the log"),
        ("log/log.jsonl", 100, 42, "log.jsonl"),
        ("log/matrices.bin", 0, 21, "other logits"),
        ("model.json", 100, 21, "model.json"),
        ("statement.json", 100, 21, "statement.json"),
        ("proof.bin", 100_000, 21, "proof.bin"),
        ("proof.json", 20, 21, "proof.json"),
    ];
    for (file, place, code, words) in found {
        flip(file, place);
        let failure = audit().fails_with(code);
        assert!(failure.message.contains(words), "{file}: {failure:?}");
        flip(file, place);
    }
    audit().ok();
}

#[test]
fn an_archive_holds_the_folder() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    run(home.path(), &out, &["--max-new-tokens", "1"]).ok();
    let archive = command(home.path()).args(["artifacts", "tar"]).arg(&out).output().unwrap();
    assert!(archive.status.success());
    let unpacked = tempfile::tempdir().unwrap();
    tar::Archive::new(&archive.stdout[..]).unpack(unpacked.path()).unwrap();
    for file in ["SHA256SUMS", "proof.bin", "log/log.jsonl"] {
        assert_eq!(fs::read(out.join(file)).unwrap(), fs::read(unpacked.path().join(file)).unwrap(), "{file}");
    }
}

#[test]
fn both_engines_answer_and_write_their_logits() {
    let home = tempfile::tempdir().unwrap();
    for (engine, dtype) in [("float", "F32"), ("integer", "I32")] {
        let file = home.path().join(format!("{engine}.safetensors"));
        let arguments = ["infer", "--engine", engine, "--logits", file.to_str().unwrap()];
        let answer = obelysk(home.path(), arguments.iter().chain(&QUESTION)).ok();
        assert_eq!(answer["text"], "7 + 5 = 12.");
        assert!(answer["tokensPerSecond"].as_f64().unwrap() > 0.0);
        let bytes = fs::read(file).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        assert_eq!(header["logits"]["dtype"], dtype);
        assert_eq!(header["logits"]["shape"], serde_json::json!([24, 512]));
    }
}

#[test]
fn without_json_the_answer_is_for_people() {
    let home = tempfile::tempdir().unwrap();
    let output = command(home.path()).args(["infer"]).args(QUESTION).output().unwrap();
    assert_eq!(Outcome::of(output).stdout, "7 + 5 = 12.\n");
}
