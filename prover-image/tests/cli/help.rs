//! Help, completions and mistakes on the command line.

use crate::program::{Outcome, command, obelysk};

const COMMANDS: [&str; 16] = [
    "run",
    "setup",
    "model list",
    "model pull",
    "model prepare",
    "model digest",
    "model show",
    "infer",
    "validate",
    "capture",
    "prove",
    "verify",
    "audit",
    "submit",
    "artifacts tar",
    "job",
];

#[test]
fn every_command_shows_examples_in_its_help() {
    let home = tempfile::tempdir().unwrap();
    for name in COMMANDS {
        let output = command(home.path()).args(name.split(' ')).arg("--help").output().unwrap();
        let outcome = Outcome::of(output);
        assert_eq!(outcome.code, 0, "{name}");
        assert!(outcome.stdout.contains(&format!("  obelysk {name}")), "{name}: {}", outcome.stdout);
    }
}

#[test]
fn completions_know_the_commands() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let outcome = Outcome::of(command(home.path()).args(["completions", shell]).output().unwrap());
        assert_eq!(outcome.code, 0);
        assert!(outcome.stdout.contains("capture"), "{shell}");
    }
}

#[test]
fn a_mistake_on_the_command_line_is_a_bad_specification() {
    let home = tempfile::tempdir().unwrap();
    let failure = obelysk(home.path(), ["run", "--preset", "tiny-chat", "--promt", "hello"]).fails_with(10);
    assert!(failure.message.contains("--promt"), "{failure:?}");
    let failure = obelysk(home.path(), ["run", "--prompt", "hello"]).fails_with(10);
    assert!(failure.message.contains("--preset"), "{failure:?}");
}

#[test]
fn two_models_at_once_are_refused() {
    let home = tempfile::tempdir().unwrap();
    obelysk(home.path(), ["validate", "--preset", "tiny-chat", "--model-dir", "."]).fails_with(10);
}

#[test]
fn setup_says_what_the_machine_has() {
    let home = tempfile::tempdir().unwrap();
    let report = obelysk(home.path(), ["setup"]).ok();
    let names: Vec<&str> = report["findings"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert!(["cpu", "memory", "disk", "gpu"].iter().all(|name| names.contains(name)), "{names:?}");
}

#[test]
fn every_preset_is_listed_with_its_repository() {
    let home = tempfile::tempdir().unwrap();
    let list = obelysk(home.path(), ["model", "list"]).ok();
    let presets = list["presets"].as_array().unwrap();
    let repository =
        |name: &str| presets.iter().find(|preset| preset["name"] == name).map(|preset| &preset["repository"]);
    assert_eq!(repository("tiny-chat").unwrap(), "bundled");
    assert_eq!(repository("qwen3-14b").unwrap(), "Qwen/Qwen3-14B");
}
