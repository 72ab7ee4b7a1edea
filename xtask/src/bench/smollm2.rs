//! A real model, as a user runs it for the second time.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Phases, answer, fresh_folder, measure, programs, report, report_quality};
use crate::{model, process};

/// Goals Z3 and Q1. Runs are whole: the model's files are known, its integers prepared, its quality measured.
pub(super) fn run(runs: usize) -> Result<()> {
    const NAME: &str = "smollm2-135m";
    let programs = programs()?;
    let folder = model::ensure(NAME)?;
    let work = fresh_folder(NAME)?;
    let (home, out) = (work.join("home"), work.join("out"));
    let obelysk = || {
        let mut command = Command::new(programs.join("obelysk"));
        command.args(["--json", "--quiet", "--home"]).arg(&home);
        command
    };
    let of_model = |command: &mut Command| {
        command.arg("--model-dir").arg(&folder);
    };
    let mut show = obelysk();
    show.args(["model", "show", "--quality"]);
    of_model(&mut show);
    let shown = answer(&process::output(&mut show)?)?;

    let (mut proving, mut outside, mut memory, mut checking) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut phases = Phases::default();
    let mut last = Value::Null;
    // The first run hashes what preparing has just written.
    for number in 0..=runs {
        let mut command = obelysk();
        command.args(["run", "--prompt", "What is the capital of France?", "--chat", "--max-new-tokens", "8"]);
        command.args(["--dry-run", "--no-gpu", "--out"]).arg(&out);
        of_model(&mut command);
        let measured = measure(&mut command)?;
        last = measured.answer()?;
        if number == 0 {
            continue;
        }
        let seconds = |step: &Value| step["seconds"].as_f64().unwrap_or_default();
        let is_counted = |step: &&Value| ["capture", "prove"].iter().all(|name| step["name"] != *name);
        let steps = last["steps"].as_array().context("steps")?;
        outside.push(steps.iter().filter(is_counted).map(seconds).sum());
        memory.push(measured.peak_mebibytes);
        proving.push(last["proof"]["provingSeconds"].as_f64().context("provingSeconds")?);
        phases.read(&out)?;
        let checked = measure(Command::new(programs.join("obelysk-verify")).arg(&out).arg("--json"))?;
        anyhow::ensure!(checked.succeeded, "the proof does not verify: {}", checked.output);
        checking.push(checked.time.as_secs_f64() * 1e3);
    }
    println!("{} (agreement {})", last["text"], last["integerMatchesFloat"]);
    let estimate = answer(&process::output(obelysk().args(["prove", "--estimate", "--out"]).arg(&out))?)?;
    report("smollm2-135m prove", "s", &mut proving);
    phases.report("smollm2-135m");
    report("smollm2-135m second run outside of capture and prove", "s", &mut outside);
    report("smollm2-135m peak memory", "MiB", &mut memory);
    report("smollm2-135m obelysk-verify, whole process", "ms", &mut checking);
    for (name, value) in [("proof size", &last["proof"]["sizeBytes"]), ("security", &last["proof"]["securityBits"])] {
        report(&format!("smollm2-135m {name}"), "", &mut [value.as_f64().context(name)?]);
    }
    for (field, value) in estimate["estimate"].as_object().into_iter().flatten() {
        if let Some(value) = value.as_f64() {
            report(&format!("smollm2-135m {field}"), "", &mut [value]);
        }
    }
    report_quality(NAME, &shown);
    Ok(())
}
