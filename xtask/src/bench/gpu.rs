//! A machine with a GPU: the same proofs on it and on the processor, byte for byte, and how long each takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::kernels;

use super::{Measured, Phases, fresh_folder, measure, programs, report, shapes};

/// Arguments of `gpu-check`.
#[derive(Args)]
pub struct Arguments {
    /// Where `obelysk` is, on a machine that cannot build it [default: it is built]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// The bundled model alone, which takes seconds
    #[arg(long)]
    quick: bool,
    /// Runs on each device, in turn
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// A model and what it is asked.
struct Subject {
    name: &'static str,
    model: Vec<String>,
    tokens: Vec<u32>,
    outputs: u32,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let programs = match &arguments.programs {
        Some(folder) => folder.clone(),
        None => {
            kernels::ensure()?;
            programs()?
        }
    };
    let obelysk = programs.join("obelysk");
    let folder = fresh_folder("gpu-check")?;
    let setup = measure(Command::new(&obelysk).args(["setup", "--gpu", "--json", "--home"]).arg(folder.join("home")))?;
    ensure!(setup.succeeded, "there is no GPU to check: {}", setup.output.trim());
    println!("{}", setup.output.trim());
    let mut subjects = vec![Subject {
        name: "tiny-chat",
        model: vec!["--preset".into(), "tiny-chat".into()],
        tokens: vec![1, 88, 86, 269, 202, 267, 264, 224, 26, 266, 224, 24, 34, 2, 202, 1],
        outputs: 16,
    }];
    if !arguments.quick {
        for own in [&shapes::GPT2_SMALL, &shapes::QWEN2_0_5B] {
            let model = folder.join(own.name());
            shapes::write(own, &model)?;
            let model = vec!["--model-dir".into(), model.display().to_string()];
            subjects.push(Subject { name: own.name(), model, tokens: (5..20).collect(), outputs: 2 });
        }
    }
    subjects.iter().try_for_each(|subject| check(&obelysk, &folder, subject, arguments.runs))
}

/// Prove on both devices in turn, and compare.
fn check(obelysk: &Path, folder: &Path, subject: &Subject, runs: usize) -> Result<()> {
    const DEVICES: [(&str, &str); 2] = [("cpu", "--no-gpu"), ("gpu", "--gpu-only")];
    let name = subject.name;
    let mut phases = DEVICES.map(|_| Phases::default());
    let mut seconds = DEVICES.map(|_| Vec::new());
    let mut ratios = Vec::new();
    for _ in 0..runs {
        let mut proofs = Vec::new();
        for ((device, flag), (phases, seconds)) in DEVICES.iter().zip(phases.iter_mut().zip(&mut seconds)) {
            let out = folder.join(format!("{name}-{device}"));
            let proven = prove(obelysk, folder, subject, flag, &out)?;
            let facts = &proven.answer().with_context(|| format!("{name} on the {device}"))?["proof"];
            seconds.push(facts["provingSeconds"].as_f64().context("provingSeconds")?);
            phases.read(&out)?;
            proofs.push(fs::read(out.join("proof.bin"))?);
        }
        ensure!(proofs[0] == proofs[1], "{name}: the GPU's proof has other bytes than the processor's");
        ratios.push(seconds[0].last().context("a time")? / seconds[1].last().context("a time")?);
    }
    println!("{name}: {} bytes, the same on both", fs::metadata(folder.join(format!("{name}-gpu/proof.bin")))?.len());
    for ((device, _), (phases, mut seconds)) in DEVICES.iter().zip(phases.into_iter().zip(seconds)) {
        report(&format!("{name} on the {device} prove"), "s", &mut seconds);
        phases.report(&format!("{name} on the {device}"));
    }
    report(&format!("{name} prove, cpu to gpu"), "", &mut ratios);
    Ok(())
}

fn prove(obelysk: &Path, folder: &Path, subject: &Subject, device: &str, out: &Path) -> Result<Measured> {
    if out.exists() {
        fs::remove_dir_all(out)?;
    }
    let tokens: Vec<String> = subject.tokens.iter().map(u32::to_string).collect();
    let mut command = Command::new(obelysk);
    command.arg("run").args(&subject.model).args(["--tokens", &tokens.join(",")]);
    command.args(["--max-new-tokens", &subject.outputs.to_string(), "--nonce", &"0".repeat(64), device]);
    command.args(["--skip-inference", "--no-audit", "--json", "--quiet", "--home"]).arg(folder.join("home"));
    measure(command.arg("--out").arg(out))
}
