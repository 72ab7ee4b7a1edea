//! Downloads of model repositories from the Hugging Face hub or a server that speaks its interface.
//!
//! The revision is pinned before anything else. Every byte is checked against the digests that the hub states: SHA-256
//! for large files, Git's SHA-1 for small ones. A download goes on where it stopped, whatever stopped it. The token goes
//! to the hub's own host and nowhere else.

mod backoff;
mod client;
mod download;
mod error;
mod file;
mod repository;
mod selection;

pub use backoff::Patience;
pub use client::{Client, Endpoint};
pub use download::{Downloaded, DownloadedFile, Progress, download};
pub use error::HubError;
pub use repository::{Reference, RemoteFile, Revision};
pub use selection::select;
