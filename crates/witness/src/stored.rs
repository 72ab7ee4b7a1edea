//! Entries that stay in their file and are read where they are needed, so that memory never holds a whole model.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

/// Bytes that are read at once, at most.
const PIECE_BYTES: usize = 1 << 16;

/// Why weights cannot be believed any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct Unreadable {
    /// Their file.
    pub path: PathBuf,
    /// What happened to it.
    pub reason: String,
}

/// A file of weights. Loops over entries do not stop for it: what cannot be read is zero, the file remembers why, and whoever hands on a
/// result asks [`crate::unreadable`] first.
#[derive(Debug)]
pub struct WeightsFile {
    path: PathBuf,
    file: File,
    opened: Look,
    failure: OnceLock<String>,
}

/// What writing to a file changes. Its name may go to another file meanwhile, or be removed: this one stays open.
#[derive(Debug, PartialEq)]
struct Look {
    length: u64,
    modified: Option<SystemTime>,
}

impl Look {
    fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl WeightsFile {
    /// An open, regular file, and the path that it was opened by.
    ///
    /// # Errors
    /// The system does not say how long it is.
    pub fn new(path: &Path, file: File) -> io::Result<Self> {
        let opened = Look::of(&file.metadata()?);
        Ok(Self { path: path.to_owned(), file, opened, failure: OnceLock::new() })
    }

    /// Its bytes when it was opened.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.opened.length
    }

    fn read(&self, bytes: &mut [u8], offset: u64) {
        if let Err(error) = self.file.read_exact_at(bytes, offset) {
            bytes.fill(0);
            self.remember(error.to_string());
        }
    }

    fn remember(&self, reason: String) {
        // Only the first failure is told.
        let _ = self.failure.set(reason);
    }

    /// Why some of it could not be read, or is not what it was when it was opened: whoever hashed it then knows nothing of it now.
    pub(crate) fn failure(&self) -> Option<Unreadable> {
        match self.file.metadata() {
            Ok(metadata) if Look::of(&metadata) == self.opened => {}
            Ok(_) => self.remember("it was changed while it was in use".into()),
            Err(error) => self.remember(error.to_string()),
        }
        let reason = self.failure.get()?.clone();
        Some(Unreadable { path: self.path.clone(), reason })
    }
}

/// Some entries of a file, little-endian, of 16 or 32 bits.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    pub(crate) file: &'a WeightsFile,
    pub(crate) offset: u64,
    pub(crate) length: usize,
    pub(crate) is_wide: bool,
}

impl Stored<'_> {
    /// Some of them.
    #[must_use]
    pub fn slice(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.length, "a range of the entries");
        let width = if self.is_wide { 4 } else { 2 };
        Self { offset: self.offset + (range.start * width) as u64, length: range.len(), ..self }
    }

    /// The first of them, as many as `output` has place for.
    pub fn read<T>(self, output: &mut [T], convert: impl Fn(i32) -> T) {
        let own = self.slice(0..output.len());
        if own.is_wide {
            own.pieces(output, |bytes| convert(i32::from_le_bytes(bytes)));
        } else {
            own.pieces(output, |bytes| convert(i16::from_le_bytes(bytes).into()));
        }
    }

    /// Entries of 16 bits.
    pub(crate) fn narrow(self) -> Vec<i16> {
        let mut entries = vec![0; self.length];
        self.pieces(&mut entries, i16::from_le_bytes);
        entries
    }

    /// Entries of 32 bits.
    pub(crate) fn wide(self) -> Vec<i32> {
        let mut entries = vec![0; self.length];
        self.pieces(&mut entries, i32::from_le_bytes);
        entries
    }

    fn pieces<T, const N: usize>(self, output: &mut [T], convert: impl Fn([u8; N]) -> T) {
        let mut buffer = vec![0; PIECE_BYTES.min(output.len() * N)];
        for (place, output) in output.chunks_mut(PIECE_BYTES / N).enumerate() {
            let bytes = &mut buffer[..output.len() * N];
            self.file.read(bytes, self.offset + (place * PIECE_BYTES) as u64);
            let (entries, _) = bytes.as_chunks::<N>();
            output.iter_mut().zip(entries).for_each(|(own, &entry)| *own = convert(entry));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Entries, Weights, unreadable};

    /// A file of some bytes, which is removed at once and lives on until it is closed.
    fn file(name: &str, bytes: &[u8]) -> Arc<WeightsFile> {
        let path = std::env::temp_dir().join(format!("obelysk-stored-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let file = WeightsFile::new(&path, File::open(&path).unwrap()).unwrap();
        std::fs::remove_file(path).unwrap();
        Arc::new(file)
    }

    #[test]
    fn entries_in_a_file_are_those_in_memory() {
        let narrow: Vec<i16> = (0..5000).map(|place| (place * 31) as i16).collect();
        let wide: Vec<i32> = narrow.iter().map(|&entry| i32::from(entry) * 65_537).collect();
        let mut bytes: Vec<u8> = narrow.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        bytes.extend(wide.iter().flat_map(|entry| entry.to_le_bytes()));
        let file = file("both", &bytes);
        let entries = |offset, is_wide| Entries::Stored { file: Arc::clone(&file), offset, length: 5000, is_wide };
        for (stored, own) in [(entries(0, false), Entries::I16(narrow)), (entries(10_000, true), Entries::I32(wide))] {
            assert_eq!(stored, own);
            assert_eq!(stored.get(4999), own.get(4999));
            let slice = stored.as_ref().slice(2047..4100);
            assert!(slice.iter().eq((2047..4100).map(|place| own.get(place))));
            let mut changed = stored.clone();
            changed.set(7, -5);
            assert_eq!((changed.get(7), changed.len()), (-5, 5000));
        }
    }

    #[test]
    fn what_a_file_lacks_is_zero_and_told() {
        let stored = Entries::Stored { file: file("short", &[1, 0, 2]), offset: 0, length: 4, is_wide: false };
        let weights = Weights::from([("weight".to_owned(), stored)]);
        assert_eq!(unreadable(&weights), None);
        assert_eq!(weights["weight"].iter().collect::<Vec<i32>>(), [0; 4]);
        assert!(unreadable(&weights).is_some());
    }

    #[test]
    fn a_file_that_is_changed_in_place_is_told_although_it_can_be_read() {
        let path = std::env::temp_dir().join(format!("obelysk-stored-changed-{}", std::process::id()));
        std::fs::write(&path, [1, 0, 2, 0]).unwrap();
        let file = Arc::new(WeightsFile::new(&path, File::open(&path).unwrap()).unwrap());
        let stored = Entries::Stored { file, offset: 0, length: 2, is_wide: false };
        let weights = Weights::from([("weight".to_owned(), stored)]);
        assert_eq!(unreadable(&weights), None);
        let writer = File::options().write(true).open(&path).unwrap();
        writer.write_all_at(&[3], 2).unwrap();
        writer.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let told = unreadable(&weights).unwrap();
        assert_eq!(told, Unreadable { path: path.clone(), reason: "it was changed while it was in use".into() });
        std::fs::remove_file(path).unwrap();
    }
}
