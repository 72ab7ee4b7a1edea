//! Downloads of model repositories from the Hugging Face hub or a server that speaks its interface, and of folders of S3
//! buckets.
//!
//! The revision is pinned before anything else. Every byte is checked against the digests that the hub states, SHA-256
//! for large files and Git's SHA-1 for small ones, or against the folder's `SHA256SUMS`. A download goes on where it
//! stopped, whatever stopped it. The token goes to the hub's own host and nowhere else.

mod backoff;
mod bucket;
mod client;
mod digest;
mod download;
mod error;
mod file;
mod repository;
mod selection;
mod sending;
mod store;

pub use backoff::Patience;
pub use bucket::{AccessKey, Bucket, Location};
pub use client::{Client, Endpoint};
pub use download::{Downloaded, DownloadedFile, Progress, download};
pub use error::HubError;
pub use repository::{Reference, RemoteFile, Revision, StatedDigest};
pub use selection::{INDEX, SINGLE, SMALL_FILES, select};
pub use store::Store;
