//! Models that travel inside of this program.

use obelysk_model::bundle;
use sha2::{Digest, Sha256};

use super::ModelFiles;
use super::manifest::{MANIFEST, Manifest, ManifestFile};
use crate::atomic;
use crate::failure::Failure;
use crate::home::Home;

/// A bundled model, and what its files hold.
pub(super) struct Bundled {
    pub(super) files: ModelFiles,
    contents: &'static [(&'static str, &'static [u8])],
}

impl Bundled {
    pub(super) fn find(home: &Home, name: &str) -> Result<Self, Failure> {
        let contents = bundle::files(name)?;
        let describe = |(path, content): &(&str, &[u8])| ManifestFile {
            path: (*path).into(),
            bytes: content.len() as u64,
            sha256: hex::encode(Sha256::digest(content)),
        };
        let manifest = Manifest::of(contents.iter().map(describe).collect());
        let folder = home.model("obelysk", name, &manifest.revision);
        Ok(Self { files: ModelFiles::new(home, format!("obelysk/{name}"), folder.clone(), folder, manifest), contents })
    }

    /// The manifest comes last: it says that everything is in place.
    pub(super) fn write(&self) -> Result<(), Failure> {
        for (path, content) in self.contents {
            atomic::write(&self.files.folder.join(path), content)?;
        }
        atomic::write_json(&self.files.folder.join(MANIFEST), &self.files.manifest)
    }
}
