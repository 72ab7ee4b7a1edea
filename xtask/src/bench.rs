//! Figures, one JSON line each: `name, value, unit`, the spread over runs, the machine and the commit.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::{process, root};

/// Arguments of `bench`.
#[derive(Args)]
pub struct Arguments {
    /// What to measure: `tiny-chat`.
    name: String,
    /// Runs of each figure.
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    match arguments.name.as_str() {
        "tiny-chat" => tiny_chat(arguments.runs),
        other => bail!("no benchmark `{other}`; there is tiny-chat"),
    }
}

/// Goals Z7 and Z8: a prompt of 24 tokens and 16 more, proven by `obelysk prove`, checked by `obelysk-verify`.
fn tiny_chat(runs: usize) -> Result<()> {
    for (package, program) in [("obelysk", "obelysk"), ("obelysk-verifier", "obelysk-verify")] {
        process::run(Command::new(env!("CARGO")).current_dir(root()).args([
            "build",
            "--release",
            "--quiet",
            "--package",
            package,
            "--bin",
            program,
        ]))?;
    }
    let programs =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into).join("release");
    let (obelysk, verify) = (programs.join("obelysk"), programs.join("obelysk-verify"));
    let folder = root().join("target/bench");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let home = folder.join("home");
    // The 24 prompt tokens of the question in the model's template; no stop token, so that 16 are generated.
    let tokens = "1,88,86,269,202,267,264,224,26,266,224,24,34,2,202,1,68,382,76,86,284,81,87,202";
    let prepare = ["--json", "--home"];
    process::output(
        Command::new(&obelysk).args(["model", "prepare", "--preset", "tiny-chat"]).args(prepare).arg(&home),
    )?;

    let mut wall = Vec::new();
    let mut proving = Vec::new();
    let mut memory = Vec::new();
    let mut checking = Vec::new();
    let mut last = Value::Null;
    for run in 0..runs {
        let out = folder.join(format!("run-{run}"));
        let mut command = Command::new(&obelysk);
        command.args([
            "run",
            "--preset",
            "tiny-chat",
            "--tokens",
            tokens,
            "--max-new-tokens",
            "16",
            "--skip-inference",
        ]);
        command.args(["--no-audit", "--json", "--quiet", "--home"]).arg(&home).arg("--out").arg(&out);
        let measured = measure(&mut command)?;
        last = serde_json::from_str(measured.output.lines().last().context("a JSON line")?)?;
        wall.push(measured.time.as_secs_f64());
        memory.push(measured.peak_mebibytes);
        proving.push(last["proof"]["provingSeconds"].as_f64().context("provingSeconds")?);
        checking.push(measure(Command::new(&verify).arg(&out).arg("--json"))?.time.as_secs_f64() * 1e3);
    }
    report("tiny-chat prove", "s", &mut proving);
    report("tiny-chat capture, prove and verify, whole process", "s", &mut wall);
    report("tiny-chat peak memory", "MiB", &mut memory);
    report("tiny-chat obelysk-verify, whole process", "ms", &mut checking);
    report("tiny-chat proof size", "bytes", &mut [last["proof"]["sizeBytes"].as_f64().context("sizeBytes")?]);
    report("tiny-chat security", "bits", &mut [last["proof"]["securityBits"].as_f64().context("securityBits")?]);
    let shown = process::output(
        Command::new(&obelysk).args(["model", "show", "--preset", "tiny-chat", "--json", "--home"]).arg(&home),
    )?;
    let shown: Value = serde_json::from_str(shown.lines().last().context("a JSON line")?)?;
    for (field, value) in shown["quality"].as_object().into_iter().flatten() {
        if let Some(value) = value.as_f64() {
            report(&format!("tiny-chat {field}"), "", &mut [value]);
        }
    }
    Ok(())
}

struct Measured {
    time: Duration,
    peak_mebibytes: f64,
    output: String,
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
    anyhow::ensure!(status.success(), "{command:?} ended with {status}: {output}");
    let peak_mebibytes = watcher.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))?;
    Ok(Measured { time, peak_mebibytes, output })
}

/// The high-water mark of a process, in MiB; `None` once it has ended.
fn peak_of(status: &Path) -> Option<f64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kibibytes| kibibytes / 1024.0)
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
