//! The list of mutants: what each changes, and the test that notices.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::tidy::files;

/// Where the lists lie.
pub const FOLDER: &str = "tests/mutants";

/// A change of the proof system that a test has to notice.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// What it is, as a sentence.
    pub name: String,
    /// The test that fails with it, `binary::test`.
    pub test: String,
    /// Why no test notices it, where none can.
    pub survives: Option<String>,
    /// What it changes; more than one place where both sides have to agree.
    pub change: Vec<Change>,
}

/// An expression that is replaced by another of the same type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The crate, by its folder.
    #[serde(rename = "in")]
    pub package: String,
    /// Source text that occurs once in the crate's `src`, white space apart, where the expression alone occurs more often: the
    /// expression is inside of it.
    pub within: Option<String>,
    /// The expression; it occurs once.
    pub find: String,
    /// What takes its place.
    pub replace: String,
}

/// A place in a crate's sources.
#[derive(Debug, PartialEq)]
pub struct Place {
    pub file: PathBuf,
    pub start: usize,
    pub end: usize,
}

/// All mutants, in order of their files.
pub fn read(root: &Path) -> Result<Vec<Mutant>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        mutant: Vec<Mutant>,
    }
    let mut mutants = Vec::new();
    for path in files(&root.join(FOLDER), "toml")? {
        let list: List = toml::from_str(&fs::read_to_string(&path)?).with_context(|| path.display().to_string())?;
        mutants.extend(list.mutant);
    }
    Ok(mutants)
}

impl Mutant {
    /// The binary and the name of its test.
    pub fn test(&self) -> Result<(&str, &str)> {
        self.test.split_once("::").with_context(|| format!("`{}`: a test is `binary::name`", self.name))
    }
}

impl Change {
    /// The folder of the crate's sources.
    pub fn sources(&self, root: &Path) -> PathBuf {
        root.join("crates").join(&self.package).join("src")
    }

    /// Where the expression is.
    pub fn place(&self, root: &Path) -> Result<Place> {
        let outer = self.within.as_ref().unwrap_or(&self.find);
        let mut found = Vec::new();
        for file in files(&self.sources(root), "rs")? {
            let text = fs::read_to_string(&file)?;
            for (start, end) in occurrences(&text, outer) {
                let inner = occurrences(&text[start..end], &self.find);
                found.extend(inner.into_iter().map(|(from, to)| Place {
                    file: file.clone(),
                    start: start + from,
                    end: start + to,
                }));
            }
        }
        if found.len() != 1 {
            bail!("crates/{}/src has {} times, not once: {}", self.package, found.len(), self.find.trim());
        }
        Ok(found.remove(0))
    }
}

/// First and last byte of every occurrence of `text`, white space apart.
fn occurrences(source: &str, text: &str) -> Vec<(usize, usize)> {
    let dense = |text: &str| -> Vec<(usize, u8)> {
        text.bytes().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace()).collect()
    };
    let (source, text) = (dense(source), dense(text));
    if text.is_empty() {
        return Vec::new();
    }
    let windows = source.windows(text.len());
    let same = windows.filter(|window| window.iter().zip(&text).all(|((_, left), (_, right))| left == right));
    same.map(|window| (window[0].0, window[window.len() - 1].0 + 1)).collect()
}

/// Everything that makes the list out of date.
pub fn complaints(root: &Path, mutants: &[Mutant]) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    let mut names = BTreeSet::new();
    for mutant in mutants {
        let name = &mutant.name;
        if !names.insert(name) {
            complaints.push(format!("`{name}` is listed twice"));
        }
        let places: Vec<Result<Place>> = mutant.change.iter().map(|change| change.place(root)).collect();
        complaints.extend(places.into_iter().filter_map(Result::err).map(|error| format!("`{name}`: {error}")));
        let (binary, test) = mutant.test()?;
        if !exists(root, binary, test)? {
            complaints.push(format!("`{name}`: there is no test {binary}::{test}"));
        }
    }
    Ok(complaints)
}

/// Whether a binary of the tests, or of a crate of the proof system, has a test of this name.
fn exists(root: &Path, binary: &str, test: &str) -> Result<bool> {
    let sources = match binary.strip_prefix("obelysk_") {
        Some(package) => files(&root.join("crates").join(package).join("src"), "rs")?,
        None => vec![root.join("tests/tests").join(format!("{binary}.rs"))],
    };
    let declaration = format!("fn {}()", test.rsplit("::").next().unwrap_or(test));
    for source in sources {
        let text = fs::read_to_string(&source).with_context(|| format!("`{binary}` is no binary of tests"))?;
        if text.contains(&declaration) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root;

    #[test]
    fn every_mutant_has_its_place_and_its_test() {
        let mutants = read(&root()).unwrap();
        assert!(mutants.len() >= 240, "{} mutants", mutants.len());
        assert_eq!(complaints(&root(), &mutants).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn white_space_moves_no_mutant() {
        let source = "fn f() {\n    a\n        .b(c)\n}";
        assert_eq!(occurrences(source, "a.b( c )"), [(13, 28)]);
        assert_eq!(occurrences("aa", "a").len(), 2);
        assert!(occurrences("aa", " ").is_empty());
    }
}
