//! The layout of the home folder.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::failure::{ExitCode, Failure};
use crate::known_files::{KNOWN_FILES, KnownFiles};

/// Where models, prepared weights and runs are kept.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
    hashes_again: bool,
}

impl Home {
    /// The folder that the user names, else `~/.obelysk`. Nothing is created before something is written.
    ///
    /// # Errors
    /// Neither a folder nor a user's home is known.
    pub fn locate(named: Option<&Path>) -> Result<Self, Failure> {
        let default = || std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".obelysk"));
        let root = named.map(Path::to_path_buf).or_else(default).ok_or_else(|| {
            Failure::new(ExitCode::BadSpec, "no home folder is known", "pass --home DIR or set OBELYSK_HOME")
        })?;
        let root = std::path::absolute(&root).map_err(|error| Failure::io("find", &root, &error))?;
        Ok(Self::at(&root))
    }

    /// A known folder.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf(), hashes_again: false }
    }

    /// Whether files are hashed although they look as they did when they were hashed before.
    #[must_use]
    pub fn hashing_again(self, hashes_again: bool) -> Self {
        Self { hashes_again, ..self }
    }

    /// Whether files are hashed although they look as they did when they were hashed before.
    #[must_use]
    pub fn hashes_again(&self) -> bool {
        self.hashes_again
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of all models.
    #[must_use]
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// Files of one revision of a model, named by organisation and name, and by the first 12 digits of its revision.
    #[must_use]
    pub fn model(&self, organisation: &str, name: &str, revision: &str) -> PathBuf {
        self.models().join(fitting(format!("{organisation}--{name}"))).join(short(revision))
    }

    /// Whether a folder lies in this one, under whatever name.
    #[must_use]
    pub fn holds(&self, folder: &Path) -> bool {
        folder.starts_with(&self.root) || std::fs::canonicalize(&self.root).is_ok_and(|root| folder.starts_with(root))
    }

    /// The files of a folder whose digests are known. What lies outside of this folder is the user's: nothing is written there.
    #[must_use]
    pub fn known_files(&self, folder: &Path) -> KnownFiles {
        let memory = if self.holds(folder) {
            folder.join(KNOWN_FILES)
        } else {
            let name = hex::encode(Sha256::digest(folder.as_os_str().as_bytes()));
            self.root.join("known").join(format!("{}.json", short(&name)))
        };
        KnownFiles::of(folder, memory, !self.hashes_again)
    }

    /// The default folder of a run's results, named after its inputs so that a repeated command finds it again.
    #[must_use]
    pub fn run(&self, inputs_digest: &str) -> PathBuf {
        self.root.join("runs").join(short(inputs_digest))
    }
}

/// Longest name that is kept as it is: file systems take 255 bytes, and a removal puts a word in front.
const NAME_MAX: usize = 200;

/// A name that file systems take. The end of a long one gives way to a digest, so that two of them differ.
fn fitting(name: String) -> String {
    if name.len() <= NAME_MAX {
        return name;
    }
    let digest = hex::encode(Sha256::digest(&name));
    let kept = name.floor_char_boundary(NAME_MAX - 13);
    format!("{}-{}", &name[..kept], short(&digest))
}

/// The first 12 digits of a digest: enough to name a folder, never to trust its content.
#[must_use]
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_shortened_and_stay_apart() {
        assert_eq!(fitting("local--tiny".into()), "local--tiny");
        let (one, other) = (fitting(format!("{}1", "né".repeat(100))), fitting(format!("{}2", "né".repeat(100))));
        assert!(one != other && one.len() <= NAME_MAX && one.starts_with("nén"), "{one}");
    }
}
