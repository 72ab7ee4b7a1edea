//! Models of a bucket. Their revision is what `SHA256SUMS` lists; `refs/now` keeps it, so that later commands need no network and
//! mean the same files.

use std::path::PathBuf;

use obelysk_hub::{AccessKey, Bucket, Location, Patience, RemoteFile, StatedDigest, Store, download};

use super::manifest::{MANIFEST, Manifest, ManifestFile, described};
use super::report::{Report, warn_of_memory};
use super::{ModelFiles, Remote, pinned};
use crate::atomic;
use crate::failure::{ExitCode, Failure};
use crate::home::Home;
use crate::pipeline::Observer;

/// A folder of a bucket.
pub(super) struct BucketFolder<'a> {
    home: &'a Home,
    location: &'a Location,
}

impl<'a> BucketFolder<'a> {
    pub(super) fn new(home: &'a Home, location: &'a Location) -> Self {
        Self { home, location }
    }

    fn name(&self) -> String {
        if self.location.prefix.is_empty() { "all".into() } else { self.location.prefix.replace('/', "--") }
    }

    pub(super) fn folder(&self, revision: &str) -> PathBuf {
        self.home.model(&self.location.bucket, &self.name(), revision)
    }

    fn pin(&self) -> PathBuf {
        self.folder("refs").join("now")
    }
}

impl Remote for BucketFolder<'_> {
    fn find(&self) -> Result<Option<ModelFiles>, Failure> {
        let Some(revision) = pinned(&self.pin())? else { return Ok(None) };
        ModelFiles::kept(self.location.to_string(), self.folder(&revision), &revision)
    }

    fn fetch(&self, observer: &dyn Observer) -> Result<ModelFiles, Failure> {
        let bucket = Bucket::new(self.location.clone(), access_key(), Patience::default())?;
        let files = bucket.files()?;
        if !files.iter().any(|file| file.path.ends_with(".safetensors")) {
            let message = format!("{} lists no weights in safetensors files", self.location);
            let hint = "list config, tokenizer and weights in SHA256SUMS";
            return Err(Failure::new(ExitCode::Unsupported, message, hint));
        }
        warn_of_memory(observer, &files);
        let revision = Manifest::of(files.iter().map(listed).collect()).revision;
        let folder = self.folder(&revision);
        let report = Report::new(observer, self.location.to_string());
        let downloaded = download(&Store::Bucket(&bucket), &files, &folder, &report)?;
        let manifest = Manifest::of(described(downloaded));
        atomic::write_json(&folder.join(MANIFEST), &manifest)?;
        atomic::write(&self.pin(), format!("{revision}\n").as_bytes())?;
        Ok(ModelFiles::new(self.location.to_string(), folder.clone(), folder, manifest))
    }
}

fn listed(file: &RemoteFile) -> ManifestFile {
    let (StatedDigest::Sha256(digest) | StatedDigest::Git(digest)) = &file.digest;
    ManifestFile { path: file.path.clone(), bytes: file.bytes, sha256: digest.clone() }
}

/// The key of the variables that the tools for buckets share.
fn access_key() -> Option<AccessKey> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Some(AccessKey {
        id: variable("AWS_ACCESS_KEY_ID")?,
        secret: variable("AWS_SECRET_ACCESS_KEY")?,
        session_token: variable("AWS_SESSION_TOKEN"),
    })
}
