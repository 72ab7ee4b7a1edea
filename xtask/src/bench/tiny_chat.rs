//! The bundled model.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Phases, answer, fresh_folder, measure, programs, report, report_quality};
use crate::process;

/// Goals Z7 and Z8: a prompt of 24 tokens and 16 more, proven by `obelysk prove`, checked by `obelysk-verify`.
pub(super) fn run(runs: usize) -> Result<()> {
    let programs = programs()?;
    let (obelysk, verify) = (programs.join("obelysk"), programs.join("obelysk-verify"));
    let folder = fresh_folder("tiny-chat")?;
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
    let mut phases = Phases::default();
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
        command.args(["--no-audit", "--no-gpu", "--json", "--quiet", "--home"]).arg(&home).arg("--out").arg(&out);
        let measured = measure(&mut command)?;
        last = measured.answer()?;
        wall.push(measured.time.as_secs_f64());
        memory.push(measured.peak_mebibytes);
        proving.push(last["proof"]["provingSeconds"].as_f64().context("provingSeconds")?);
        phases.read(&out)?;
        let checked = measure(Command::new(&verify).arg(&out).arg("--json"))?;
        anyhow::ensure!(checked.succeeded, "the proof does not verify: {}", checked.output);
        checking.push(checked.time.as_secs_f64() * 1e3);
    }
    report("tiny-chat prove", "s", &mut proving);
    phases.report("tiny-chat");
    report("tiny-chat capture, prove and verify, whole process", "s", &mut wall);
    report("tiny-chat peak memory", "MiB", &mut memory);
    report("tiny-chat obelysk-verify, whole process", "ms", &mut checking);
    report("tiny-chat proof size", "bytes", &mut [last["proof"]["sizeBytes"].as_f64().context("sizeBytes")?]);
    report("tiny-chat security", "bits", &mut [last["proof"]["securityBits"].as_f64().context("securityBits")?]);
    let shown = process::output(
        Command::new(&obelysk)
            .args(["model", "show", "--preset", "tiny-chat", "--quality", "--json", "--home"])
            .arg(&home),
    )?;
    report_quality("tiny-chat", &answer(&shown)?);
    Ok(())
}
