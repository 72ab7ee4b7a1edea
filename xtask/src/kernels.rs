//! Compile the kernels with CUDA's own compiler for run time, for every GPU that they are for: machine code that `obelysk-kernels` builds in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{process, python, root};

/// The newest compiler of CUDA 12, whose machine code all drivers of CUDA 12 and newer load that know the GPU.
const COMPILER: &str = "12.9.86";
/// Compute capabilities of A100, RTX 4090, H100 and H200, B200, B300, RTX 5090.
const ARCHITECTURES: [u32; 6] = [80, 89, 90, 100, 103, 120];
/// What drivers translate from for GPUs that are newer than all of these.
const TRANSLATED: u32 = 80;
/// The hashes of all that is built in, beside the sources.
const HASHES: &str = "kernels/machine-code.blake3";
/// With more registers, fewer than three blocks of 256 threads are on a multiprocessor at once.
const REGISTERS_MAX: u32 = 80;

/// What the compiler says of a kernel.
struct Usage {
    source: String,
    architecture: String,
    kernel: String,
    registers: u32,
    /// Bytes of registers that are put aside in memory.
    spilled: u32,
}

/// Machine code of the sources as they are. Where the compiler cannot be had, there is none, and programs look for one at run time.
pub fn ensure() -> Result<()> {
    if is_up_to_date()? {
        return Ok(());
    }
    match compiler() {
        Ok(libraries) => compile_all(&libraries),
        Err(error) => {
            println!("SKIPPED: no machine code of the kernels is built in: {error:#}");
            Ok(())
        }
    }
}

/// Compile all sources anew, and write the hashes of what comes out.
pub fn run() -> Result<()> {
    compile_all(&compiler()?)?;
    fs::write(root().join(HASHES), hashes()?).context(HASHES)
}

/// A line for every file of machine code: its hash and its name.
fn hashes() -> Result<String> {
    let folder = root().join("kernels/machine-code");
    let mut lines = BTreeMap::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.is_file() {
            let name = path.file_name().context("a file")?.to_string_lossy().into_owned();
            lines.insert(name, blake3::hash(&fs::read(&path)?).to_hex());
        }
    }
    Ok(lines.into_iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect())
}

/// Whether the copies beside the machine code are the sources, all of them and no others.
fn is_up_to_date() -> Result<bool> {
    let read = |folder: &Path| -> Result<BTreeMap<OsString, Vec<u8>>> {
        if !folder.exists() {
            return Ok(BTreeMap::new());
        }
        fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| Ok((entry.file_name(), fs::read(entry.path())?)))?)
            .collect()
    };
    Ok(read(&root().join("kernels/native"))? == read(&root().join("kernels/machine-code/native"))?)
}

fn compile_all(libraries: &Path) -> Result<()> {
    let native = root().join("kernels/native");
    let folder = root().join("kernels/machine-code");
    // Whoever sees the copies of the sources finds all that was made of them.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut command = Command::new("cargo");
    command.args(["run", "--quiet", "--release", "--package", "obelysk-kernels", "--bin", "compile-kernels", "--"]);
    command.arg(&folder).args(ARCHITECTURES.iter().chain([&TRANSLATED]).map(u32::to_string));
    let log = process::output(command.current_dir(root()).env("LD_LIBRARY_PATH", libraries))?;
    report(&usages(&log).with_context(|| format!("the assembler said: {log}"))?)?;
    let copies = folder.join("native");
    fs::create_dir(&copies)?;
    for entry in fs::read_dir(&native)? {
        let path = entry?.path();
        fs::copy(&path, copies.join(path.file_name().context("a file")?))?;
    }
    Ok(())
}

/// Print the registers of every kernel, and refuse too many.
fn report(usages: &[Usage]) -> Result<()> {
    println!("| kernel | source | registers on sm_{} |", ARCHITECTURES.map(|own| own.to_string()).join(", "));
    println!("|---|---|---|");
    let mut refused = Vec::new();
    let mut registers: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for usage in usages {
        if usage.spilled > 0 || usage.registers > REGISTERS_MAX {
            refused.push(format!(
                "{} for {}: {} registers and {} bytes of spills; at most {REGISTERS_MAX} and none",
                usage.kernel, usage.architecture, usage.registers, usage.spilled
            ));
        }
        registers.entry((&usage.source, &usage.kernel)).or_default().push(usage.registers.to_string());
    }
    for ((source, kernel), registers) in registers {
        println!("| `{kernel}` | `{source}` | {} |", registers.join(", "));
    }
    ensure!(refused.is_empty(), "{}", refused.join("\n"));
    Ok(())
}

/// The folder of the compiler's libraries.
fn compiler() -> Result<PathBuf> {
    let package = format!("nvidia-cuda-nvrtc-cu12=={COMPILER}");
    let folder = python::environment(&format!("nvrtc-{COMPILER}"), &[package]).context("nvrtc cannot be had")?;
    let libraries = fs::read_dir(folder.join("lib"))?.next().context("a Python has libraries")??;
    let libraries = libraries.path().join("site-packages/nvidia/cuda_nvrtc/lib");
    ensure!(libraries.exists(), "there is no {}", libraries.display());
    Ok(libraries)
}

/// What the assembler prints of each source: an entry's name, its spills, its registers.
fn usages(log: &str) -> Option<Vec<Usage>> {
    let mut usages: Vec<Usage> = Vec::new();
    let (mut source, mut architecture) = ("", "");
    for line in log.lines() {
        if let Some(rest) = line.strip_prefix("source ") {
            (source, architecture) = rest.split_once(" for ")?;
        } else if let Some(rest) = line.split("Compiling entry function '").nth(1) {
            let kernel = rest.split('\'').next()?.to_owned();
            let (source, architecture) = (source.to_owned(), architecture.to_owned());
            usages.push(Usage { source, architecture, kernel, registers: 0, spilled: 0 });
        } else if let Some(before) = line.split(" bytes spill stores").next().filter(|before| *before != line) {
            usages.last_mut()?.spilled = before.rsplit(' ').next()?.parse().ok()?;
        } else if let Some(rest) = line.split("Used ").nth(1) {
            usages.last_mut()?.registers = rest.split(' ').next()?.parse().ok()?;
        }
    }
    (!usages.is_empty() && usages.iter().all(|usage| usage.registers > 0)).then_some(usages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_and_spills_are_read_from_what_the_assembler_prints() {
        let log = "source fold.cu for sm_90\n\
            ptxas info    : Compiling entry function 'fold' for 'sm_90'\n\
            ptxas info    : Function properties for fold\n\
            \x20   8 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads\n\
            ptxas info    : Used 40 registers, used 0 barriers, 384 bytes cmem[0]\n";
        let usages = usages(log).unwrap();
        assert_eq!((usages[0].source.as_str(), usages[0].architecture.as_str()), ("fold.cu", "sm_90"));
        assert_eq!((usages[0].kernel.as_str(), usages[0].registers, usages[0].spilled), ("fold", 40, 12));
        assert!(super::usages("ptxas fatal").is_none());
    }

    #[test]
    fn machine_code_is_the_same_wherever_it_is_made() {
        if !is_up_to_date().unwrap() {
            eprintln!("SKIPPED: there is no machine code of the kernels' sources: `cargo xtask kernels` makes it");
            return;
        }
        let expected = fs::read_to_string(root().join(HASHES)).unwrap_or_default();
        let hint = "commit what `cargo xtask kernels` writes, if sources or compiler have changed";
        assert!(hashes().unwrap() == expected, "{HASHES} has other hashes: {hint}");
    }
}
