//! Compile the kernels with CUDA's own compiler for every GPU that they are for: machine code that `obelysk-kernels` builds in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{python, root};

/// The newest compiler whose code drivers of the 580 series load.
const COMPILER: &str = "13.0.88";
const RUNTIME: &str = "13.0.96";
/// Compute capabilities of A100, RTX 4090, H100 and H200, B200, B300.
const ARCHITECTURES: [u32; 5] = [80, 89, 90, 100, 103];
/// With more registers, fewer than three blocks of 256 threads are on a multiprocessor at once.
const REGISTERS_MAX: u32 = 80;

/// What the compiler says of a kernel.
struct Usage {
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
        Ok(nvcc) => compile_all(&nvcc),
        Err(error) => {
            println!("SKIPPED: no machine code of the kernels is built in: {error:#}");
            Ok(())
        }
    }
}

/// Compile all sources anew.
pub fn run() -> Result<()> {
    compile_all(&compiler()?)
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

fn compile_all(nvcc: &Path) -> Result<()> {
    let native = root().join("kernels/native");
    let folder = root().join("kernels/machine-code");
    // Whoever sees the copies of the sources finds all that was made of them.
    let copies = folder.join("native");
    if copies.exists() {
        fs::remove_dir_all(&copies)?;
    }
    let mut sources: Vec<PathBuf> = fs::read_dir(&native)?
        .map(|entry| Ok(entry?.path()))
        .filter(|path| path.as_ref().map_or(true, |path| path.extension().is_some_and(|extension| extension == "cu")))
        .collect::<Result<_>>()?;
    sources.sort();
    println!("| kernel | source | registers on sm_{} |", ARCHITECTURES.map(|own| own.to_string()).join(", "));
    println!("|---|---|---|");
    let mut refused = Vec::new();
    for source in &sources {
        let name = source.file_name().context("a file")?.to_string_lossy().into_owned();
        let mut registers: Vec<(String, Vec<u32>)> = Vec::new();
        for architecture in ARCHITECTURES {
            for usage in compile(nvcc, source, architecture, &folder)? {
                if usage.spilled > 0 || usage.registers > REGISTERS_MAX {
                    refused.push(format!(
                        "{} on sm_{architecture}: {} registers and {} bytes of spills; at most {REGISTERS_MAX} and none",
                        usage.kernel, usage.registers, usage.spilled
                    ));
                }
                match registers.iter_mut().find(|(known, _)| *known == usage.kernel) {
                    Some((_, own)) => own.push(usage.registers),
                    None => registers.push((usage.kernel, vec![usage.registers])),
                }
            }
        }
        for (kernel, registers) in registers {
            let registers: Vec<String> = registers.iter().map(u32::to_string).collect();
            println!("| `{kernel}` | `{name}` | {} |", registers.join(", "));
        }
    }
    ensure!(refused.is_empty(), "{}", refused.join("\n"));
    fs::create_dir(&copies)?;
    for entry in fs::read_dir(&native)? {
        let path = entry?.path();
        fs::copy(&path, copies.join(path.file_name().context("a file")?))?;
    }
    Ok(())
}

/// The compiler, and the headers that it needs.
fn compiler() -> Result<PathBuf> {
    let packages = [("nvcc", COMPILER), ("crt", COMPILER), ("runtime", RUNTIME)];
    let mut packages: Vec<String> =
        packages.map(|(name, version)| format!("nvidia-cuda-{name}=={version}")).into_iter().collect();
    packages.push(format!("nvidia-nvvm=={COMPILER}"));
    let folder = python::environment(&format!("nvcc-{COMPILER}"), &packages).context("nvcc cannot be had")?;
    let libraries = fs::read_dir(folder.join("lib"))?.next().context("a Python has libraries")??;
    let nvcc = libraries.path().join("site-packages/nvidia/cu13/bin/nvcc");
    ensure!(nvcc.exists(), "there is no {}", nvcc.display());
    Ok(nvcc)
}

fn compile(nvcc: &Path, source: &Path, architecture: u32, folder: &Path) -> Result<Vec<Usage>> {
    let output =
        folder.join(format!("{}.{architecture}.cubin", source.file_stem().context("a name")?.to_string_lossy()));
    let mut command = Command::new(nvcc);
    command.args(["-cubin", "-std=c++17", "-Xptxas", "-v", "-o"]).arg(&output).arg(source);
    let compiled = command.arg(format!("-arch=sm_{architecture}")).output()?;
    let log = String::from_utf8_lossy(&compiled.stderr).into_owned();
    if !compiled.status.success() {
        bail!("{} for sm_{architecture}: {log}", source.display());
    }
    usages(&log).with_context(|| format!("nvcc said of {}: {log}", source.display()))
}

/// What the assembler prints: an entry's name, its spills, its registers.
fn usages(log: &str) -> Option<Vec<Usage>> {
    let mut usages: Vec<Usage> = Vec::new();
    for line in log.lines() {
        if let Some(rest) = line.split("Compiling entry function '").nth(1) {
            usages.push(Usage { kernel: rest.split('\'').next()?.to_owned(), registers: 0, spilled: 0 });
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
        let log = "ptxas info    : Compiling entry function 'fold' for 'sm_90'\n\
            ptxas info    : Function properties for fold\n\
            \x20   8 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads\n\
            ptxas info    : Used 40 registers, used 0 barriers, 384 bytes cmem[0]\n";
        let usages = usages(log).unwrap();
        assert_eq!((usages[0].kernel.as_str(), usages[0].registers, usages[0].spilled), ("fold", 40, 12));
        assert!(super::usages("ptxas fatal").is_none());
    }
}
