//! One file: fetched into `NAME.part`, continued from where that ends, renamed once its digest is right.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use reqwest::blocking::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE};

use crate::backoff::{Attempt, Failed};
use crate::client::{chain, text};
use crate::digest::{Digests, Hashing};
use crate::download::Progress;
use crate::error::HubError;
use crate::repository::RemoteFile;
use crate::store::Store;

/// Begins the text that stands in a Git repository for a large file.
const POINTER: &str = "version https://git-lfs.github.com/spec/";
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
            return Err(HubError::digest(file, wrong, &actual));
        }
    }
    unreachable!("the loop ends by returning")
}

/// Make the part as long as the file. Returns its digests. An answer that is no continuation makes it begin afresh, once.
fn fetch_part(store: &Store, file: &RemoteFile, part: &Path, progress: &dyn Progress) -> Result<Digests, HubError> {
    let mut hashing: Option<Hashing> = None;
    let (mut longest, mut is_afresh) = (0, false);
    let what = store.name_of(&file.path);
    store.patience().persist(&what, || {
        let held = match length_of(part, file.bytes) {
            Ok(held) => held,
            Err(error) => return (Attempt::Hopeless(HubError::io("look at", part, error)), false),
        };
        if held == file.bytes && part.exists() {
            return (Attempt::Done(()), false);
        }
        longest = held.max(longest);
        let response = match store.get(&file.path, held) {
            Attempt::Done(response) => response,
            Attempt::Failed(failed) => return (Attempt::Failed(failed), false),
            Attempt::Hopeless(error) => return (Attempt::Hopeless(error), false),
        };
        let outcome = match place_of(&response, held, file) {
            Ok(start) => append(response, start, held, file, part, &mut hashing, progress),
            Err(reason) => Err(format!("{reason}{}", beginning(response))),
        };
        let after = fs::metadata(part).map_or(0, |metadata| metadata.len());
        match outcome {
            // A part that was as long before, and shorter since, is no progress: it would never end.
            Ok(attempt) => (attempt, after > longest),
            Err(reason) if reason.contains(POINTER) => {
                (Attempt::Hopeless(HubError::Pointer { what: what.clone() }), false)
            }
            Err(reason) if is_afresh => (Attempt::Hopeless(HubError::NotTheFile { what: what.clone(), reason }), false),
            Err(reason) => {
                is_afresh = true;
                let _ = fs::remove_file(part);
                progress.lost(after);
                (Attempt::Failed(Failed::new(reason)), false)
            }
        }
    })?;
    let hashing = hashing.unwrap_or_else(|| Hashing::start(file, part, file.bytes));
    hashing.finish().map_err(|error| HubError::io("read", part, error))
}

/// Where the bytes of an answer belong, or why they are not the file's from `held` on.
fn place_of(response: &Response, held: u64, file: &RemoteFile) -> Result<u64, String> {
    let range = text(response, CONTENT_RANGE.as_str());
    if let Some(encoding) = text(response, CONTENT_ENCODING.as_str()).filter(|encoding| *encoding != "identity") {
        return Err(format!("it is encoded with {encoding}"));
    }
    match response.status() {
        StatusCode::RANGE_NOT_SATISFIABLE => Err(format!("it has no bytes from {held} on (status 416)")),
        StatusCode::PARTIAL_CONTENT => {
            let range = range.ok_or_else(|| format!("bytes from {held} on without a Content-Range"))?;
            let is_continued = parse_range(range)
                .is_some_and(|(start, total)| start == held && total.is_none_or(|total| total == file.bytes));
            if is_continued { Ok(held) } else { Err(format!("`{range}` where bytes from {held} on were asked for")) }
        }
        status => {
            match (range, text(response, CONTENT_LENGTH.as_str()).and_then(|length| length.parse::<u64>().ok())) {
                (Some(range), _) => Err(format!("`{range}` with the status of a whole file, {status}")),
                (_, Some(length)) if length != file.bytes => Err(format!("{length} bytes instead of {}", file.bytes)),
                _ => Ok(0),
            }
        }
    }
}

/// Start and total of `bytes START-LAST/TOTAL`; a total that is `*` is none.
fn parse_range(range: &str) -> Option<(u64, Option<u64>)> {
    let (span, total) = range.strip_prefix("bytes ")?.split_once('/')?;
    let start = span.split_once('-')?.0.trim().parse().ok()?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((start, total))
}

/// How text begins that came instead of a file: it may say who sent it, and why.
fn beginning(response: Response) -> String {
    let mut sample = Vec::new();
    if response.take(200).read_to_end(&mut sample).is_err() {
        return String::new();
    }
    match str::from_utf8(&sample) {
        Ok(text) if !text.is_empty() && !text.contains('\0') => {
            format!(", beginning with `{}`", text.split_whitespace().collect::<Vec<_>>().join(" "))
        }
        _ => String::new(),
    }
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

/// Write an answer to the part, from byte `start` on: the first, or the one after the `held` ones. An error says why it is
/// not the file.
fn append(
    mut response: Response,
    start: u64,
    held: u64,
    file: &RemoteFile,
    part: &Path,
    hashing: &mut Option<Hashing>,
    progress: &dyn Progress,
) -> Result<Attempt<()>, String> {
    let continues = start == held;
    // An empty part is not truncated: it may have space reserved.
    let opened = OpenOptions::new().create(true).append(continues).write(true).truncate(!continues).open(part);
    let mut output = match opened {
        Ok(output) => output,
        Err(error) => return Ok(Attempt::Hopeless(HubError::io("write", part, error))),
    };
    let mut length = start;
    progress.lost(held - start);
    let hashing = match hashing.take().filter(|hashing| hashing.length() == length) {
        Some(running) => hashing.insert(running),
        None => hashing.insert(Hashing::start(file, part, length)),
    };
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match response.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => return Ok(Attempt::Failed(Failed::new(chain(&error)))),
        };
        length += read as u64;
        if length > file.bytes {
            return Err(format!("more bytes than the {} that are stated", file.bytes));
        }
        if let Err(error) = output.write_all(&buffer[..read]) {
            return Ok(Attempt::Hopeless(HubError::io("write", part, error)));
        }
        hashing.push(&buffer[..read]);
        progress.fetched(read as u64);
    }
    Ok(match length == file.bytes {
        true => Attempt::Done(()),
        false => Attempt::Failed(Failed::new(format!("the answer ended at byte {length} of {}", file.bytes))),
    })
}

/// Make a complete file durable under its name, readable by everyone who shares the volume.
fn publish(part: &Path, path: &Path) -> std::io::Result<()> {
    let file = File::open(part)?;
    file.sync_all()?;
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o644))?;
    fs::rename(part, path)?;
    File::open(path.parent().expect("files lie in folders"))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_state_where_they_begin_and_how_long_the_file_is() {
        assert_eq!(parse_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_range("bytes 5-9/*"), Some((5, None)));
        for bad in ["bytes */10", "bytes 5-9", "lines 5-9/10", "bytes x-9/10", "bytes 5-9/x"] {
            assert_eq!(parse_range(bad), None, "{bad}");
        }
    }
}
