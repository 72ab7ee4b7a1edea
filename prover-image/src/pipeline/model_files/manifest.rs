//! `manifest.json`: the files of a revision and their digests; written when all of them are in place.

use std::path::Path;

use obelysk_hub::{Downloaded, DownloadedFile};
use obelysk_model::regular;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::failure::{ExitCode, Failure};

/// Name of the file.
pub(super) const MANIFEST: &str = "manifest.json";

/// No manifest is longer.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// Commit of the hub, 40 digits; else SHA-256 over the files' digests and names.
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

/// The files of a download.
pub(super) fn described(downloaded: Downloaded) -> Vec<ManifestFile> {
    let describe = |file: DownloadedFile| ManifestFile { path: file.path, bytes: file.bytes, sha256: file.sha256 };
    downloaded.files.into_iter().map(describe).collect()
}

impl Manifest {
    /// The manifest of some files that no hub gave a revision.
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

    /// Read the manifest of a folder.
    ///
    /// # Errors
    /// It cannot be read, or does not state what its files are.
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(MANIFEST);
        let text = regular::read(&path, MANIFEST_BYTES_MAX).map_err(|error| Failure::io("read", &path, &error))?;
        let damaged = |reason: String| {
            let message = format!("{} is damaged: {reason}", path.display());
            Failure::new(ExitCode::Cache, message, "fetch the model again")
        };
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let is_commit = manifest.revision.len() == 40 && manifest.revision.chars().all(|c| c.is_ascii_hexdigit());
        if !is_commit && Self::of(manifest.files.clone()) != manifest {
            return Err(damaged("its revision does not follow from its files".into()));
        }
        let leaves = |name: &str| Path::new(name).components().count() != 1 || name.starts_with('.');
        match manifest.files.iter().find(|file| leaves(&file.path)) {
            Some(file) => Err(damaged(format!("it names a file outside of its folder: {}", file.path))),
            None => Ok(manifest),
        }
    }
}
