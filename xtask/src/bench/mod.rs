//! Figures, one JSON line each: `name, value, unit`, the spread over runs, the machine and the commit.

mod batch;
mod download;
mod fleet;
pub mod gpu;
mod mlp;
mod peers;
mod shapes;
mod smollm2;
mod tiny_chat;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::{process, root};

/// Arguments of `bench`.
#[derive(Args)]
pub struct Arguments {
    /// What to measure.
    #[arg(value_enum)]
    name: Name,
    /// Only the first N layers of a shape.
    #[arg(long, value_name = "N")]
    layers: Option<usize>,
    /// Runs of each figure.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// ProofJobs of `fleet`.
    #[arg(long, default_value_t = 2000)]
    jobs: usize,
    /// Simulated nodes of `fleet`.
    #[arg(long, default_value_t = 100)]
    nodes: usize,
}

/// What is measured.
#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// `mlp`, `tiny-chat`, `smollm2-135m`, `batch`, `qwen2-0.5b`, `gpt2-small` and `qwen3-0.6b`, one after the other.
    All,
    /// Goals Z1 and Z2: multilayer perceptrons of 2 x 256 and 4 x 1024.
    Mlp,
    /// The same beside EZKL, fetched from the registry of Python packages, in turn.
    Peers,
    /// Goals Z7, Z8 and Q1, on the bundled model.
    TinyChat,
    /// Goals Z3 and Q1, on a real model: a prompt of 37 tokens and 8 more, and what a run spends outside of capture and proof.
    #[value(name = "smollm2-135m")]
    SmolLm2,
    /// One to eight inferences in one proof: what a token costs.
    Batch,
    /// Goal D1: a download beside what curl reaches.
    Download,
    /// Goals O1 to O3: ProofJobs that wait, on a cluster of its own.
    Fleet,
    /// The shapes of Qwen3-0.6B with random weights: validate, prepare, prove 16 tokens.
    #[value(name = "qwen3-0.6b")]
    Qwen3Small,
    /// Goal Z9: the shapes of Qwen2-0.5B with random weights, a prompt of 9 tokens.
    #[value(name = "qwen2-0.5b")]
    Qwen2,
    /// Goal Z4: the size of GPT-2-small in the form of Llama, with random weights, 16 positions.
    #[value(name = "gpt2-small")]
    Gpt2,
    /// Goal Z4: the same with 128 to 1,024 positions, as far as memory goes.
    #[value(name = "gpt2-small-long")]
    Gpt2Long,
    /// The shapes of Qwen3-14B, two layers: validate, quantise and commit.
    #[value(name = "qwen3-14b")]
    Qwen3Large,
    /// The shapes of Llama-3.1-70B, one layer: validate, quantise and commit.
    #[value(name = "llama3-70b")]
    Llama,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    match arguments.name {
        Name::All => {
            mlp::run(arguments.runs)?;
            tiny_chat::run(arguments.runs)?;
            smollm2::run(arguments.runs)?;
            batch::run(arguments.runs)?;
            shapes::run(&shapes::QWEN2_0_5B, arguments.layers)?;
            shapes::run(&shapes::GPT2_SMALL, arguments.layers)?;
            shapes::run(&shapes::QWEN3_0_6B, arguments.layers)
        }
        Name::Mlp => mlp::run(arguments.runs),
        Name::Peers => peers::run(arguments.runs),
        Name::TinyChat => tiny_chat::run(arguments.runs),
        Name::SmolLm2 => smollm2::run(arguments.runs),
        Name::Batch => batch::run(arguments.runs),
        Name::Download => download::run(arguments.runs),
        Name::Fleet => fleet::run(arguments.jobs, arguments.nodes),
        Name::Qwen3Small => shapes::run(&shapes::QWEN3_0_6B, arguments.layers),
        Name::Qwen2 => shapes::run(&shapes::QWEN2_0_5B, arguments.layers),
        Name::Gpt2 => shapes::run(&shapes::GPT2_SMALL, arguments.layers),
        Name::Gpt2Long => shapes::run(&shapes::GPT2_SMALL_LONG, arguments.layers),
        Name::Qwen3Large => shapes::run(&shapes::QWEN3_14B, arguments.layers),
        Name::Llama => shapes::run(&shapes::LLAMA3_70B, arguments.layers),
    }
}

