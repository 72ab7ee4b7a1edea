//! A model's files: the ones that matter, their digests, and the folder of HOME that belongs to their revision.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use obelysk_model::{bundle, presets};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::inputs::ModelSource;
use crate::artifacts::sha256_of_file;
use crate::atomic;
use crate::failure::{ExitCode, Failure};
use crate::home::Home;

/// Lists the files of a revision; written when all of them are in place.
const MANIFEST: &str = "manifest.json";
const INDEX: &str = "model.safetensors.index.json";
const SINGLE_SHARD: &str = "model.safetensors";
/// Read where present. Everything else in a folder, weights apart, is ignored.
const SMALL_FILES: [&str; 7] = [
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    INDEX,
];

/// A model on disk.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    /// Organisation and name.
    pub name: String,
    /// The folder with the files.
    pub folder: PathBuf,
    /// The folder for what is derived from them.
    pub derived: PathBuf,
    /// The files and their digests.
    pub manifest: Manifest,
}

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// SHA-256 over the files' digests and names.
    pub revision: String,
    /// The files, by name.
    pub files: Vec<ManifestFile>,
}

/// A file of a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestFile {
    /// Name.
    pub path: String,
    /// Length.
    pub bytes: u64,
    /// SHA-256, lower-case hex.
    pub sha256: String,
}

impl Manifest {
    /// The manifest of some files.
    #[must_use]
    pub fn of(mut files: Vec<ManifestFile>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut hasher = Sha256::new();
        for file in &files {
            hasher.update(format!("{}  {}\n", file.sha256, file.path));
        }
        Self { revision: hex::encode(hasher.finalize()), files }
    }

