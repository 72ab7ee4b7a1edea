//! What comes from the registry of Python packages, fetched once and kept apart from the system's.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{process, root};

/// A folder of its own with these packages: `bin/python`, and whatever else they bring.
pub fn environment(name: &str, packages: &[String]) -> Result<PathBuf> {
    let folder = root().join(".cache").join(name);
    if !folder.join("complete").exists() {
        process::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let python = folder.join("bin/python");
        process::output(Command::new(python).args(["-m", "pip", "install", "--quiet"]).args(packages))?;
        std::fs::write(folder.join("complete"), [])?;
    }
    Ok(folder)
}
