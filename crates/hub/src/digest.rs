//! The digests of a file, computed while it arrives.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::error::HubError;
use crate::repository::{RemoteFile, StatedDigest};

/// Pieces that may wait to be hashed.
const WAITING_MAX: usize = 64;

/// SHA-256, and what the hub states of a file.
pub(crate) struct Digests {
    sha256: Sha256,
    /// Of a small file only.
    git: Option<Sha1>,
}

impl Digests {
    pub(crate) fn of(file: &RemoteFile) -> Self {
        let git = matches!(file.digest, StatedDigest::Git(_)).then(|| {
            let mut hasher = Sha1::new();
            hasher.update(format!("blob {}\0", file.bytes));
            hasher
        });
        Self { sha256: Sha256::new(), git }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(git) = &mut self.git {
            git.update(bytes);
        }
    }

    fn read(&mut self, mut source: impl Read) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        loop {
            match source.read(&mut buffer)? {
                0 => return Ok(()),
                read => self.update(&buffer[..read]),
            }
        }
    }

    /// The file's SHA-256 if its content is the one that the hub states, else the digest that it has.
    pub(crate) fn judge(self, file: &RemoteFile) -> Result<String, StatedDigest> {
        let sha256 = hex::encode(self.sha256.finalize());
        let stated = match self.git {
            Some(git) => StatedDigest::Git(hex::encode(git.finalize())),
            None => StatedDigest::Sha256(sha256.clone()),
        };
        if [&stated, &StatedDigest::Unstated].contains(&&file.digest) { Ok(sha256) } else { Err(stated) }
    }
}

/// Hash a file on disk.
pub(crate) fn check(file: &RemoteFile, path: &Path) -> Result<Result<String, StatedDigest>, HubError> {
    let mut digests = Digests::of(file);
    let hashed = File::open(path).and_then(|source| digests.read(source));
    hashed.map_err(|error| HubError::io("read", path, error))?;
    Ok(digests.judge(file))
}

/// Hashing on a thread of its own: receiving and hashing together take as long as the slower of the two.
pub(crate) struct Hashing {
    length: u64,
    pieces: SyncSender<Vec<u8>>,
    thread: JoinHandle<io::Result<Digests>>,
}

impl Hashing {
    /// Begin with the first `held` bytes of a part.
    pub(crate) fn start(file: &RemoteFile, part: &Path, held: u64) -> Self {
        let (pieces, arriving) = sync_channel::<Vec<u8>>(WAITING_MAX);
        let mut digests = Digests::of(file);
        let part = part.to_owned();
        let thread = std::thread::spawn(move || {
            if held > 0 {
                digests.read(File::open(part)?.take(held))?;
            }
            arriving.iter().for_each(|piece| digests.update(&piece));
            Ok(digests)
        });
        Self { length: held, pieces, thread }
    }

    /// Bytes so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Go on with these bytes.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        // A thread that has failed says so in the end.
        let _ = self.pieces.send(piece.to_vec());
    }

    /// The digests of everything.
    pub(crate) fn finish(self) -> io::Result<Digests> {
        drop(self.pieces);
        self.thread.join().expect("hashing does not panic")
    }
}
