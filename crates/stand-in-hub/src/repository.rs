//! Folders as repositories: every file with the digests that the hub states.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Shortest file that counts as large whatever its name.
const LARGE: u64 = 10 << 20;

/// A file of a repository.
pub(crate) struct Entry {
    pub(crate) location: PathBuf,
    pub(crate) bytes: u64,
    /// Git's object id.
    pub(crate) git: String,
    /// SHA-256 of a large file.
    pub(crate) sha256: Option<String>,
}

/// A repository of one commit.
pub(crate) struct Repository {
    pub(crate) commit: String,
    pub(crate) entries: BTreeMap<String, Entry>,
}

/// All repositories; each is read when it is first asked for.
pub(crate) struct Repositories {
    root: PathBuf,
    known: Mutex<BTreeMap<String, Arc<Repository>>>,
}

impl Repositories {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, known: Mutex::default() }
    }

    pub(crate) fn find(&self, organisation: &str, name: &str) -> Option<Arc<Repository>> {
        if [organisation, name].iter().any(|part| part.starts_with('.') || part.contains('/')) {
            return None;
        }
        let mut known = self.known.lock().expect("requests do not panic");
        let id = format!("{organisation}/{name}");
        if let Some(repository) = known.get(&id) {
            return Some(Arc::clone(repository));
        }
        let repository = Arc::new(Repository::read(&self.root.join(organisation).join(name)).ok()?);
        known.insert(id, Arc::clone(&repository));
        Some(repository)
    }
}

impl Repository {
    fn read(folder: &Path) -> io::Result<Self> {
        let mut entries = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_file() && !name.starts_with('.') {
                entries.insert(name, Entry::read(&entry.path())?);
            }
        }
        let mut hasher = Sha1::new();
        for (name, entry) in &entries {
            hasher.update(format!("{} {name}\n", entry.git));
        }
        Ok(Self { commit: hex::encode(hasher.finalize()), entries })
    }
}

impl Entry {
    fn read(location: &Path) -> io::Result<Self> {
        let bytes = fs::metadata(location)?.len();
        let mut git = Sha1::new();
        git.update(format!("blob {bytes}\0"));
        let mut sha256 = Sha256::new();
        let mut file = fs::File::open(location)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match io::Read::read(&mut file, &mut buffer)? {
                0 => break,
                read => {
                    git.update(&buffer[..read]);
                    sha256.update(&buffer[..read]);
                }
            }
        }
        let large = bytes >= LARGE || location.extension().is_some_and(|extension| extension == "safetensors");
        Ok(Self {
            location: location.to_owned(),
            bytes,
            git: hex::encode(git.finalize()),
            sha256: large.then(|| hex::encode(sha256.finalize())),
        })
    }
}
