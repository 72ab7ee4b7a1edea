//! Where files are fetched from.

use reqwest::blocking::Response;

use crate::backoff::{Attempt, Patience};
use crate::bucket::Bucket;
use crate::client::Client;
use crate::repository::Reference;

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

    /// Ask for a file from byte `from` on. Always through the hub: the address of its store may have expired since.
    pub(crate) fn get(&self, path: &str, from: u64) -> Attempt<Response> {
        match self {
            Self::Repository { client, reference, commit } => {
                let folder = [reference.organisation.as_str(), &reference.name, "resolve", commit];
                let segments: Vec<&str> = folder.into_iter().chain(path.split('/')).collect();
                client.get(&reference.repository(), &client.address(&segments), from)
            }
            Self::Bucket(bucket) => bucket.get(path, from),
        }
    }
}
