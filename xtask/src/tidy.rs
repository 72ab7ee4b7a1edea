//! The rules of the tree, as a check: walls between crates, one idea per file, nothing unfinished, documents that are true.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::root;

/// Who may never depend on whom, directly or through others.
const WALLS: [(&str, &[&str]); 11] = [
    ("obelysk-verifier", &["obelysk-prover", "obelysk-witness", "obelysk-model", "obelysk-kernels", "obelysk-chain"]),
    ("obelysk-operator", &["obelysk-prover", "obelysk-model", "obelysk-kernels"]),
    ("obelysk", &["obelysk-fake-driver"]),
    ("obelysk-chain", &["obelysk-prover", "obelysk-witness", "obelysk-model", "obelysk-kernels"]),
    ("obelysk-prover", &["obelysk-model", "obelysk-kernels"]),
    ("obelysk-kernels", &["obelysk-model", "obelysk-api", "obelysk-hub"]),
    ("obelysk-witness", &["obelysk-prover", "obelysk-verifier", "obelysk-model", "obelysk-kernels"]),
    (
        "obelysk-statement",
        &["obelysk-witness", "obelysk-prover", "obelysk-verifier", "obelysk-model", "obelysk-api", "obelysk-kernels"],
    ),
    ("obelysk-model", &["obelysk-prover", "obelysk-verifier", "obelysk-kernels"]),
    ("obelysk-api", &["obelysk-statement", "obelysk-model"]),
    ("obelysk-hub", &["obelysk-statement", "obelysk-model", "obelysk-api"]),
];

/// Who may use unsafe code: to launch kernels, and to load a driver that tests have built.
const UNSAFE: [&str; 2] = ["obelysk-kernels", "obelysk-fake-driver"];
/// Longest file.
const LINES_MAX: usize = 600;
/// Marks of unfinished work, spelt so that this file does not hold them.
const UNFINISHED: [&str; 5] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("dbg", "!("), concat!("#[ig", "nore")];

pub fn run() -> Result<()> {
    let mut complaints = Vec::new();
    walls(&mut complaints)?;
    sources(&mut complaints)?;
    documents(&mut complaints)?;
    if complaints.is_empty() {
        println!("tidy");
        return Ok(());
    }
    bail!("not tidy:\n  {}", complaints.join("\n  "));
}

