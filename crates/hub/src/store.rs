//! Where files are fetched from.

use reqwest::blocking::Response;
use url::Url;

use crate::backoff::{Attempt, Patience};
use crate::bucket::Bucket;
use crate::client::{Client, body};
use crate::digest::Digests;
use crate::error::HubError;
use crate::repository::{Reference, RemoteFile, StatedDigest};

/// No file that is read into memory is longer: an index names at most some 100,000 tensors.
const READ_BYTES_MAX: u64 = 16 << 20;

/// A set of files that does not change while it is read.
pub enum Store<'a> {
    /// A commit of a hub's repository.
    Repository {
        /// The hub.
        client: &'a Client,
        /// The repository.
        reference: &'a Reference,
        /// The commit, 40 hex digits.
        commit: &'a str,
    },
    /// A folder of a bucket.
    Bucket(&'a Bucket),
}

impl Store<'_> {
    pub(crate) fn patience(&self) -> &Patience {
        match self {
            Self::Repository { client, .. } => &client.patience,
            Self::Bucket(bucket) => &bucket.patience,
        }
    }

    /// A file's name in messages.
    pub(crate) fn name_of(&self, path: &str) -> String {
        match self {
            Self::Repository { reference, .. } => format!("{}/{path}", reference.repository()),
            Self::Bucket(bucket) => format!("{}/{path}", bucket.location()),
        }
    }

    /// Read a small file into memory, and check it.
    ///
    /// # Errors
    /// The store does not answer or refuses, or the content is not what it states.
    pub fn read(&self, file: &RemoteFile) -> Result<Vec<u8>, HubError> {
        let what = self.name_of(&file.path);
        let ask = || (self.get(&file.path, 0).and_then(|response| body(&what, response, READ_BYTES_MAX)), false);
        let content = self.patience().persist(&what, ask)?;
        let mut digests = Digests::of(file);
        digests.update(&content);
        digests.judge(file).map(|_| content).map_err(|actual| HubError::digest(file, 1, &actual))
    }

    /// Ask for what a list does not state of files: their lengths, and digests where the store has them.
    ///
    /// # Errors
    /// The store does not answer, refuses, or lacks a file.
    pub fn measure(&self, files: Vec<RemoteFile>) -> Result<Vec<RemoteFile>, HubError> {
        files.into_iter().map(|file| self.measured(file)).collect()
    }

    fn measured(&self, file: RemoteFile) -> Result<RemoteFile, HubError> {
        let ask = || match self {
            Self::Repository { client, reference, commit } => {
                client.describe(&reference.repository(), &address(client, reference, commit, &file.path))
            }
            Self::Bucket(bucket) => {
                bucket.length(&file.path).and_then(|bytes| Attempt::Done((bytes, file.digest.clone())))
            }
        };
        if matches!(self, Self::Repository { .. }) && file.digest != StatedDigest::Unstated {
            return Ok(file);
        }
        let (bytes, digest) = self.patience().persist(&self.name_of(&file.path), || (ask(), false))?;
        Ok(RemoteFile { bytes, digest, ..file })
    }

    /// Ask for a file from byte `from` on. Always through the hub: the address of its store may have expired since.
    pub(crate) fn get(&self, path: &str, from: u64) -> Attempt<Response> {
        match self {
            Self::Repository { client, reference, commit } => {
                client.get(&reference.repository(), &address(client, reference, commit, path), from)
            }
            Self::Bucket(bucket) => bucket.get(path, from),
        }
    }
}

fn address(client: &Client, reference: &Reference, commit: &str, path: &str) -> Url {
    let folder = [reference.organisation.as_str(), &reference.name, "resolve", commit];
    let segments: Vec<&str> = folder.into_iter().chain(path.split('/')).collect();
    client.address(&segments)
}