/// Build the programs that users run; where they are.
fn programs() -> Result<PathBuf> {
    build(&[
        ("obelysk", "obelysk"),
        ("obelysk-verifier", "obelysk-verify"),
        ("obelysk-stand-in-hub", "obelysk-stand-in-hub"),
    ])
}

/// Build programs of packages; where they are.
fn build(programs: &[(&str, &str)]) -> Result<PathBuf> {
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(root()).args(["build", "--release", "--quiet"]);
    for (package, program) in programs {
        build.args(["--package", package, "--bin", program]);
    }
    process::run(&mut build)?;
    Ok(std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into).join("release"))
}

/// An empty folder for a benchmark's files.
fn fresh_folder(name: &str) -> Result<PathBuf> {
    let folder = root().join("target/bench").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The JSON object that a program of ours ends with.
fn answer(output: &str) -> Result<Value> {
    Ok(serde_json::from_str(output.lines().last().context("a JSON line")?)?)
}

struct Measured {
    time: Duration,
    peak_mebibytes: f64,
    output: String,
    succeeded: bool,
}

impl Measured {
    /// The program's answer.
    fn answer(&self) -> Result<Value> {
        anyhow::ensure!(self.succeeded, "it failed: {}", self.output);
        answer(&self.output)
    }
}

/// Run to the end, watching the resident memory.
fn measure(command: &mut Command) -> Result<Measured> {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let watcher = std::thread::spawn(move || {
        let mut peak = 0.0f64;
        while let Some(now) = peak_of(Path::new(&status)) {
            peak = peak.max(now);
            std::thread::sleep(Duration::from_millis(5));
        }
        peak
    });
    let mut output = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().context("a piped output")?, &mut output)?;
    let status = child.wait()?;
    let time = start.elapsed();
    let peak_mebibytes = watcher.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))?;
    Ok(Measured { time, peak_mebibytes, output, succeeded: status.success() })
}

/// The high-water mark of a process, in MiB; `None` once it has ended.
fn peak_of(status: &Path) -> Option<f64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kibibytes| kibibytes / 1024.0)
}

/// Where the time of proofs went, by the name of each step.
#[derive(Default)]
struct Phases(Vec<(String, Vec<f64>)>);

impl Phases {
    /// Take over what a folder's proof took.
    fn read(&mut self, out: &Path) -> Result<()> {
        let facts: Value = serde_json::from_slice(&fs::read(out.join("proof.json"))?)?;
        for phase in facts["phases"].as_array().context("phases")? {
            let name = phase["name"].as_str().context("name")?;
            let seconds = phase["seconds"].as_f64().context("seconds")?;
            match self.0.iter_mut().find(|(known, _)| known == name) {
                Some((_, times)) => times.push(seconds),
                None => self.0.push((name.to_owned(), vec![seconds])),
            }
        }
        Ok(())
    }

    fn report(self, model: &str) {
        for (name, mut times) in self.0 {
            report(&format!("{model} prove: {name}"), "s", &mut times);
        }
    }
}

/// The figures of a model's quality, as `model show --quality --json` prints them.
fn report_quality(name: &str, shown: &Value) {
    for set in ["chat", "text"] {
        for (field, value) in shown["quality"][set].as_object().into_iter().flatten() {
            if let Some(value) = value.as_f64() {
                report(&format!("{name} {set} {field}"), "", &mut [value]);
            }
        }
    }
}

fn report(name: &str, unit: &str, values: &mut [f64]) {
    values.sort_by(f64::total_cmp);
    let commit = process::output(Command::new("git").current_dir(root()).args(["rev-parse", "--short", "HEAD"]));
    let line = json!({
        "name": name,
        "value": values[values.len() / 2],
        "unit": unit,
        "minimum": values[0],
        "median": values[values.len() / 2],
        "maximum": values[values.len() - 1],
        "runs": values.len(),
        "machine": machine(),
        "commit": commit.unwrap_or_default().trim(),
    });
    println!("{line}");
}

fn machine() -> String {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = information.lines().filter(|line| line.starts_with("processor")).count();
    let model = information.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!("{cores} x {}", model.trim_start_matches([' ', '\t', ':']))
}
