//! Fuzzing of the verifier by libFuzzer. It needs no nightly compiler: coverage is a pass that the stable one can be told to run.

use std::fs;
use std::process::Command;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{process, root};

/// Arguments of `fuzz`.
#[derive(Args)]
pub struct Arguments {
    /// What is replaced by what the fuzzer makes
    target: Target,
    /// How long
    #[arg(long, default_value_t = 10, value_name = "N")]
    minutes: u32,
}

/// A file of a proof folder.
#[derive(Clone, Copy, ValueEnum)]
enum Target {
    Model,
    Statement,
    Proof,
}

/// The machine whose code is fuzzed. Naming it keeps the flags away from build scripts, which lack the fuzzer's functions.
const MACHINE: &str = "x86_64-unknown-linux-gnu";

/// Counters for every edge, and calls at comparisons, from which the fuzzer learns what to try.
const FLAGS: [&str; 8] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Clink-dead-code",
    "-Ccodegen-units=1",
];

pub fn run(arguments: &Arguments) -> Result<()> {
    let (name, file, longest) = match arguments.target {
        Target::Model => ("model", "model.json", 1 << 14),
        Target::Statement => ("statement", "statement.json", 1 << 14),
        Target::Proof => ("proof", "proof.bin", 1 << 20),
    };
    let folder = root().join("target/fuzz");
    let honest = folder.join("honest");
    let mut made = Command::new("cargo");
    made.args(["run", "--release", "--package", "obelysk-tests", "--bin", "honest-folder", "--"]).arg(&honest);
    process::run(made.current_dir(root()))?;

    let flags = format!("target.{MACHINE}.rustflags={FLAGS:?}");
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--package", "obelysk-fuzz", "--target", MACHINE, "--config", &flags]);
    process::run(build.arg("--target-dir").arg(&folder).current_dir(root()))?;

    // The first folder keeps what the fuzzer finds worth keeping; the second is only read.
    let (found, known) = (folder.join("found").join(name), root().join("tests/fuzz/corpus").join(name));
    fs::create_dir_all(&found)?;
    fs::copy(honest.join(file), found.join("honest"))?;
    let mut fuzzer = Command::new(folder.join(MACHINE).join("release/obelysk-fuzz"));
    fuzzer.env("OBELYSK_FUZZ_TARGET", name).env("OBELYSK_FUZZ_FOLDER", &honest);
    fuzzer.args([&found, &known]);
    // No input that short may take ten seconds, or half a gigabyte.
    fuzzer.args(["-timeout=10", "-rss_limit_mb=512", "-print_final_stats=1"]);
    fuzzer.arg(format!("-max_len={longest}")).arg(format!("-max_total_time={}", 60 * arguments.minutes));
    fuzzer.arg(format!("-artifact_prefix={}/", folder.display()));
    println!("{fuzzer:?}");
    process::run(&mut fuzzer)
}
