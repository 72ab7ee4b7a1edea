//! The quality gate: what is refused, what a person accepts, and who is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use obelysk_pipeline::console::{Console, Level};
use obelysk_pipeline::failure::ExitCode;
use obelysk_pipeline::home::Home;
use obelysk_pipeline::pipeline::inputs::ModelSource;
use obelysk_pipeline::pipeline::quality::{self, Demand};
use obelysk_pipeline::pipeline::{model_files, prepare};
use serde_json::{Value, json};

use crate::program::{Outcome, command, obelysk};

const MODEL: [&str; 2] = ["--preset", "tiny-chat"];
const QUESTION: [&str; 5] = ["--prompt", "What is 7 + 5?", "--chat", "--max-new-tokens", "2"];

/// Prepare the bundled model and return the file of its quality.
fn prepared(home: &Path) -> PathBuf {
    let report = obelysk(home, ["model", "prepare"].iter().chain(&MODEL)).ok();
    Path::new(report["folder"].as_str().unwrap()).join("quality.json")
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Make a prepared model one whose second layer went wrong.
pub fn spoil(path: &Path) {
    let mut report = read(path);
    report["measured"]["text"]["meanKL"] = json!(9.25);
    report["measured"]["text"]["perplexityInt"] = json!(100_779.0);
    report["deviations"] = json!([{"tensor": "feed-forward branch", "layer": 1, "error": 0.98}]);
    fs::write(path, report.to_string()).unwrap();
}

fn run(home: &Path, more: &[&str]) -> Outcome {
    obelysk(home, ["run"].iter().chain(&MODEL).chain(&QUESTION).chain(more))
}

#[test]
fn a_layer_with_other_scales_is_refused_with_the_numbers_and_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = prepared(folder.path());
    let console = Console::new(true, Level::Quiet);
    let selection = ModelSource::preset("tiny-chat").whole();
    let files = model_files::find(&Home::at(folder.path()), &selection).unwrap();
    let mut prepared = prepare::load_or_prepare(&files, &console).unwrap();
    assert!(quality::require(&files, &prepared, &Demand::default(), &console).unwrap().passed);

    let layers = prepared.model.description.shape.layers;
    let down = Arc::make_mut(&mut prepared.model.weights).get_mut("down_weight").unwrap();
    let size = down.len() / layers;
    (size..2 * size).for_each(|place| down.set(place, down.get(place) / 8));
    fs::remove_file(&file).unwrap();
    let failure = quality::require(&files, &prepared, &Demand::default(), &console).unwrap_err();
    assert_eq!(failure.code, ExitCode::Unsupported);
    for words in ["tiny-chat", "text: KL ", "at most 0.01", "begin with feed-forward branch of layer 1 ("] {
        assert!(failure.message.contains(words), "{words} is not in: {}", failure.message);
    }
    assert!(failure.hint.contains("--accept-quality"), "{}", failure.hint);
    assert!(file.is_file(), "it is measured once");
    let note = quality::require(&files, &prepared, &Demand::of_option(true), &console).unwrap();
    assert!(!note.passed && note.note.unwrap().contains("accepted by --accept-quality: "));
}

#[test]
fn a_model_that_misses_the_gate_is_refused_by_every_command_that_works_towards_a_proof() {
    let home = tempfile::tempdir().unwrap();
    spoil(&prepared(home.path()));
    for command in [&["run"][..], &["capture"], &["model", "prepare"]] {
        let input: &[&str] = if command.len() == 1 { &QUESTION } else { &[] };
        let failure = obelysk(home.path(), command.iter().chain(&MODEL).chain(input)).fails_with(13);
        for words in ["text: KL 9.2500, at most 0.01", "became 100779.00", "feed-forward branch of layer 1 (0.98)"] {
            assert!(failure.message.contains(words), "{command:?}: {}", failure.message);
        }
    }
    let asked = obelysk(home.path(), ["infer", "--engine", "integer"].iter().chain(&MODEL).chain(&QUESTION));
    asked.ok();
    assert!(
        asked.stderr.contains("misses the quality gate: text: KL 9.2500"),
        "who only asks is told: {}",
        asked.stderr
    );
    let shown = obelysk(home.path(), ["model", "show", "--quality"].iter().chain(&MODEL)).ok();
    assert_eq!(shown["quality"]["misses"].as_array().unwrap().len(), 2, "the numbers are there to see");
}

