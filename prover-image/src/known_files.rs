//! Files whose digests are known. A file is hashed once, and again when its length, place or times are others than they were.
//!
//! That is what Git's index does: whoever writes to a file moves its time of change, which nobody can set back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use obelysk_model::regular;
use serde::{Deserialize, Serialize};

use crate::artifacts::sha256_of_file;
use crate::atomic;
use crate::failure::Failure;

/// Name of the file that remembers, where it lies beside what it is about.
pub const KNOWN_FILES: &str = "known.json";
/// It is not longer.
const BYTES_MAX: u64 = 16 << 20;
/// What changed less than this ago may change again within the same tick of a file system's clock.
const SETTLED: Duration = Duration::from_secs(2);

/// The known files of a folder.
pub struct KnownFiles {
    folder: PathBuf,
    memory: PathBuf,
    files: BTreeMap<String, Known>,
    changed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Known {
    looks: Looks,
    /// Lower-case hex.
    digest: String,
}

/// What a file looks like without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Looks {
    bytes: u64,
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds.
    modified: [i64; 2],
    /// Of the inode: seconds and nanoseconds.
    changed: [i64; 2],
}

impl Looks {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            bytes: metadata.size(),
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: [metadata.mtime(), metadata.mtime_nsec()],
            changed: [metadata.ctime(), metadata.ctime_nsec()],
        })
    }

    /// Whether a later change would show.
    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let [seconds, _] = self.changed;
        u64::try_from(seconds).is_ok_and(|seconds| Duration::from_secs(seconds) + SETTLED < now)
    }
}

impl KnownFiles {
    /// What `memory` remembers of the files of `folder`; nothing where it is missing, damaged or not to be believed.
    #[must_use]
    pub fn of(folder: &Path, memory: PathBuf, is_believed: bool) -> Self {
        let text = if is_believed { regular::read(&memory, BYTES_MAX).ok() } else { None };
        let files = text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { folder: folder.to_path_buf(), memory, files, changed: false }
    }

    /// Whether a file looks as it did when its digest was this one.
    #[must_use]
    pub fn has(&self, name: &str, digest: &str) -> bool {
        self.digest(name).is_some_and(|known| known == digest)
    }

    fn digest(&self, name: &str) -> Option<&str> {
        let known = self.files.get(name)?;
        (Looks::of(&self.folder.join(name)) == Some(known.looks)).then_some(known.digest.as_str())
    }

    /// What a file looks like before it is read, for [`KnownFiles::learn`]; `None` of one that may change without looking so.
    #[must_use]
    pub fn look(&self, name: &str) -> Option<Looks> {
        Looks::of(&self.folder.join(name)).filter(Looks::is_settled)
    }

    /// Remember the digest of a file that looked like this before it was read.
    pub fn learn(&mut self, name: &str, before: Option<Looks>, digest: &str) {
        if let Some(looks) = before.filter(|before| self.look(name) == Some(*before)) {
            self.files.insert(name.to_owned(), Known { looks, digest: digest.to_owned() });
            self.changed = true;
        }
    }

    /// SHA-256 of a file, in lower-case hex: remembered, else computed.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn sha256(&mut self, name: &str) -> Result<String, Failure> {
        if let Some(digest) = self.digest(name) {
            return Ok(digest.to_owned());
        }
        let before = self.look(name);
        let digest = sha256_of_file(&self.folder.join(name))?;
        self.learn(name, before, &digest);
        Ok(digest)
    }

    /// Keep what was learnt. Whoever cannot write it hashes again next time.
    pub fn keep(self) {
        if self.changed {
            let _ = atomic::write_json(&self.memory, &self.files);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, FileTimes};

    use super::*;

    fn remembered(folder: &Path) -> BTreeMap<String, Known> {
        fs::read(folder.join(KNOWN_FILES))
            .map_or_else(|_| BTreeMap::new(), |text| serde_json::from_slice(&text).unwrap())
    }

    #[test]
    fn a_file_is_hashed_once_and_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::write(folder.join("weights"), "abc").unwrap();
        let sha256 = |is_believed| {
            let mut known = KnownFiles::of(folder, folder.join(KNOWN_FILES), is_believed);
            let digest = known.sha256("weights").unwrap();
            known.keep();
            digest
        };
        let first = sha256(true);
        assert!(remembered(folder).is_empty(), "what has just changed is not remembered");
        std::thread::sleep(SETTLED + Duration::from_millis(1100));
        assert_eq!(sha256(true), first);
        assert_eq!(remembered(folder).len(), 1);
        // What is remembered is what is answered, or the file would have been hashed.
        let mut lie = remembered(folder);
        lie.get_mut("weights").unwrap().digest = "remembered".into();
        atomic::write_json(&folder.join(KNOWN_FILES), &lie).unwrap();
        assert_eq!(sha256(true), "remembered");
        assert_eq!(sha256(false), first, "unless it is not to be believed");

        // Another content of the same length, at the same time of modification.
        let path = folder.join("weights");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "xyz").unwrap();
        File::options().write(true).open(&path).unwrap().set_times(FileTimes::new().set_modified(modified)).unwrap();
        assert_ne!(sha256(true), first);
        fs::write(folder.join(KNOWN_FILES), "{").unwrap();
        assert_ne!(sha256(true), first, "a damaged memory is none");
    }
}
