//! Models of a hub. A branch or tag is pinned to a commit when it is first asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use obelysk_hub::{
    Client, Endpoint, INDEX, Patience, Reference, RemoteFile, Revision, StatedDigest, Store, download, select,
};
use obelysk_model::config::ModelConfig;
use obelysk_model::decoder::expected_tensors;
use obelysk_model::regular;

use super::manifest::{MANIFEST, Manifest, described};
use super::report::{Report, warn_of_memory};
use super::weights::{choose, parse_index};
use super::{ModelFiles, Remote, pins};
use crate::atomic;
use crate::failure::{ExitCode, Failure};
use crate::home::{Home, short};
use crate::pipeline::Observer;
use crate::pipeline::inputs::HubModel;

/// No token is longer.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// A model of a hub, wanted whole or for its first layers.
pub(super) struct Hub<'a> {
    home: &'a Home,
    model: &'a HubModel,
    reference: Reference,
    layers: Option<usize>,
}

impl<'a> Hub<'a> {
    pub(super) fn new(home: &'a Home, model: &'a HubModel, layers: Option<usize>) -> Result<Self, Failure> {
        Ok(Self { home, model, reference: model.reference.parse()?, layers })
    }

    /// The files of the model, measured. Of its first layers only the shards that hold them.
    fn files(
        &self,
        store: &Store,
        revision: &Revision,
        folder: &Path,
        report: &Report,
    ) -> Result<Vec<RemoteFile>, Failure> {
        let index = revision.files.iter().find(|file| file.path == INDEX);
        let mut shards = match index {
            Some(index) => parse_index(&format!("{}/{INDEX}", self.reference), &store.read(index)?)?,
            None => BTreeMap::new(),
        };
        if let Some(layers) = self.layers.filter(|_| index.is_some()) {
            let small = store.measure(select(&revision.files, &BTreeSet::new()))?;
            download(store, &small, folder, report)?;
            let config = ModelConfig::read(folder)?.truncated(layers)?;
            let needed: BTreeSet<String> = expected_tensors(&config).into_iter().map(|(name, _)| name).collect();
            shards.retain(|tensor, _| needed.contains(tensor));
        }
        let is_there = |name: &str| revision.files.iter().any(|file| file.path == name);
        let weights = choose(shards.values(), is_there).map_err(|missing| {
            let message = format!("{} has no weights in safetensors files: it lacks {missing}", self.reference);
            Failure::new(ExitCode::Unsupported, message, "name a repository with safetensors")
        })?;
        Ok(store.measure(select(&revision.files, &weights))?)
    }

    /// Where the whole model lies, and where the part of it that is asked for.
    pub(super) fn folders(&self, commit: &str) -> [PathBuf; 2] {
        let whole = self.home.model(&self.reference.organisation, &self.reference.name, commit);
        let part = match self.layers {
            Some(layers) => whole.with_file_name(format!("{}-first-{layers}", short(commit))),
            None => whole.clone(),
        };
        [whole, part]
    }

    fn pin(&self) -> Result<PathBuf, Failure> {
        let folder = self.home.model(&self.reference.organisation, &self.reference.name, pins::PINS);
        let endpoint = Endpoint::new(&self.model.endpoint, None)?;
        Ok(pins::path(&folder, &self.reference.revision, endpoint.url().as_str()))
    }

    fn pinned(&self) -> Result<Option<String>, Failure> {
        let revision = &self.reference.revision;
        if revision.len() == 40 && revision.chars().all(|c| c.is_ascii_hexdigit()) {
            return Ok(Some(revision.clone()));
        }
        pins::read(&self.pin()?)
    }
}

impl Remote for Hub<'_> {
    fn find(&self) -> Result<Option<ModelFiles>, Failure> {
        let Some(commit) = self.pinned()? else { return Ok(None) };
        for folder in self.folders(&commit) {
            if let Some(found) = ModelFiles::kept(self.home, self.reference.repository(), folder, &commit)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn fetch(&self, observer: &dyn Observer) -> Result<ModelFiles, Failure> {
        let endpoint = Endpoint::new(&self.model.endpoint, token()?)?;
        observer.detail(&format!("asking {} for {}", endpoint.url(), self.reference));
        let client = Client::new(endpoint, Patience::default())?;
        let revision = client.revision(&self.reference)?;
        let folder = match self.folders(&revision.commit) {
            [whole, _] if whole.join(MANIFEST).is_file() => whole,
            [_, part] => part,
        };
        let store = Store::Repository { client: &client, reference: &self.reference, commit: &revision.commit };
        let report = Report::new(observer, self.reference.to_string());
        let files = self.files(&store, &revision, &folder, &report)?;
        if let Some(file) = files.iter().find(|file| file.digest == StatedDigest::Unstated) {
            let (endpoint, file) = (&self.model.endpoint, &file.path);
            observer.note(&format!("note: {endpoint} states no digest of {file}: its content is taken as it comes"));
        }
        warn_of_memory(observer, &files);
        let downloaded = download(&store, &files, &folder, &report)?;
        let manifest = Manifest { revision: revision.commit.clone(), files: described(downloaded) };
        atomic::write_json(&folder.join(MANIFEST), &manifest)?;
        if self.reference.revision != revision.commit {
            pins::write(&self.pin()?, &revision.commit)?;
        }
        Ok(ModelFiles::new(self.home, self.reference.repository(), folder.clone(), folder, manifest))
    }
}

/// The token of `HF_TOKEN`, else the one that the hub's own tools keep.
fn token() -> Result<Option<String>, Failure> {
    if let Some(token) = std::env::var_os("HF_TOKEN") {
        let not_text = |_| Failure::new(ExitCode::Unauthorised, "HF_TOKEN is no text", "copy the token again");
        return token.into_string().map(Some).map_err(not_text);
    }
    let of_variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let path = of_variable("HF_TOKEN_PATH").or_else(|| {
        let home = of_variable("HF_HOME").or_else(|| Some(std::env::home_dir()?.join(".cache/huggingface")))?;
        Some(home.join("token"))
    });
    let kept = path.and_then(|path| regular::read(&path, TOKEN_BYTES_MAX).ok());
    Ok(kept.and_then(|text| String::from_utf8(text).ok()))
}
