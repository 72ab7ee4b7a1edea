//! Why a download fails.

use std::io;
use std::path::{Path, PathBuf};

use crate::repository::{RemoteFile, StatedDigest};

/// A problem that the user can act upon.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The name or revision is not one.
    #[error("{0}")]
    BadReference(String),
    /// The address of a hub is none.
    #[error("{0}")]
    BadEndpoint(String),
    /// The folder of a bucket, or the address of its server, is none.
    #[error("{0}")]
    BadLocation(String),
    /// A token or a key that no request can carry.
    #[error("{0}")]
    BadToken(String),
    /// There is no such repository, revision or file, or this token may not see it.
    #[error("{0}")]
    NotFound(String),
    /// The repository asks for a token.
    #[error("{repository} asks for a token: {message}")]
    Unauthorised {
        /// Repository.
        repository: String,
        /// What the hub says.
        message: String,
    },
    /// The token's owner has not accepted the repository's licence.
    #[error("{repository} is gated, and the token's owner has no access to it: {message}")]
    Gated {
        /// Repository.
        repository: String,
        /// What the hub says.
        message: String,
    },
    /// The bucket refuses the access key, or its absence.
    #[error("{place} refuses access (status {status})")]
    BucketRefuses {
        /// The folder.
        place: String,
        /// The answer's status.
        status: u16,
    },
    /// The folder of a bucket lacks a file.
    #[error("{place} has no {file}")]
    BucketLacks {
        /// The folder.
        place: String,
        /// Name of the file.
        file: String,
    },
    /// The server refuses the request, and would refuse it again.
    #[error("{what} is refused with status {status}{}", said(message))]
    Refused {
        /// What was asked for.
        what: String,
        /// The answer's status.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// No secure connection can be made.
    #[error("{what}: no secure connection: {reason}")]
    Insecure {
        /// What was asked for.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The proxy that the environment names does not let requests through.
    #[error("{what}: the proxy does not work: {reason}")]
    Proxy {
        /// What was asked for.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The answers for a file are not its bytes, though it was begun afresh.
    #[error("{what}: the server sends something else: {reason}")]
    NotTheFile {
        /// The file.
        what: String,
        /// What came.
        reason: String,
    },
    /// The text came that stands in a Git repository for a large file.
    #[error("{what}: instead of the file came its Git LFS pointer")]
    Pointer {
        /// The file.
        what: String,
    },
    /// The server could not be reached or broke off, again and again.
    #[error("{what} failed {attempts} times in a row without progress; the last time: {reason}")]
    Network {
        /// What was asked for.
        what: String,
        /// Attempts without progress.
        attempts: u32,
        /// The last failure.
        reason: String,
    },
    /// The server's answer is not what its interface promises.
    #[error("{what}: {reason}")]
    Protocol {
        /// What was asked for.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// A file arrived with other bytes than the hub states, again and again.
    #[error("{file} arrived {attempts} times with {actual}; the hub states {expected}")]
    Digest {
        /// Name of the file.
        file: String,
        /// How often.
        attempts: u32,
        /// The digest of what arrived.
        actual: String,
        /// The digest that the hub states.
        expected: String,
    },
    /// The volume is too small.
    #[error("the download needs {needed} bytes in {}, which has {available} free", folder.display())]
    DiskFull {
        /// Where.
        folder: PathBuf,
        /// Bytes that are missing yet, and a reserve.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// A file cannot be read or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl HubError {
    pub(crate) fn io(verb: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { verb, path: path.to_owned(), source }
    }

    pub(crate) fn digest(file: &RemoteFile, attempts: u32, actual: &StatedDigest) -> Self {
        let (actual, expected) = (format!("{actual:?}"), format!("{:?}", file.digest));
        Self::Digest { file: file.path.clone(), attempts, actual, expected }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::BadReference(_) => "write it as organisation/name, or organisation/name@revision",
            Self::BadEndpoint(_) => {
                "write the hub's address as https://HOST in --endpoint or HF_ENDPOINT, or leave both out for the public hub"
            }
            Self::BadLocation(_) => {
                "write the folder as s3://BUCKET/FOLDER, and the server's address as https://HOST in --s3-endpoint or \
                 AWS_ENDPOINT_URL, or leave the address out for AWS"
            }
            Self::BadToken(_) => "copy it again, as one line of plain characters",
            Self::NotFound(_) => "check the name; a private repository needs a token that may read it (HF_TOKEN)",
            Self::Unauthorised { .. } => "set HF_TOKEN to a token that may read the repository",
            Self::Gated { .. } => {
                "accept the licence on the repository's page with the token's account, then try again"
            }
            Self::BucketRefuses { .. } => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key that may read the folder; check its name too: \
                 buckets also refuse what is not there"
            }
            Self::BucketLacks { .. } => {
                "put the model's files into the folder, and beside them what `sha256sum * > SHA256SUMS` writes"
            }
            Self::Refused { status: 451, .. } => "it is withheld here for legal reasons: use another model",
            Self::Refused { .. } => {
                "check the name, the revision or region, and the address; trying again will not help"
            }
            Self::Insecure { .. } => {
                "check that the address begins with the right one of http:// and https://, this machine's clock, and its \
                 certificates: SSL_CERT_FILE may name those of a private hub or proxy"
            }
            Self::Proxy { .. } => {
                "name an HTTP proxy in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY (socks is not supported), or unset them; \
                 NO_PROXY lists hosts that need none"
            }
            Self::NotTheFile { .. } => {
                "the server, or a proxy in between, answers wrongly: use another --endpoint or network"
            }
            Self::Pointer { .. } => {
                "the server has no large files: use another --endpoint, or upload the files themselves"
            }
            Self::Network { .. } => {
                "try again: the download goes on where it stopped. Where no hub can be reached, name a mirror with \
                 --endpoint, or a folder that holds the model with --model-dir"
            }
            Self::Protocol { .. } => "check --endpoint: it must speak the hub's interface",
            Self::Digest { .. } => {
                "something between here and the hub changes the bytes: try another mirror or network"
            }
            Self::DiskFull { .. } => "free space on that volume, or name another with --home",
            Self::Io { .. } => "check the path, its permissions and the volume it lies on",
        }
    }
}

/// A server's own words, if it has any.
fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}
