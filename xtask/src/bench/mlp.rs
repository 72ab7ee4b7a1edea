//! Multilayer perceptrons, as provers of neural networks are compared by.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Measured, build, measure, report};

/// Layers of equal width: a matrix product and ReLU each.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) layers: usize,
    pub(super) width: usize,
}

/// Those of goals Z1 and Z2.
pub(super) const SHAPES: [Shape; 2] = [Shape { layers: 2, width: 256 }, Shape { layers: 4, width: 1024 }];

/// A figure of a program: field, name, units in one of the field's, unit.
pub(super) type Figure = (&'static str, &'static str, f64, &'static str);

/// What every prover of perceptrons prints.
pub(super) const FIGURES: [Figure; 4] = [
    ("witnessSeconds", "witness", 1e3, "ms"),
    ("proveSeconds", "prove", 1.0, "s"),
    ("verifySeconds", "verify", 1e3, "ms"),
    ("proofBytes", "proof size", 1.0, "bytes"),
];
/// What ours prints besides.
const OURS: [Figure; 2] = [("commitSeconds", "weight commitment", 1.0, "s"), ("securityBits", "security", 1.0, "bits")];
/// Of the process that proves.
const PEAK: (&str, &str) = ("peak memory", "MiB");

impl Shape {
    /// Its name in reports.
    pub(super) fn name(self) -> String {
        format!("mlp {}x{}", self.layers, self.width)
    }

    /// Commit to weights of this shape, prove and verify, in a process of its own.
    pub(super) fn prove(self, program: &Path) -> Result<Measured> {
        measure(Command::new(program).args([self.layers.to_string(), self.width.to_string()]))
    }
}

/// Build the program that proves a perceptron.
pub(super) fn program() -> Result<PathBuf> {
    Ok(build(&[("obelysk-tests", "prove-mlp")])?.join("prove-mlp"))
}

/// Goals Z1 and Z2.
pub(super) fn run(runs: usize) -> Result<()> {
    let program = program()?;
    for shape in SHAPES {
        let figures = [&FIGURES[..], &OURS].concat();
        let mut values = vec![Vec::new(); figures.len() + 1];
        for _ in 0..runs {
            let run = read(&figures, &shape.prove(&program)?)?;
            values.iter_mut().zip(run).for_each(|(values, value)| values.push(value));
        }
        for ((figure, unit), values) in names(&figures).zip(&mut values) {
            report(&format!("{} {figure}", shape.name()), unit, values);
        }
    }
    Ok(())
}

/// Figures of a run, and its peak memory.
pub(super) fn read(figures: &[Figure], measured: &Measured) -> Result<Vec<f64>> {
    let answer = measured.answer()?;
    let of_answer = figures.iter().map(|(field, _, scale, _)| Ok(answer[field].as_f64().context(*field)? * scale));
    of_answer.chain([Ok(measured.peak_mebibytes)]).collect()
}

/// Names and units of what [`read`] gives.
pub(super) fn names(figures: &[Figure]) -> impl Iterator<Item = (&'static str, &'static str)> {
    figures.iter().map(|&(_, figure, _, unit)| (figure, unit)).chain([PEAK])
}
