//! The commands of the operating manual, run as they stand there: every `sh` block, in order, in one shell.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::program::verifier;

const MANUAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating/command-line.md");

/// The text of all fenced blocks of a language.
fn blocks(text: &str, language: &str) -> String {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().expect("a block ends")).collect()
}

#[test]
fn the_manual_runs_as_written() {
    let script = blocks(&fs::read_to_string(MANUAL).unwrap(), "sh");
    assert!(script.lines().filter(|line| line.contains("obelysk")).count() > 15, "the manual shows its commands");
    let folder = tempfile::tempdir().unwrap();
    let binaries = Path::new(env!("CARGO_BIN_EXE_obelysk")).parent().unwrap();
    assert_eq!(verifier().parent().unwrap(), binaries);
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-x", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("OBELYSK_HOME", folder.path().join("home"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the last command that the shell shows fails:\n{said}");
}

#[test]
fn the_manual_names_every_exit_code() {
    let text = fs::read_to_string(MANUAL).unwrap();
    for code in obelysk_api::exit::ExitCode::ALL {
        assert!(text.contains(&format!("| {} |", code.number())), "exit code {} is not explained", code.number());
    }
}
