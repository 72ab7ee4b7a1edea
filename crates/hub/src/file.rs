//! One file: fetched into `NAME.part`, continued from where that ends, renamed once its digest is right.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use reqwest::blocking::Response;
use reqwest::header::CONTENT_RANGE;

use crate::backoff::{Attempt, Failed};
use crate::client::chain;
use crate::digest::{Digests, Hashing};
use crate::download::Progress;
use crate::error::HubError;
use crate::repository::RemoteFile;
use crate::store::Store;

/// How often a file may arrive wrong.
const WRONG_MAX: u32 = 3;

/// Where a file's bytes wait for its digest.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().expect("files have names").to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// Fetch a file into `path` and return its SHA-256.
pub(crate) fn fetch(
    store: &Store,
    file: &RemoteFile,
    path: &Path,
    progress: &dyn Progress,
) -> Result<String, HubError> {
    let part = part_of(path);
    for wrong in 1.. {
        let actual = match fetch_part(store, file, &part, progress)?.judge(file) {
            Ok(sha256) => {
                publish(&part, path).map_err(|error| HubError::io("rename", &part, error))?;
                return Ok(sha256);
            }
            Err(actual) => actual,
        };
        fs::remove_file(&part).map_err(|error| HubError::io("remove", &part, error))?;
        progress.lost(file.bytes);
        if wrong == WRONG_MAX {
            return Err(HubError::Digest {
                file: file.path.clone(),
                attempts: wrong,
                actual: format!("{actual:?}"),
                expected: format!("{:?}", file.digest),
            });
        }
    }
    unreachable!("the loop ends by returning")
}

/// Make the part as long as the file. Returns its digests.
fn fetch_part(store: &Store, file: &RemoteFile, part: &Path, progress: &dyn Progress) -> Result<Digests, HubError> {
    let mut hashing: Option<Hashing> = None;
    store.patience().persist(&store.name_of(&file.path), || {
        let held = match length_of(part, file.bytes) {
            Ok(held) => held,
            Err(error) => return (Attempt::Hopeless(HubError::io("look at", part, error)), false),
        };
        if held == file.bytes && part.exists() {
            return (Attempt::Done(()), false);
        }
        let response = match store.get(&file.path, held) {
            Attempt::Done(response) => response,
            Attempt::Failed(failed) => return (Attempt::Failed(failed), false),
            Attempt::Hopeless(error) => return (Attempt::Hopeless(error), false),
        };
        let before = held;
        let outcome = append(response, held, file, part, &mut hashing, progress);
        let after = fs::metadata(part).map_or(0, |metadata| metadata.len());
        (outcome, after > before)
    })?;
    let hashing = hashing.unwrap_or_else(|| Hashing::start(file, part, file.bytes));
    hashing.finish().map_err(|error| HubError::io("read", part, error))
}

/// Take the space of a file before its first byte, where the file system can: other writers find the disk full, not this
/// download half-way. The part's length stays what has been fetched.
pub(crate) fn reserve(file: &RemoteFile, path: &Path) -> std::io::Result<()> {
    if file.bytes == 0 || fs::metadata(path).is_ok_and(|metadata| metadata.len() == file.bytes) {
        return Ok(());
    }
    let part = OpenOptions::new().create(true).append(true).open(part_of(path))?;
    match rustix::fs::fallocate(&part, rustix::fs::FallocateFlags::KEEP_SIZE, 0, file.bytes) {
        Err(error) if error != rustix::io::Errno::OPNOTSUPP && error != rustix::io::Errno::NOSYS => Err(error.into()),
        _ => Ok(()),
    }
}

/// Length of the part so far. One that is longer than the file is of another file.
fn length_of(part: &Path, bytes: u64) -> std::io::Result<u64> {
    match fs::metadata(part) {
        Ok(metadata) if metadata.len() > bytes => fs::remove_file(part).map(|()| 0),
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Append an answer to the part, from byte `held` on.
fn append(
    mut response: Response,
    held: u64,
    file: &RemoteFile,
    part: &Path,
    hashing: &mut Option<Hashing>,
    progress: &dyn Progress,
) -> Attempt<()> {
    let continues = response.status() == StatusCode::PARTIAL_CONTENT;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        let _ = fs::remove_file(part);
        progress.lost(held);
        return Attempt::Failed(Failed::new("the server has fewer bytes of it than were fetched (416)"));
    }
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    if continues && !range.is_some_and(|range| range.starts_with(&format!("bytes {held}-"))) {
        return Attempt::Failed(Failed::new(format!("asked for bytes from {held}, got {range:?}")));
    }
    // An empty part is not truncated: it may have space reserved.
    let afresh = !continues && held > 0;
    let opened = OpenOptions::new().create(true).append(continues).write(true).truncate(afresh).open(part);
    let mut output = match opened {
        Ok(output) => output,
        Err(error) => return Attempt::Hopeless(HubError::io("write", part, error)),
    };
    let mut length = held;
    if !continues {
        progress.lost(held);
        length = 0;
    }
    let hashing = match hashing.take().filter(|hashing| hashing.length() == length) {
        Some(running) => hashing.insert(running),
        None => hashing.insert(Hashing::start(file, part, length)),
    };
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match response.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => return Attempt::Failed(Failed::new(chain(&error))),
        };
        length += read as u64;
        if length > file.bytes {
            let _ = fs::remove_file(part);
            progress.lost(length - read as u64);
            return Attempt::Failed(Failed::new(format!("more bytes than the {} that the hub states", file.bytes)));
        }
        if let Err(error) = output.write_all(&buffer[..read]) {
            return Attempt::Hopeless(HubError::io("write", part, error));
        }
        hashing.push(&buffer[..read]);
        progress.fetched(read as u64);
    }
    match length == file.bytes {
        true => Attempt::Done(()),
        false => Attempt::Failed(Failed::new(format!("the answer ended at byte {length} of {}", file.bytes))),
    }
}

/// Make a complete file durable under its name, readable by everyone who shares the volume.
fn publish(part: &Path, path: &Path) -> std::io::Result<()> {
    let file = File::open(part)?;
    file.sync_all()?;
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o644))?;
    fs::rename(part, path)?;
    File::open(path.parent().expect("files lie in folders"))?.sync_all()
}