#[test]
fn whatever_is_made_with_an_accepted_model_says_so() {
    let home = tempfile::tempdir().unwrap();
    spoil(&prepared(home.path()));
    let out = home.path().join("out");
    let words = "misses the quality gate, accepted by --accept-quality: text: KL 9.2500";
    let report = run(home.path(), &["--accept-quality", "--out", out.to_str().unwrap()]).ok();
    for said in [&report, &read(&out.join("run.json")), &read(&out.join("verification.json"))] {
        assert_eq!(said["quality"]["passed"], false);
        assert!(said["quality"]["note"].as_str().unwrap().contains(words), "{said}");
    }
    let verified = obelysk(home.path(), ["verify", out.to_str().unwrap()]).ok();
    assert!(verified["qualityNote"].as_str().unwrap().contains(words), "{verified}");
    let again = obelysk(home.path(), ["prove", "--out", out.to_str().unwrap()]).ok();
    assert!(again["quality"]["note"].as_str().unwrap().contains(words), "the decision is the folder's: {again}");

    let accepted = ["run", "--preset", "tiny-chat", "--accept-quality"];
    let text = command(home.path()).args(accepted).args(QUESTION).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.lines().last().unwrap().contains(words), "{text}");
}

#[test]
fn a_quality_that_is_of_another_model_or_unreadable_or_absent_is_measured_again() {
    let home = tempfile::tempdir().unwrap();
    let path = prepared(home.path());
    let measured = read(&path);
    let spoilt = |change: &dyn Fn(&mut Value)| {
        spoil(&path);
        let mut report = read(&path);
        change(&mut report);
        fs::write(&path, report.to_string()).unwrap();
    };
    let damages: [&dyn Fn(); 4] = [
        &|| spoilt(&|report| report["modelDigest"] = json!("00".repeat(32))),
        &|| spoilt(&|report| report["measurement"] = json!(0)),
        &|| fs::write(&path, "{}").unwrap(),
        &|| fs::remove_file(&path).unwrap(),
    ];
    for damage in damages {
        damage();
        assert_eq!(prepared(home.path()), path);
        assert_eq!(read(&path)["measured"], measured["measured"]);
    }
}

#[test]
fn both_sets_of_texts_are_shown_side_by_side() {
    let home = tempfile::tempdir().unwrap();
    let shown = command(home.path()).args(["model", "show", "--quality"]).args(MODEL).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    let row = |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
    assert_eq!(row("quality").split_whitespace().collect::<Vec<_>>(), ["quality", "chat", "text"], "{text}");
    for name in ["meanKL", "perplexityInt", "top1Agreement", "tokens"] {
        assert_eq!(row(name).split_whitespace().count(), 3, "{text}");
    }
    assert!(text.contains("passes the gate"), "{text}");
}

#[test]
fn a_text_that_is_not_the_float_engines_is_the_last_thing_that_a_run_says() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    let out = out.to_str().unwrap();
    assert_eq!(run(home.path(), &["--out", out]).ok()["integerMatchesFloat"], "2/2");
    let path = Path::new(out).join("inference.json");
    let mut answer = read(&path);
    answer["outputTokens"][1] = json!(3);
    fs::write(&path, answer.to_string()).unwrap();
    let resumed = ["run", "--preset", "tiny-chat", "--resume-from", "prove", "--out", out];
    let text = command(home.path()).args(resumed).args(QUESTION).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.contains("not the float engine's: 1/2 tokens equal, answer 1 differs from token 2 on"), "{text}");
    assert_eq!(read(&Path::new(out).join("run.json"))["integerMatchesFloat"], "1/2");
}
