//! The contract: its generated arithmetic, its functions on vectors that Rust writes, and what each costs. The compiler is built once
//! from its own lock file; nothing of the workspace depends on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, time::Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{process, root};

/// Arguments of `contracts`.
#[derive(Args)]
pub struct Arguments {
    /// Write generated sources and costs anew instead of holding them.
    #[arg(long)]
    bless: bool,
    /// Run only vectors whose names hold this; costs are not held then.
    #[arg(long)]
    only: Option<String>,
}

/// The crate that carries the compiler's core library. Nothing is built of it.
const CORELIB: (&str, &str) = ("cairo-native", "0.9.0-rc.4");
/// Sources that the toolchain writes.
const GENERATED: [&str; 2] = ["field.cairo", "words.cairo"];

pub fn run(arguments: &Arguments) -> Result<()> {
    let contracts = root().join("contracts");
    let start = Instant::now();
    let tool = build(&contracts.join("toolchain"))?;
    let corelib = corelib(&contracts.join("toolchain"))?;
    println!("the compiler is there after {:.0} s", start.elapsed().as_secs_f64());
    generated(&tool, &contracts.join("src"), arguments.bless)?;
    let vectors = write_vectors()?;
    let mut command = Command::new(&tool);
    command.arg("test").args([&contracts, &corelib, &vectors]).args(&arguments.only);
    let mut costs = process::output(&mut command)?;
    let class = root().join("target/contracts/class");
    costs += &process::output(Command::new(&tool).arg("class").args([&contracts, &corelib, &class]))?;
    print!("{costs}");
    if arguments.only.is_none() {
        held(&contracts.join("costs.txt"), &costs, arguments.bless)?;
    }
    println!("{:.0} s in all", start.elapsed().as_secs_f64());
    Ok(())
}

fn build(toolchain: &Path) -> Result<PathBuf> {
    let target = root().join(".cache/tools/cairo");
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--release", "--locked", "--target-dir"]).arg(&target);
    process::run(command.current_dir(toolchain))?;
    Ok(target.join("release/obelysk-cairo"))
}

/// The folder of the core library: asking for a crate by its version unpacks it.
fn corelib(toolchain: &Path) -> Result<PathBuf> {
    let (name, version) = CORELIB;
    let crate_name = format!("{name}@{version}");
    process::output(Command::new(env!("CARGO")).current_dir(toolchain).args(["info", "--quiet", &crate_name]))?;
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo"))).context("cargo has no home")?;
    for registry in fs::read_dir(home.join("registry/src"))? {
        let folder = registry?.path().join(format!("{name}-{version}/corelib/src"));
        if folder.is_dir() {
            return Ok(folder);
        }
    }
    bail!("{crate_name} was fetched, and its core library is not in {}", home.join("registry/src").display())
}

fn generated(tool: &Path, sources: &Path, bless: bool) -> Result<()> {
    let fresh = tempfile::tempdir()?;
    process::run(Command::new(tool).arg("sources").arg(fresh.path()))?;
    for name in GENERATED {
        held(&sources.join(name), &fs::read_to_string(fresh.path().join(name))?, bless)?;
    }
    Ok(())
}

/// The folder of fresh vectors. No stale ones are left in it.
fn write_vectors() -> Result<PathBuf> {
    let folder = root().join("target/contracts/vectors");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).env("OBELYSK_VECTORS", &folder);
    process::run(command.args([
        "test",
        "--quiet",
        "--release",
        "--package",
        "obelysk-tests",
        "--test",
        "contract_vectors",
    ]))?;
    Ok(folder)
}

/// Compare with a file, or write it.
fn held(path: &Path, content: &str, bless: bool) -> Result<()> {
    if bless {
        return Ok(fs::write(path, content)?);
    }
    if fs::read_to_string(path).unwrap_or_default() != content {
        bail!("{} is out of date: `cargo xtask contracts --bless` writes it, if that is meant", path.display());
    }
    Ok(())
}
