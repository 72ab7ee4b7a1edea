//! The proof of a real model's answer, and what it does not prove.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use obelysk_model::quantize::digest_of_weights;
use obelysk_model::tokenizer::ModelTokenizer;
use obelysk_prover::CommittedModel;
use obelysk_stand_in_hub::Server;
use obelysk_statement::{Claim, Inference, ModelDescription, Profile, compile};
use serde_json::Value;

use crate::model::{ids, real_model};

const QUESTION: [&str; 3] = ["--prompt", "What is the capital of France?", "--chat"];
/// What a stranger gets.
const FILES: [&str; 3] = ["model.json", "statement.json", "proof.bin"];

struct Proven {
    out: PathBuf,
    report: Value,
}

impl Proven {
    fn digest(&self) -> &str {
        self.report["modelDigest"].as_str().unwrap()
    }
}

/// The answer to the question, proven once for all tests.
fn proven() -> &'static Proven {
    static PROVEN: OnceLock<Proven> = OnceLock::new();
    PROVEN.get_or_init(|| {
        let out = real_model().work.join("proof");
        let limits = ["--max-new-tokens", "8", "--dry-run", "--out", out.to_str().unwrap()];
        let report = real_model().obelysk([&["run"], &real_model().option()[..], &QUESTION, &limits].concat());
        Proven { out, report }
    })
}

fn code(folder: &Path, arguments: &[&str]) -> Option<i32> {
    real_model().verify(folder, arguments).status.code()
}

/// Whether the proof convinces of something else, said in the folder's own words.
fn convinces_of(name: &str, change: impl FnOnce(&mut ModelDescription, &mut Claim)) -> bool {
    let folder = real_model().work.join(name);
    fs::create_dir(&folder).unwrap();
    for file in FILES {
        fs::copy(proven().out.join(file), folder.join(file)).unwrap();
    }
    let read = |file: &str| fs::read(folder.join(file)).unwrap();
    let mut description = serde_json::from_slice(&read("model.json")).unwrap();
    let mut claim = serde_json::from_slice(&read("statement.json")).unwrap();
    change(&mut description, &mut claim);
    fs::write(folder.join("model.json"), description.canonical_json()).unwrap();
    fs::write(folder.join("statement.json"), serde_json::to_vec(&claim).unwrap()).unwrap();
    match code(&folder, &[]) {
        Some(0) => true,
        Some(1) => false,
        other => panic!("the verifier ended with {other:?}"),
    }
}

#[test]
fn the_proven_answer_is_right_and_the_float_engines() {
    let report = &proven().report;
    let answer: Value = serde_json::from_slice(&fs::read(proven().out.join("inference.json")).unwrap()).unwrap();
    let tokenizer = ModelTokenizer::open(&real_model().folder).unwrap();
    let (integer, float) = (ids(&report["outputTokens"]), ids(&answer["outputTokens"]));
    println!("{} to prove, agreement {}", report["proof"]["provingSeconds"], report["integerMatchesFloat"]);
    assert!(report["text"].as_str().unwrap().contains("Paris"), "{} | {}", report["text"], report["floatText"]);
    if let Some(place) = float.iter().zip(&integer).position(|(float, integer)| float != integer) {
        let [float, integer] = [float[place], integer[place]].map(|token| (token, tokenizer.decode(&[token])));
        panic!("token {place} is {integer:?}, and {float:?} of the float engine");
    }
    assert_eq!(report["integerMatchesFloat"], "8/8");
}

#[test]
fn a_stranger_accepts_the_proof() {
    let output = real_model().verify(&proven().out, &["--model-digest", proven().digest()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.starts_with("VALID\n"), "{said}");
    assert!(convinces_of("unchanged", |_, _| {}), "three files are enough");
}

#[test]
fn another_token_of_answer_or_prompt_is_refused() {
    assert!(!convinces_of("another-answer", |_, claim| claim.output_tokens[2] ^= 1));
    assert!(!convinces_of("another-prompt", |_, claim| claim.prompt_tokens[5] ^= 1));
}

#[test]
fn a_model_with_one_other_weight_is_refused() {
    let mut other = real_model().quantized();
    let weights = Arc::make_mut(&mut other.weights);
    let largest = weights.values_mut().max_by_key(|entries| entries.len()).expect("weights");
    let entry = largest.get(1000);
    largest.set(1000, if entry > 0 { entry - 1 } else { entry + 1 });
    other.description.weights_digest = hex(&digest_of_weights(&other));
    let shortest = Inference { prompt_tokens: vec![0], output_tokens: vec![0] };
    let statement = compile(&other.description, &[shortest]).unwrap();
    let root = CommittedModel::new(&statement, Arc::clone(&other.weights)).unwrap().root();
    let digest = hex(&other.description.digest(Profile::Blake2s, root));
    assert_ne!(digest, proven().digest());
    assert_eq!(code(&proven().out, &["--model-digest", &digest]), Some(1));
    assert!(!convinces_of("another-model", |description, claim| {
        *description = other.description.clone();
        claim.weight_root = hex(&root.to_bytes());
        claim.model_digest = digest.clone();
    }));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_hubs_model_is_the_same_and_stays_when_the_hub_is_gone() {
    let model = real_model();
    let root = model.work.join("hub");
    let repository = root.join("HuggingFaceTB/SmolLM2-135M-Instruct");
    fs::create_dir_all(&repository).unwrap();
    for entry in fs::read_dir(&model.folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), repository.join(entry.file_name())).unwrap();
    }
    let out = model.work.join("of-hub");
    let server = Server::start(root, &[]);
    let endpoint = server.endpoint();
    let of_hub = ["--hf-model", "HuggingFaceTB/SmolLM2-135M-Instruct", "--endpoint", &endpoint];
    let limits = ["--max-new-tokens", "1", "--skip-inference", "--no-audit", "--out", out.to_str().unwrap()];
    let report = model.obelysk([&["run"], &of_hub[..], &QUESTION, &limits].concat());
    assert_eq!(report["modelDigest"], proven().digest(), "the same files make the same model");
    assert_eq!(code(&out, &["--model-digest", proven().digest()]), Some(0));
    drop(server);
    let shown = model.obelysk(["model", "show", "--preset", "smollm2-135m", "--endpoint", &endpoint]);
    assert_eq!(shown["modelDigest"], proven().digest(), "the preset is the repository, and needs no hub again");
}
