//! Several inferences in one proof: what a token costs.

use std::process::Command;

use anyhow::{Context, Result};

use super::{fresh_folder, measure, programs, report};
use crate::process;

/// Batches of 1 to 8 prompts of 12 tokens with 4 more each, on the bundled model, taken in turn.
pub(super) fn run(runs: usize) -> Result<()> {
    const SIZES: [u32; 4] = [1, 2, 4, 8];
    const OUTPUTS: u32 = 4;
    let programs = programs()?;
    let (obelysk, verify) = (programs.join("obelysk"), programs.join("obelysk-verify"));
    let folder = fresh_folder("batch")?;
    let home = folder.join("home");
    let preset = ["--preset", "tiny-chat", "--json", "--quiet", "--home"];
    process::output(Command::new(&obelysk).args(["model", "prepare"]).args(preset).arg(&home))?;
    let prompt = |first: u32| [1, 88, 86, 269, 202].into_iter().chain(100 + 10 * first..107 + 10 * first);
    let mut seconds = SIZES.map(|_| Vec::new());
    let mut milliseconds = SIZES.map(|_| Vec::new());
    let mut bytes = SIZES.map(|_| Vec::new());
    for run in 0..runs {
        for (place, &size) in SIZES.iter().enumerate() {
            let out = folder.join(format!("{size}-{run}"));
            let mut command = Command::new(&obelysk);
            command.args([
                "run",
                "--skip-inference",
                "--no-audit",
                "--no-gpu",
                "--max-new-tokens",
                &OUTPUTS.to_string(),
            ]);
            for first in 0..size {
                let ids: Vec<String> = prompt(first).map(|id| id.to_string()).collect();
                command.args(["--tokens", &ids.join(",")]);
            }
            command.args(preset).arg(&home).arg("--out").arg(&out);
            let answer = measure(&mut command)?.answer()?;
            let proof = &answer["proof"];
            let outputs = |inference: &serde_json::Value| inference["outputTokens"].as_array().map_or(0, Vec::len);
            let inferences = [&answer].into_iter().chain(answer["further"].as_array().into_iter().flatten());
            let positions: usize = inferences.map(|inference| 11 + outputs(inference)).sum();
            let per_token = |value: f64| value / positions as f64;
            seconds[place].push(per_token(proof["provingSeconds"].as_f64().context("provingSeconds")?));
            bytes[place].push(per_token(proof["sizeBytes"].as_f64().context("sizeBytes")?));
            let checked = measure(Command::new(&verify).arg(&out).arg("--json"))?;
            anyhow::ensure!(checked.succeeded, "the proof does not verify: {}", checked.output);
            milliseconds[place].push(per_token(checked.time.as_secs_f64() * 1e3));
        }
    }
    for (place, size) in SIZES.into_iter().enumerate() {
        report(&format!("batch of {size}: prove, per token"), "s", &mut seconds[place]);
        report(&format!("batch of {size}: proof, per token"), "bytes", &mut bytes[place]);
        report(&format!("batch of {size}: obelysk-verify, per token"), "ms", &mut milliseconds[place]);
    }
    Ok(())
}
