//! Files that follow from code: `crds/*.yaml`, and their copies in the chart.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::{charts, process, root};

/// Arguments of `generate`.
#[derive(Args)]
pub struct Arguments {
    /// Fail if a file is out of date instead of writing it.
    #[arg(long)]
    pub check: bool,
}

/// Keeps resources when the chart is uninstalled: deleting a definition deletes every object of its kind.
const KEEP: &str = "helm.sh/resource-policy: keep";

/// Path and content of every generated file.
fn files() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for (name, yaml) in obelysk_api::crd::manifests() {
        let kept = yaml.replacen("metadata:\n", &format!("metadata:\n  annotations:\n    {KEEP}\n"), 1);
        files.push((root().join("charts/proving-crds/templates").join(&name), kept));
        files.push((root().join("crds").join(name), yaml));
    }
    files
}

pub fn run(arguments: &Arguments) -> Result<()> {
    for (path, content) in files() {
        if fs::read_to_string(&path).ok().as_ref() == Some(&content) {
            continue;
        }
        if arguments.check {
            bail!("{} is out of date: run `cargo xtask generate`", path.display());
        }
        fs::create_dir_all(path.parent().expect("generated files lie in folders"))?;
        fs::write(&path, content)?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// Write the generated files and the rendered charts, and let the test that pins proofs pin those of the code as it is.
pub fn bless() -> Result<()> {
    run(&Arguments { check: false })?;
    charts::bless()?;
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).env("OBELYSK_BLESS", "1");
    process::run(command.args(["test", "--release", "--package", "obelysk-tests", "--test", "golden"]))
}
