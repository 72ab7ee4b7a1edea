//! Multilayer perceptrons, as provers of neural networks are compared by.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{build, measure, report};

/// Layers of equal width: a matrix product and ReLU each.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) layers: usize,
    pub(super) width: usize,
}

/// Goals Z1 and Z2.
pub(super) const SHAPES: [Shape; 2] = [Shape { layers: 2, width: 256 }, Shape { layers: 4, width: 1024 }];

/// Figures of the program: field, name, units in one of the field's, unit.
const FIGURES: [(&str, &str, f64, &str); 6] = [
    ("commitSeconds", "weight commitment", 1.0, "s"),
    ("witnessSeconds", "witness", 1e3, "ms"),
    ("proveSeconds", "prove", 1.0, "s"),
    ("verifySeconds", "verify", 1e3, "ms"),
    ("proofBytes", "proof size", 1.0, "bytes"),
    ("securityBits", "security", 1.0, "bits"),
];

impl Shape {
    /// Its name in reports.
    pub(super) fn name(self) -> String {
        format!("mlp {}x{}", self.layers, self.width)
    }
}

/// What every run of a shape took.
#[derive(Default)]
pub(super) struct Runs {
    figures: [Vec<f64>; FIGURES.len()],
    /// Peak of the process that commits, proves and verifies, in MiB.
    peaks: Vec<f64>,
}

impl Runs {
    /// Prove a shape once.
    pub(super) fn add(&mut self, program: &PathBuf, shape: Shape) -> Result<()> {
        let measured = measure(Command::new(program).args([shape.layers.to_string(), shape.width.to_string()]))?;
        let answer = measured.answer()?;
        for ((field, _, scale, _), values) in FIGURES.iter().zip(&mut self.figures) {
            values.push(answer[field].as_f64().context(*field)? * scale);
        }
        self.peaks.push(measured.peak_mebibytes);
        Ok(())
    }

    /// Print all figures.
    pub(super) fn report(&mut self, shape: Shape) {
        for ((_, figure, _, unit), values) in FIGURES.iter().zip(&mut self.figures) {
            report(&format!("{} {figure}", shape.name()), unit, values);
        }
        report(&format!("{} peak memory", shape.name()), "MiB", &mut self.peaks);
    }
}

/// Build the program that proves a perceptron.
pub(super) fn program() -> Result<PathBuf> {
    Ok(build(&[("obelysk-tests", "prove-mlp")])?.join("prove-mlp"))
}

/// Commit, prove and verify each shape.
pub(super) fn run(runs: usize) -> Result<()> {
    let program = program()?;
    for shape in SHAPES {
        let mut all = Runs::default();
        for _ in 0..runs {
            all.add(&program, shape)?;
        }
        all.report(shape);
    }
    Ok(())
}
