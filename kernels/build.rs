//! Builds machine code of the kernels in, if `cargo xtask kernels` has made some of these very sources. Without it a compiler is looked for
//! at run time.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let (sources, made) = (root.join("native"), root.join("machine-code"));
    println!("cargo:rerun-if-changed={}", sources.display());
    println!("cargo:rerun-if-changed={}", made.display());
    let mut list = String::from("&[\n");
    if is_of(&sources, &made.join("native")) {
        for path in files(&made) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let [source, architecture, extension] = name.split('.').collect::<Vec<_>>()[..] else { continue };
            let form = if extension == "ptx" { "Virtual" } else { "Machine" };
            let code = path.display().to_string();
            writeln!(list, "    (\"{source}.cu\", {architecture}, Form::{form}, include_bytes!({code:?})),")
                .expect("memory for a list");
        }
    } else if made.join("native").exists() {
        println!(
            "cargo:warning=the kernels' machine code is of other sources and left out: `cargo xtask kernels` makes it anew"
        );
    }
    list.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("built_in.rs"), list).expect("room for a list");
}

/// Whether machine code was made of these sources: it lies beside a copy of them.
fn is_of(sources: &Path, copies: &Path) -> bool {
    let read = |folder: &Path| -> Vec<(Option<std::ffi::OsString>, Vec<u8>)> {
        let file = |path: PathBuf| (path.file_name().map(Into::into), fs::read(&path).unwrap_or_default());
        files(folder).into_iter().map(file).collect()
    };
    read(sources) == read(copies)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}
