//! Folders with the layout of a hub's repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use obelysk_hub::{INDEX, SMALL_FILES};
use obelysk_model::regular;

use super::ModelFiles;
use super::manifest::{MANIFEST, Manifest, ManifestFile};
use super::weights::{choose, parse_index};
use crate::failure::{ExitCode, Failure};
use crate::home::Home;

/// No index is longer.
const INDEX_BYTES_MAX: u64 = 64 << 20;

/// A folder that the user names.
pub(super) fn open(home: &Home, folder: &Path) -> Result<ModelFiles, Failure> {
    if !folder.is_dir() {
        let message = format!("{} is not a folder", folder.display());
        return Err(Failure::new(ExitCode::BadSpec, message, "name a folder with config.json and safetensors"));
    }
    let folder = fs::canonicalize(folder).map_err(|error| Failure::io("find", folder, &error))?;
    let name = folder.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
    let manifest = if folder.join(MANIFEST).is_file() {
        Manifest::read(&folder)?
    } else {
        Manifest::of(describe_files(home, &folder)?)
    };
    // Whoever names a folder of HOME itself finds there what is derived from it. Any other may be read-only.
    let derived = if home.holds(&folder) { folder.clone() } else { home.model("local", &name, &manifest.revision) };
    let model = ModelFiles::new(home, format!("local/{name}"), folder, derived, manifest);
    if model.is_there() {
        model.check()?;
    }
    Ok(model)
}

fn describe_files(home: &Home, folder: &Path) -> Result<Vec<ManifestFile>, Failure> {
    let is_there = |name: &str| folder.join(name).is_file();
    let mut names: BTreeSet<String> =
        SMALL_FILES.iter().filter(|name| is_there(name)).map(|&name| name.into()).collect();
    if !names.contains("config.json") {
        return Err(lacks(folder, "config.json"));
    }
    let shards = if names.contains(INDEX) { shards(&folder.join(INDEX))? } else { BTreeMap::new() };
    names.extend(choose(shards.values(), is_there).map_err(|missing| lacks(folder, &missing))?);
    let mut known = home.known_files(folder);
    let mut describe = |name: String| {
        let metadata = fs::metadata(folder.join(&name)).map_err(|_| lacks(folder, &name))?;
        Ok(ManifestFile { bytes: metadata.len(), sha256: known.sha256(&name)?, path: name })
    };
    let files = names.into_iter().map(&mut describe).collect::<Result<_, Failure>>()?;
    known.keep();
    Ok(files)
}

/// The shard of every tensor, as an index states them.
pub(super) fn shards(index: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let text = regular::read(index, INDEX_BYTES_MAX).map_err(|error| Failure::io("read", index, &error))?;
    parse_index(&index.display().to_string(), &text)
}

fn lacks(folder: &Path, name: &str) -> Failure {
    let message = format!("{} has no {name}", folder.display());
    Failure::new(ExitCode::ModelMismatch, message, "download the whole model: config, tokenizer and every shard")
}
