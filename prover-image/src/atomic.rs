//! Writing files so that a reader sees the whole new content or nothing new: temporary file, fsync, rename.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::failure::Failure;

/// Left free on every volume that we write to, so that logs and the system survive a full run.
const RESERVE_BYTES: u64 = 1 << 20;

/// Longest part of a name that its temporary form keeps.
const TEMPORARY_NAME_MAX: usize = 200;

/// Write a file, creating its folders.
///
/// # Errors
/// A full disk or an unwritable folder, with the path and the remedy.
pub fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().expect("a file lies in a folder");
    create_folder(folder)?;
    require_free_space(folder, content.len() as u64)?;
    write_with(path, |file| file.write_all(content).map_err(|error| Failure::io("write", path, &error)))
}

/// Write a file of any length piece by piece, creating its folders. Returns what `fill` returns.
///
/// # Errors
/// As [`write()`], and those of `fill`.
pub fn write_with<T>(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<T, Failure>) -> Result<T, Failure> {
    let folder = path.parent().expect("a file lies in a folder");
    create_folder(folder)?;
    let temporary = temporary_sibling(path);
    let failed = |error: io::Error| Failure::io("write", path, &error);
    let written = File::create(&temporary).map_err(failed).and_then(|file| {
        let mut file = BufWriter::new(file);
        let outcome = fill(&mut file)?;
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().and_then(|()| fs::rename(&temporary, path)).map_err(failed)?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(outcome)
    });
    if written.is_err() {
        // Best effort: what remains carries a name that nothing reads.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Write a value as one line of JSON.
///
/// # Errors
/// As [`write()`].
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Failure> {
    let mut text = serde_json::to_vec(value).expect("plain data has a JSON form");
    text.push(b'\n');
    write(path, &text)
}

/// Fill a new folder in `parent` through `fill`, which returns the name that its content deserves, and give it that name
/// when it is complete. An existing folder of that name is left as it is: names of such folders state their content.
/// Returns what else `fill` returns, and the folder.
///
/// # Errors
/// Those of `fill`, and of creating and renaming the folder.
pub fn create_named_folder<T>(
    parent: &Path,
    fill: impl FnOnce(&Path) -> Result<(String, T), Failure>,
) -> Result<(T, PathBuf), Failure> {
    create_folder(parent)?;
    let temporary = temporary_sibling(&parent.join("folder"));
    let filled = create_folder(&temporary).and_then(|()| fill(&temporary)).and_then(|(name, outcome)| {
        let path = parent.join(name);
        if path.is_dir() {
            return Ok((outcome, path));
        }
        match fs::rename(&temporary, &path) {
            // Somebody else finished the same content first.
            Err(_) if path.is_dir() => Ok((outcome, path)),
            Ok(()) => Ok((outcome, path)),
            Err(error) => Err(Failure::io("create", &path, &error)),
        }
    });
    if temporary.exists() {
        let _ = fs::remove_dir_all(&temporary);
    }
    filled
}

/// Create a folder with its parents.
///
/// # Errors
/// An unwritable parent.
pub fn create_folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| Failure::io("create", path, &error))
}

/// Refuse to start writing `bytes` where they do not fit.
///
/// # Errors
/// A full disk, with what is needed and what is there.
pub fn require_free_space(folder: &Path, bytes: u64) -> Result<(), Failure> {
    let available = available_bytes(folder).map_err(|error| Failure::io("look at", folder, &error))?;
    if available < bytes.saturating_add(RESERVE_BYTES) {
        return Err(Failure::disk_full(folder, bytes.saturating_add(RESERVE_BYTES), available));
    }
    Ok(())
}

/// Bytes that this user may still write to the volume of a folder.
///
/// # Errors
/// Whatever the system reports.
pub fn available_bytes(folder: &Path) -> io::Result<u64> {
    let volume = rustix::fs::statvfs(folder)?;
    Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
}

/// Whether this user may write to a folder that is there or would be made.
#[must_use]
pub fn is_writable(folder: &Path) -> bool {
    let there = folder.ancestors().find(|folder| folder.exists());
    there.is_some_and(|there| rustix::fs::access(there, rustix::fs::Access::WRITE_OK).is_ok())
}

/// A name that no reader takes for the real one and no other process uses. File systems take 255 bytes.
fn temporary_sibling(path: &Path) -> PathBuf {
    let name = path.file_name().expect("a named path").to_string_lossy();
    let name = &name[..name.floor_char_boundary(TEMPORARY_NAME_MAX)];
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_the_longest_name_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("é".repeat(127));
        write(&path, b"whole").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_would_be_made_is_as_writable_as_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_writable(folder.path()) && is_writable(&folder.path().join("a/b")));
    }
}
