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
        let mut figures = FIGURES.map(|_| Vec::new());
        let mut peaks = Vec::new();
        for _ in 0..runs {
            let measured = shape.prove(&program)?;
            let answer = measured.answer()?;
            for ((field, _, scale, _), values) in FIGURES.iter().zip(&mut figures) {
                values.push(answer[field].as_f64().context(*field)? * scale);
            }
            peaks.push(measured.peak_mebibytes);
        }
        for ((_, figure, _, unit), values) in FIGURES.iter().zip(&mut figures) {
            report(&format!("{} {figure}", shape.name()), unit, values);
        }
        report(&format!("{} peak memory", shape.name()), "MiB", &mut peaks);
    }
    Ok(())
}