    /// SHA-256 of the manifest's JSON.
    #[must_use]
    pub fn digest(&self) -> String {
        let text = serde_json::to_vec(self).expect("plain data has a JSON form");
        hex::encode(Sha256::digest(text))
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Find a model's files and check them. A preset that is not in HOME yet is brought there.
///
/// # Errors
/// An unknown or unsupported preset, a folder without a model, files that differ from their manifest.
pub fn resolve(home: &Home, source: &ModelSource) -> Result<ModelFiles, Failure> {
    match source {
        ModelSource::Preset(name) => {
            let (model, contents) = preset(home, name)?;
            if model.is_there() {
                model.check()?
            } else {
                model.write(contents)?
            }
            Ok(model)
        }
        ModelSource::Directory(folder) => directory(home, folder),
    }
}

/// As [`resolve`], and replace damaged files of HOME.
///
/// # Errors
/// As [`resolve`], except that damage in HOME is repaired.
pub fn pull(home: &Home, source: &ModelSource) -> Result<ModelFiles, Failure> {
    match source {
        ModelSource::Preset(name) => {
            let (model, contents) = preset(home, name)?;
            if !model.is_there() || model.check().is_err() {
                model.write(contents)?;
            }
            Ok(model)
        }
        ModelSource::Directory(folder) => directory(home, folder),
    }
}

/// As [`resolve`], without writing anything.
///
/// # Errors
/// As [`resolve`], and a preset that is not in HOME.
pub fn find(home: &Home, source: &ModelSource) -> Result<ModelFiles, Failure> {
    match source {
        ModelSource::Preset(name) => {
            let (model, _) = preset(home, name)?;
            if !model.is_there() {
                let message = format!("{} is not in {}", model.name, model.folder.display());
                return Err(Failure::new(ExitCode::Cache, message, "fetch the model first"));
            }
            model.check()?;
            Ok(model)
        }
        ModelSource::Directory(folder) => directory(home, folder),
    }
}

/// Names and contents of files.
type Contents = &'static [(&'static str, &'static [u8])];

fn preset(home: &Home, name: &str) -> Result<(ModelFiles, Contents), Failure> {
    let contents = bundle::files(presets::find(name)?.name)?;
    let describe = |(path, content): &(&str, &[u8])| ManifestFile {
        path: (*path).into(),
        bytes: content.len() as u64,
        sha256: hex::encode(Sha256::digest(content)),
    };
    let manifest = Manifest::of(contents.iter().map(describe).collect());
    let folder = home.model("obelysk", name, &manifest.revision);
    Ok((ModelFiles { name: format!("obelysk/{name}"), derived: folder.clone(), folder, manifest }, contents))
}

fn directory(home: &Home, folder: &Path) -> Result<ModelFiles, Failure> {
    if !folder.is_dir() {
        let message = format!("{} is not a folder", folder.display());
        return Err(Failure::new(ExitCode::BadSpec, message, "name a folder with config.json and safetensors"));
    }
    let folder = fs::canonicalize(folder).map_err(|error| Failure::io("find", folder, &error))?;
    let name = folder.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
    let manifest = match folder.join(MANIFEST) {
        path if path.is_file() => read_manifest(&path)?,
        _ => Manifest::of(describe_files(&folder)?),
    };
    // Whoever names a folder of HOME itself finds there what is derived from it. Any other may be read-only.
    let is_home = fs::canonicalize(home.root()).is_ok_and(|root| folder.starts_with(root));
    let derived = if is_home { folder.clone() } else { home.model("local", &name, &manifest.revision) };
    let model = ModelFiles { name: format!("local/{name}"), folder, derived, manifest };
    if model.is_there() {
        model.check()?;
    }
    Ok(model)
}

fn read_manifest(path: &Path) -> Result<Manifest, Failure> {
    let text = fs::read(path).map_err(|error| Failure::io("read", path, &error))?;
    let damaged = |reason: String| {
        let message = format!("{} is damaged: {reason}", path.display());
        Failure::new(ExitCode::Cache, message, "fetch the model again")
    };
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    if Manifest::of(manifest.files.clone()) != manifest {
        return Err(damaged("its revision does not follow from its files".into()));
    }
    Ok(manifest)
}

impl ModelFiles {
    fn is_there(&self) -> bool {
        self.folder.join(MANIFEST).is_file()
    }

    /// The manifest comes last: it says that everything is in place.
    fn write(&self, contents: Contents) -> Result<(), Failure> {
        for (path, content) in contents {
            atomic::write(&self.folder.join(path), content)?;
        }
        atomic::write_json(&self.folder.join(MANIFEST), &self.manifest)
    }

    /// Compare every file with the manifest.
    ///
    /// # Errors
    /// A file is missing or differs.
    pub fn check(&self) -> Result<(), Failure> {
        let hint = format!("run `obelysk model pull` again, or remove {}", self.folder.display());
        for file in &self.manifest.files {
            let path = self.folder.join(&file.path);
            let problem = match fs::metadata(&path) {
                Err(_) => "is missing".to_string(),
                Ok(found) if found.len() != file.bytes => format!("has {} bytes, not {}", found.len(), file.bytes),
                Ok(_) if sha256_of_file(&path)? != file.sha256 => "differs from its SHA-256".to_string(),
                Ok(_) => continue,
            };
            return Err(Failure::new(ExitCode::Cache, format!("{} {problem}", path.display()), hint));
        }
        Ok(())
    }
}

fn describe_files(folder: &Path) -> Result<Vec<ManifestFile>, Failure> {
    let mut names: BTreeSet<String> =
        SMALL_FILES.iter().filter(|name| folder.join(name).is_file()).map(|&name| name.into()).collect();
    if !names.contains("config.json") {
        return Err(lacks(folder, "config.json"));
    }
    if names.contains(INDEX) {
        names.extend(shards(&folder.join(INDEX))?);
    } else {
        names.insert(SINGLE_SHARD.into());
    }
    names
        .into_iter()
        .map(|name| {
            let path = folder.join(&name);
            let metadata = fs::metadata(&path).map_err(|_| lacks(folder, &name))?;
            Ok(ManifestFile { bytes: metadata.len(), sha256: sha256_of_file(&path)?, path: name })
        })
        .collect()
}

/// Names of the shards that an index refers to.
fn shards(index: &Path) -> Result<BTreeSet<String>, Failure> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let bad = |reason: String| {
        let message = format!("{} {reason}", index.display());
        Failure::new(ExitCode::ModelMismatch, message, "download the model again")
    };
    let text = fs::read(index).map_err(|error| Failure::io("read", index, &error))?;
    let parsed: Index = serde_json::from_slice(&text).map_err(|error| bad(format!("is not an index: {error}")))?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    match names.iter().find(|name| Path::new(name).components().count() != 1 || name.starts_with('.')) {
        Some(name) => Err(bad(format!("names a shard outside of its folder: {name}"))),
        None => Ok(names),
    }
}

fn lacks(folder: &Path, name: &str) -> Failure {
    let message = format!("{} has no {name}", folder.display());
    Failure::new(ExitCode::ModelMismatch, message, "download the whole model: config, tokenizer and every shard")
}