fn walls(complaints: &mut Vec<String>) -> Result<()> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec()?;
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in &metadata.packages {
        let own = edges.entry(package.name.to_string()).or_default();
        for dependency in &package.dependencies {
            if dependency.kind != DependencyKind::Development && dependency.path.is_some() {
                own.insert(dependency.name.clone());
            }
        }
        let manifest = fs::read_to_string(&package.manifest_path)?;
        if !manifest.contains("[lints]\nworkspace = true") && !UNSAFE.contains(&package.name.as_str()) {
            complaints.push(format!("{}: it does not inherit the workspace's lints", package.manifest_path));
        }
        for line in manifest.lines().filter(|line| line.contains(" = \"") && line.contains("version")) {
            complaints
                .push(format!("{}: `{line}` does not take its version from the workspace", package.manifest_path));
        }
    }
    for (from, forbidden) in WALLS {
        let mut reached = BTreeSet::new();
        let mut open = vec![from.to_owned()];
        while let Some(package) = open.pop() {
            for next in edges.get(&package).into_iter().flatten() {
                if reached.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        complaints
            .extend(forbidden.iter().filter(|to| reached.contains(**to)).map(|to| format!("{from} depends on {to}")));
    }
    Ok(())
}

fn sources(complaints: &mut Vec<String>) -> Result<()> {
    for path in files(&root(), "rs")? {
        let text = fs::read_to_string(&path)?;
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        if !text.starts_with("//!") {
            complaints.push(format!("{shown}: it does not begin by saying what it is"));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            complaints.push(format!("{shown}: {lines} lines are more than one idea"));
        }
        for mark in UNFINISHED {
            if text.contains(mark) {
                complaints.push(format!("{shown}: it holds `{mark}`"));
            }
        }
        if !is_reached(&path)? {
            complaints.push(format!("{shown}: no module declares it"));
        }
    }
    Ok(())
}

/// Whether a file is a crate's root or declared by the module above it.
fn is_reached(path: &Path) -> Result<bool> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let folder = path.parent().expect("files lie in folders");
    let folder_name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if ["main", "lib", "build"].contains(&stem) || ["bin", "tests", "examples", "benches"].contains(&folder_name) {
        return Ok(true);
    }
    let (name, above) =
        if stem == "mod" { (folder_name, folder.parent().expect("inside of the root")) } else { (stem, folder) };
    let mut parents: Vec<PathBuf> = ["mod.rs", "lib.rs", "main.rs"].map(|file| above.join(file)).into();
    parents.push(above.with_extension("rs"));
    // Each file of this folder is a crate, and declares what it shares with others.
    if above.ends_with("tests") {
        let beside = fs::read_dir(above)?.filter_map(|entry| Some(entry.ok()?.path()));
        parents.extend(beside.filter(|file| file.extension().is_some_and(|extension| extension == "rs")));
    }
    for parent in parents.iter().filter(|parent| parent.is_file()) {
        let text = fs::read_to_string(parent)?;
        let declares =
            |line: &str| line.trim_end_matches(';').rsplit("mod ").next() == Some(name) && line.contains("mod ");
        if text.lines().any(|line| declares(line.trim())) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn documents(complaints: &mut Vec<String>) -> Result<()> {
    let own = subcommands("xtask/src/main.rs", "enum Task")?;
    let product = subcommands("prover-image/src/arguments/mod.rs", "enum Command")?;
    for path in files(&root(), "md")? {
        let text = fs::read_to_string(&path)?;
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        let mut fenced = false;
        for line in text.lines() {
            if line.starts_with("```") {
                fenced = !fenced && line.trim() == "```sh";
                continue;
            }
            if fenced {
                let words: Vec<&str> = line.trim_start_matches("$ ").split_whitespace().collect();
                let unknown = match words.as_slice() {
                    ["cargo", "xtask", task, ..] => !own.contains(*task),
                    ["obelysk", command, ..] => !command.starts_with('-') && !product.contains(*command),
                    _ => false,
                };
                if unknown {
                    complaints.push(format!("{shown}: `{line}` is no command"));
                }
            }
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = target.split('#').next().unwrap_or_default();
                let relative = !target.is_empty() && !target.contains("://");
                if relative && !path.parent().expect("inside of the root").join(target).exists() {
                    complaints.push(format!("{shown}: the link to {target} leads nowhere"));
                }
            }
        }
    }
    Ok(())
}

/// Names of a clap enum's variants, as clap spells them.
fn subcommands(file: &str, declaration: &str) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(root().join(file))?;
    let body = text.split(declaration).nth(1).and_then(|rest| rest.split("\n}").next()).unwrap_or_default();
    let variant = |line: &str| {
        let name: String = line.trim().chars().take_while(char::is_ascii_alphanumeric).collect();
        name.starts_with(|c: char| c.is_ascii_uppercase()).then(|| {
            let mut words = String::new();
            for (place, letter) in name.chars().enumerate() {
                if letter.is_ascii_uppercase() && place > 0 {
                    words.push('-');
                }
                words.push(letter.to_ascii_lowercase());
            }
            words
        })
    };
    Ok(body.lines().filter_map(variant).collect())
}

/// Files of the repository with an extension, build outputs apart.
pub fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && !name.starts_with("target") {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        run().unwrap();
    }

    #[test]
    fn variants_are_spelt_as_clap_spells_them() {
        assert!(subcommands("xtask/src/main.rs", "enum Task").unwrap().contains("demo"));
    }
}
