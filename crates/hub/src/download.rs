//! A whole revision: space first, then every file, several at a time.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Mutex;

use crate::digest::check;
use crate::error::HubError;
use crate::file::{fetch, part_of, reserve};
use crate::repository::RemoteFile;
use crate::store::Store;

/// Files that are fetched at the same time.
const PARALLEL: usize = 4;

/// Hears how a download goes, from several threads.
pub trait Progress: Sync {
    /// How many bytes the files have, and how many of them are here already.
    fn planned(&self, total: u64, held: u64);
    /// Bytes that arrived.
    fn fetched(&self, bytes: u64);
    /// Bytes that have to be fetched again.
    fn lost(&self, bytes: u64);
}

/// A download that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// The files, by name.
    pub files: Vec<DownloadedFile>,
}

/// A file whose content is the one that the hub states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadedFile {
    /// Path in the repository and in the folder.
    pub path: String,
    /// Length.
    pub bytes: u64,
    /// SHA-256, lower-case hex.
    pub sha256: String,
}

/// Bring some files of a store into a folder. Whatever is there and right is kept. One process at a time works in a
/// folder; others wait for it.
///
/// # Errors
/// The first file that cannot be had. Everything fetched so far stays for the next call.
pub fn download(
    store: &Store,
    files: &[RemoteFile],
    folder: &Path,
    progress: &dyn Progress,
) -> Result<Downloaded, HubError> {
    fs::create_dir_all(folder).map_err(|error| HubError::io("create", folder, error))?;
    let lock = folder.join(".lock");
    let _locked = locked(&lock).map_err(|error| HubError::io("lock", &lock, error))?;

    let held: u64 = files.iter().map(|file| held(file, folder)).sum();
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    require_space(folder, total - held)?;
    for file in files {
        let path = folder.join(&file.path);
        reserve(file, &path).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull => disk_full(folder, total - held),
            _ => HubError::io("reserve space for", &path, error),
        })?;
    }
    progress.planned(total, held);

    let queue: Mutex<VecDeque<&RemoteFile>> = Mutex::new(files.iter().collect());
    let outcomes: Mutex<Vec<DownloadedFile>> = Mutex::new(Vec::new());
    let failure: Mutex<Option<HubError>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL.min(files.len()) {
            scope.spawn(|| {
                while let Some(file) = next(&queue, &failure) {
                    match one(store, file, folder, progress) {
                        Ok(file) => outcomes.lock().expect("no thread panics").push(file),
                        Err(error) => drop(failure.lock().expect("no thread panics").get_or_insert(error)),
                    }
                }
            });
        }
    });
    if let Some(error) = failure.into_inner().expect("no thread panics") {
        return Err(error);
    }
    let mut files = outcomes.into_inner().expect("no thread panics");
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Downloaded { files })
}

/// Wait for the lock. A file system without locks is no obstacle: two downloads at once waste what they bring, and digests
/// notice what they spoil.
fn locked(path: &Path) -> io::Result<File> {
    let file = File::create(path)?;
    match file.lock() {
        Err(error) if !has_no_locks(&error) => Err(error),
        _ => Ok(file),
    }
}

fn has_no_locks(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let of_system = error.raw_os_error().map(Errno::from_raw_os_error);
    [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOLCK, Errno::INVAL].into_iter().any(|none| of_system == Some(none))
}

/// The next file, unless one has failed.
fn next<'a>(queue: &Mutex<VecDeque<&'a RemoteFile>>, failure: &Mutex<Option<HubError>>) -> Option<&'a RemoteFile> {
    if failure.lock().expect("no thread panics").is_some() {
        return None;
    }
    queue.lock().expect("no thread panics").pop_front()
}

fn one(store: &Store, file: &RemoteFile, folder: &Path, progress: &dyn Progress) -> Result<DownloadedFile, HubError> {
    let path = folder.join(&file.path);
    let downloaded = |sha256| DownloadedFile { path: file.path.clone(), bytes: file.bytes, sha256 };
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == file.bytes) {
        if let Ok(sha256) = check(file, &path)? {
            return Ok(downloaded(sha256));
        }
        progress.lost(file.bytes);
    }
    fetch(store, file, &path, progress).map(downloaded)
}

/// Bytes of a file that are here, unchecked.
fn held(file: &RemoteFile, folder: &Path) -> u64 {
    let path = folder.join(&file.path);
    let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    match length(&path) == file.bytes {
        true => file.bytes,
        false => length(&part_of(&path)).min(file.bytes),
    }
}

/// Refuse to start what does not fit, with a reserve of a twentieth for what is derived and for others.
fn require_space(folder: &Path, missing: u64) -> Result<(), HubError> {
    let available = available(folder).map_err(|error| HubError::io("look at", folder, error))?;
    if missing > 0 && available < with_reserve(missing) {
        return Err(HubError::DiskFull { folder: folder.to_owned(), needed: with_reserve(missing), available });
    }
    Ok(())
}

fn with_reserve(missing: u64) -> u64 {
    missing.saturating_add(missing / 20)
}

fn disk_full(folder: &Path, missing: u64) -> HubError {
    let available = available(folder).unwrap_or_default();
    HubError::DiskFull { folder: folder.to_owned(), needed: with_reserve(missing), available }
}

fn available(folder: &Path) -> io::Result<u64> {
    let volume = rustix::fs::statvfs(folder)?;
    Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
}
