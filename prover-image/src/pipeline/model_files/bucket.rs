//! Models of a bucket. Their revision is what `SHA256SUMS` lists; a pin keeps it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use obelysk_hub::{AccessKey, Bucket, INDEX, Location, Patience, RemoteFile, StatedDigest, Store, download, select};

use super::manifest::{MANIFEST, Manifest, ManifestFile, described};
use super::report::{Report, warn_of_memory};
use super::weights::{choose, parse_index};
use super::{ModelFiles, Remote, pins};
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

    /// The folder's address is a part of its origin: slashes of the folder are none in its name here.
    fn pin(&self) -> PathBuf {
        let Location { endpoint, region, .. } = self.location;
        let origin = format!("{endpoint:?} {region:?} {}", self.location);
        pins::path(&self.folder(pins::PINS), "now", &origin)
    }
}

impl Remote for BucketFolder<'_> {
    fn find(&self) -> Result<Option<ModelFiles>, Failure> {
        let Some(revision) = pins::read(&self.pin())? else { return Ok(None) };
        ModelFiles::kept(self.home, self.location.to_string(), self.folder(&revision), &revision)
    }

    fn fetch(&self, observer: &dyn Observer) -> Result<ModelFiles, Failure> {
        let bucket = Bucket::new(self.location.clone(), access_key(), Patience::default())?;
        let store = Store::Bucket(&bucket);
        let listed_files = bucket.files()?;
        let shards = match listed_files.iter().find(|file| file.path == INDEX) {
            Some(index) => parse_index(&format!("{}/{INDEX}", self.location), &store.read(index)?)?,
            None => BTreeMap::new(),
        };
        let is_listed = |name: &str| listed_files.iter().any(|file| file.path == name);
        let weights = choose(shards.values(), is_listed).map_err(|missing| {
            let message = format!("{} lists no weights in safetensors files: it lacks {missing}", self.location);
            let hint = "list config, tokenizer and weights in SHA256SUMS";
            Failure::new(ExitCode::Unsupported, message, hint)
        })?;
        let files = store.measure(select(&listed_files, &weights))?;
        warn_of_memory(observer, &files);
        let revision = Manifest::of(files.iter().map(listed).collect()).revision;
        let folder = self.folder(&revision);
        let report = Report::new(observer, self.location.to_string());
        let downloaded = download(&store, &files, &folder, &report)?;
        let manifest = Manifest::of(described(downloaded));
        atomic::write_json(&folder.join(MANIFEST), &manifest)?;
        pins::write(&self.pin(), &revision)?;
        Ok(ModelFiles::new(self.home, self.location.to_string(), folder.clone(), folder, manifest))
    }
}

fn listed(file: &RemoteFile) -> ManifestFile {
    let sha256 = match &file.digest {
        StatedDigest::Sha256(digest) | StatedDigest::Git(digest) => digest.clone(),
        StatedDigest::Unstated => String::new(),
    };
    ManifestFile { path: file.path.clone(), bytes: file.bytes, sha256 }
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
