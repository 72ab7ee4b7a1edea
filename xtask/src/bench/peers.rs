//! The same perceptrons, proven by us and by EZKL in turn.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::mlp::{self, Shape};
use super::{Measured, fresh_folder, measure, report};
use crate::{process, root};

const EZKL: &str = "23.0.5";
const ONNX: &str = "1.23.2";
/// Writes a perceptron as ONNX and lets EZKL prove it, each step for ten minutes and within 14 GiB.
const SCRIPT: &str = "xtask/src/bench/mlp_ezkl.py";

/// What both programs print: field, name, units in one of the field's, unit.
const FIGURES: [(&str, &str, f64, &str); 4] = [
    ("witnessSeconds", "witness", 1.0, "s"),
    ("proveSeconds", "prove", 1.0, "s"),
    ("verifySeconds", "verify", 1e3, "ms"),
    ("proofBytes", "proof size", 1.0, "bytes"),
];
/// [`FIGURES`], and the peak memory of the process that proves.
const COUNT: usize = FIGURES.len() + 1;

/// Goals Z1 and Z2, beside the best known. A ratio is ours to theirs, of two runs after one another. EZKL reads its proving key from
/// a file whenever it proves; our process commits to the weights besides. Neither is part of the time, apart from that reading.
pub(super) fn run(runs: usize) -> Result<()> {
    let program = mlp::program()?;
    let python = python()?;
    for shape in mlp::SHAPES {
        compare(shape, runs, &program, &python)?;
    }
    Ok(())
}

/// A Python with EZKL, fetched once.
fn python() -> Result<PathBuf> {
    let folder = root().join(".cache").join(format!("ezkl-{EZKL}"));
    let python = folder.join("bin/python");
    if !folder.join("complete").exists() {
        let fetch = || -> Result<()> {
            process::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
            let packages = [format!("ezkl=={EZKL}"), format!("onnx=={ONNX}")];
            process::output(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages))?;
            Ok(std::fs::write(folder.join("complete"), [])?)
        };
        fetch().context("EZKL cannot be had, so there is nothing to compare with")?;
    }
    Ok(python)
}

fn compare(shape: Shape, runs: usize, program: &Path, python: &Path) -> Result<()> {
    let name = shape.name();
    let folder = fresh_folder(&format!("peers/{}x{}", shape.layers, shape.width))?;
    let ezkl = |step: &str, numbers: &[usize]| {
        let numbers = numbers.iter().map(usize::to_string);
        let mut command = Command::new(python);
        measure(command.arg(root().join(SCRIPT)).arg(step).arg(&folder).args(numbers))
    };
    let setup = ezkl("setup", &[shape.layers, shape.width])?;
    if !ended(&name, "setup", &setup) {
        return Ok(());
    }
    let answer = setup.answer()?;
    for (field, unit) in [("setupSeconds", "s"), ("logRows", ""), ("columns", ""), ("provingKeyBytes", "bytes")] {
        report(&format!("{name} ezkl {field}"), unit, &mut [answer[field].as_f64().context(field)?]);
    }
    report(&format!("{name} ezkl setup peak memory"), "MiB", &mut [setup.peak_mebibytes]);
    let [mut ours, mut theirs, mut ratios] = [(); 3].map(|()| [(); COUNT].map(|()| Vec::new()));
    for _ in 0..runs {
        let own = figures(&shape.prove(program)?)?;
        let proven = ezkl("prove", &[])?;
        if !ended(&name, "prove", &proven) {
            return Ok(());
        }
        let other = figures(&proven)?;
        for place in 0..COUNT {
            ours[place].push(own[place]);
            theirs[place].push(other[place]);
            ratios[place].push(own[place] / other[place]);
        }
    }
    for place in 0..COUNT {
        let (figure, unit) = FIGURES.get(place).map_or(("peak memory", "MiB"), |&(_, figure, _, unit)| (figure, unit));
        report(&format!("{name} {figure}"), unit, &mut ours[place]);
        report(&format!("{name} ezkl {figure}"), unit, &mut theirs[place]);
        report(&format!("{name} {figure}, obelysk to ezkl"), "", &mut ratios[place]);
    }
    Ok(())
}

/// Whether EZKL came to an end, and if not, how far it came.
fn ended(name: &str, step: &str, measured: &Measured) -> bool {
    if !measured.succeeded {
        let (seconds, peak) = (measured.time.as_secs(), measured.peak_mebibytes);
        println!("{name} ezkl {step}: no end within 10 minutes a step and 14 GiB; after {seconds} s and {peak:.0} MiB");
    }
    measured.succeeded
}

fn figures(measured: &Measured) -> Result<[f64; COUNT]> {
    let answer = measured.answer()?;
    let mut figures = [measured.peak_mebibytes; COUNT];
    for ((field, _, scale, _), figure) in FIGURES.iter().zip(&mut figures) {
        *figure = answer[field].as_f64().context(*field)? * scale;
    }
    Ok(figures)
}
