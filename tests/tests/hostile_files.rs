//! Files made to waste time or memory, or to make the verifier panic: refused, as fast as honest ones are read.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use std::{env, fs};

use obelysk_tests::hostile::{Files, check, check_folder, leaves};
use obelysk_verifier::folder::FolderError;
use proptest::prelude::*;
use rayon::prelude::*;
use serde_json::{Value, json};

/// Of a model that has every kind of norm, and of one whose scores have no cap.
static HONEST: LazyLock<[Files; 2]> = LazyLock::new(|| ["gemma2", "qwen3"].map(Files::of_fixture));

/// Longest that a check of small files may take; honest ones take a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// The program's verdict, which is never that garbage proves something.
fn refused(files: &Files) -> FolderError {
    let start = Instant::now();
    let refused = files.check(&[0; 64]).expect_err("nothing is proven by zeros");
    assert!(start.elapsed() < PATIENCE, "{:?}: {refused}", start.elapsed());
    refused
}

#[test]
fn no_value_of_a_model_or_claim_wastes_time() {
    let values = [1, 1 << 17, (1 << 47) - 1, u64::MAX];
    for honest in HONEST.iter() {
        leaves(&honest.model).par_iter().for_each(|pointer| {
            for value in values {
                let mut changed = honest.clone();
                *changed.model.pointer_mut(pointer).unwrap() = json!(value);
                refused(&changed);
            }
        });
    }
}

#[test]
fn a_score_step_near_zero_is_refused_by_name() {
    for step in [0, 1, 5000, (1 << 24) - 1] {
        let mut files = HONEST[0].clone();
        files.model["attention"]["score_step"] = json!(step);
        let reason = refused(&files).to_string();
        assert!(reason.contains(&format!("score step = {step}; the limits are 2^24 to 2^48 - 1")), "{reason}");
    }
}

fn replacement() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0u32..64, -2i64..=2).prop_map(|(bits, more)| json!((1u64 << bits).saturating_add_signed(more))),
        2 => (-3i64..70).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => prop_oneof![
            Just(Value::Null), Just(json!(true)), Just(json!(0.5)), Just(json!("")), Just(json!("é")), Just(json!([])),
            Just(json!({})), Just(json!([1, 2, 3])), Just(json!(["blake2s"])),
        ],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_model_and_claim_with_any_values_are_refused_without_a_panic(
        honest in 0usize..2,
        changes in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>(), replacement()), 1..4),
    ) {
        let mut files = HONEST[honest].clone();
        for (in_model, place, value) in changes {
            let document = if in_model { &mut files.model } else { &mut files.claim };
            let pointers = leaves(document);
            let pointer: &String = place.get(&pointers);
            *document.pointer_mut(pointer).unwrap() = value;
        }
        refused(&files);
    }
}

#[test]
fn a_key_that_is_there_twice_is_refused_wherever_it_is() {
    let honest = &HONEST[0];
    let texts = [honest.model.to_string(), honest.claim.to_string()];
    assert!(matches!(check([texts[0].as_bytes(), texts[1].as_bytes(), &[]]), Err(FolderError::Invalid(_))));
    for (file, document) in [&honest.model, &honest.claim].into_iter().enumerate() {
        for pointer in leaves(document) {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            // Entries of lists have no keys.
            if let Some(Value::Object(fields)) = document.pointer(parent) {
                // The marker stands for the repeated key, which a document in memory cannot hold.
                let mut marked = document.clone();
                marked.pointer_mut(parent).unwrap()["the same key"] = fields[key].clone();
                let mut files = texts.clone();
                files[file] = marked.to_string().replace("the same key", key);
                let refused = check([files[0].as_bytes(), files[1].as_bytes(), &[]]).unwrap_err();
                assert!(refused.to_string().contains("duplicate"), "{pointer}: {refused}");
            }
        }
    }
}

/// Set where a test runs in a process of its own, whose memory is measured.
const ALONE: &str = "OBELYSK_TEST_ALONE";

/// Most memory that this process had, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// How many bytes of memory the `body` of a test takes, besides what its process had before. It runs in a process of its own with a
/// folder that is prepared for it; `None` where that has been done, and has succeeded.
fn taken_alone(test: &str, prepare: impl FnOnce(&Path), body: impl FnOnce(&Path)) -> Option<u64> {
    if let Some(folder) = env::var_os(ALONE) {
        let before = peak();
        body(Path::new(&folder));
        return Some(peak() - before);
    }
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let mut alone = Command::new(env::current_exe().unwrap());
    let alone = alone.args(["--exact", test, "--nocapture"]).env(ALONE, folder.path()).output().unwrap();
    let output = String::from_utf8_lossy(&alone.stdout);
    assert!(alone.status.success(), "{output}");
    println!("{output}");
    None
}

#[test]
fn a_long_proof_takes_four_times_its_bytes() {
    const LENGTH: usize = 16 << 20;
    let kinds = [("zeros", 0), ("ones", 1), ("no number", 0xff)];
    let prepare = |folder: &Path| {
        for (name, byte) in kinds {
            fs::create_dir(folder.join(name)).unwrap();
            HONEST[0].write(&folder.join(name), &vec![byte; LENGTH]);
        }
    };
    let body = |folder: &Path| {
        for (name, _) in kinds {
            let refused = check_folder(&folder.join(name)).unwrap_err().to_string();
            assert!(refused.contains("the proof does not hold"), "{name}: {refused:.300}");
        }
    };
    let Some(taken) = taken_alone("a_long_proof_takes_four_times_its_bytes", prepare, body) else { return };
    println!("{taken} bytes for proofs of {LENGTH}");
    assert!(taken <= 4 * LENGTH as u64, "{taken} bytes for proofs of {LENGTH}");
}

#[test]
fn a_long_list_in_a_text_takes_a_few_times_its_bytes() {
    const LENGTH: usize = 16 << 20;
    let prepare = |folder: &Path| {
        let inference = json!({"promptTokens": [1], "outputTokens": [1]});
        let many = |value: Value, bytes: usize| Value::from(vec![value; bytes]);
        for (name, pointer, list) in [
            ("windows", "/windows", many(json!(1), (1 << 19) - 8192)),
            ("tokens", "/promptTokens", many(json!(1), LENGTH / 2 - 8192)),
            ("inferences", "/further", many(inference, LENGTH / 41)),
        ] {
            let mut files = HONEST[0].clone();
            let document = if name == "windows" { &mut files.model } else { &mut files.claim };
            *document.pointer_mut(pointer).unwrap() = list;
            let folder = folder.join(name);
            fs::create_dir(&folder).unwrap();
            files.write(&folder, &[]);
        }
    };
    let body = |folder: &Path| {
        for (name, reason) in [("windows", "windows"), ("tokens", "positions"), ("inferences", "inferences")] {
            let refused = check_folder(&folder.join(name)).unwrap_err().to_string();
            assert!(refused.contains(reason) && refused.len() < 200, "{name}: {refused:.300}");
            println!("{} bytes after {name}", peak());
        }
    };
    let Some(taken) = taken_alone("a_long_list_in_a_text_takes_a_few_times_its_bytes", prepare, body) else { return };
    assert!(taken <= 8 * LENGTH as u64, "{taken} bytes for a text of {LENGTH}");
}
