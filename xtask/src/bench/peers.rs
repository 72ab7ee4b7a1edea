//! The same perceptrons, proven by us and by EZKL in turn.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::mlp::{self, FIGURES, Shape, names, read};
use super::{Measured, fresh_folder, measure, report};
use crate::{python, root};

const EZKL: &str = "23.0.5";
const ONNX: &str = "1.23.2";
/// Writes a perceptron as ONNX and lets EZKL prove it, each step for ten minutes and within 14 GiB.
const SCRIPT: &str = "xtask/src/bench/mlp_ezkl.py";

/// Goals Z1 and Z2, beside the best known. A ratio is ours to theirs, of two runs after one another. EZKL reads its proving key from
/// a file whenever it proves; our process commits to the weights besides. Neither is part of the time, apart from that reading.
pub(super) fn run(runs: usize) -> Result<()> {
    let program = mlp::program()?;
    let packages = [format!("ezkl=={EZKL}"), format!("onnx=={ONNX}")];
    let environment = python::environment(&format!("ezkl-{EZKL}"), &packages);
    let python = environment.context("EZKL cannot be had, so there is nothing to compare with")?.join("bin/python");
    for shape in mlp::SHAPES {
        compare(shape, runs, &program, &python)?;
    }
    Ok(())
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
    // For each figure: ours, theirs, and the ratio.
    let mut values: Vec<[Vec<f64>; 3]> = names(&FIGURES).map(|_| Default::default()).collect();
    for _ in 0..runs {
        let own = read(&FIGURES, &shape.prove(program)?)?;
        let proven = ezkl("prove", &[])?;
        if !ended(&name, "prove", &proven) {
            return Ok(());
        }
        let other = read(&FIGURES, &proven)?;
        for ((own, other), [ours, theirs, ratios]) in own.into_iter().zip(other).zip(&mut values) {
            ours.push(own);
            theirs.push(other);
            ratios.push(own / other);
        }
    }
    for ((figure, unit), [ours, theirs, ratios]) in names(&FIGURES).zip(&mut values) {
        report(&format!("{name} {figure}"), unit, ours);
        report(&format!("{name} ezkl {figure}"), unit, theirs);
        report(&format!("{name} {figure}, obelysk to ezkl"), "", ratios);
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
