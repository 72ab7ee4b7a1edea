//! A copy of the sources that holds every mutant at once: an environment variable names the one that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::list::{Mutant, Place};

/// Names the mutant that runs.
pub const VARIABLE: &str = "OBELYSK_MUTANT";

/// What every changed crate gains, in the copy alone.
const SWITCH: &str = r#"
pub fn mutant(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("OBELYSK_MUTANT").ok()).as_deref() == Some(name)
}
"#;

/// Bring `copy` up to date: what did not change is not written, so that it is not built again.
pub fn write(root: &Path, copy: &Path, mutants: &[Mutant]) -> Result<()> {
    let mut changed: BTreeMap<PathBuf, Vec<(Place, String)>> = BTreeMap::new();
    let mut switched = BTreeSet::new();
    for mutant in mutants {
        for change in &mutant.change {
            let place = change.place(root).with_context(|| format!("`{}`", mutant.name))?;
            let head = format!("(if crate::mutant({:?}) {{ {} }} else {{ ", mutant.name, change.replace.trim());
            switched.insert(change.sources(root).join("lib.rs"));
            changed.entry(place.file.clone()).or_default().push((place, head));
        }
    }
    let mut kept = BTreeSet::new();
    for source in tree(root)? {
        let relative = source.strip_prefix(root).expect("inside of the root");
        let target = copy.join(relative);
        let mut content = fs::read(&source)?;
        if let Some(places) = changed.get(&source) {
            content = rewrite(String::from_utf8(content)?, places)?.into_bytes();
        }
        if switched.contains(&source) {
            content = [b"#![allow(warnings)]\n", content.as_slice(), SWITCH.as_bytes()].concat();
        }
        if relative == Path::new("Cargo.toml") {
            content = renamed(&String::from_utf8(content)?).into_bytes();
        }
        if fs::read(&target).ok().as_ref() != Some(&content) {
            fs::create_dir_all(target.parent().expect("files lie in folders"))?;
            fs::write(&target, content)?;
        }
        kept.insert(target);
    }
    for stale in tree(copy)?.into_iter().filter(|file| !kept.contains(file)) {
        fs::remove_file(stale)?;
    }
    Ok(())
}

/// Another version of every crate: with the same one, cargo would take what it builds of the copy for what it builds of the workspace.
fn renamed(manifest: &str) -> String {
    manifest.replacen("\nversion = \"", "\nversion = \"0.0.0-mutants.", 1)
}

/// Wrap every place. One may lie inside of another, not across its end.
fn rewrite(text: String, places: &[(Place, String)]) -> Result<String> {
    // What begins at a byte, outer ones first, and what ends there, inner ones first.
    let mut begins: BTreeMap<usize, Vec<&(Place, String)>> = BTreeMap::new();
    let mut ends: BTreeMap<usize, usize> = BTreeMap::new();
    for wrapped in places {
        let Place { start, end, file } = &wrapped.0;
        let crosses = |other: &Place| *start < other.start && other.start < *end && *end < other.end;
        if places.iter().any(|(other, _)| crosses(other)) {
            bail!("{}: two mutants overlap at byte {start}", file.display());
        }
        begins.entry(*start).or_default().push(wrapped);
        *ends.entry(*end).or_default() += 1;
    }
    let mut output = String::with_capacity(2 * text.len());
    for (position, letter) in text.char_indices() {
        output.push_str(&" })".repeat(ends.get(&position).copied().unwrap_or(0)));
        if let Some(own) = begins.get_mut(&position) {
            own.sort_by_key(|(place, _)| std::cmp::Reverse(place.end));
            own.iter().for_each(|(_, head)| output.push_str(head));
        }
        output.push(letter);
    }
    Ok(output)
}

/// Files that a build reads.
fn tree(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with('.') || name.starts_with("target") {
            continue;
        }
        if path.is_dir() { found.extend(tree(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_of_the_copy_have_a_version_of_their_own() {
        let manifest = "[workspace.package]\nversion = \"0.1.0\"\n";
        assert_eq!(renamed(manifest), "[workspace.package]\nversion = \"0.0.0-mutants.0.1.0\"\n");
    }

    #[test]
    fn a_mutant_may_lie_inside_of_another() {
        let place = |start, end| Place { file: PathBuf::new(), start, end };
        let wrapped = |start, end, name: &str| (place(start, end), format!("({name} "));
        let places = [wrapped(4, 5, "inner"), wrapped(4, 9, "outer")];
        assert_eq!(rewrite("let a + b;".into(), &places).unwrap(), "let (outer (inner a }) + b });");
        assert!(rewrite("let a + b;".into(), &[wrapped(4, 7, "one"), wrapped(6, 9, "two")]).is_err());
    }
}
