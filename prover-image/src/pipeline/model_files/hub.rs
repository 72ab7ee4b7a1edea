//! Models of a hub. A branch or tag is pinned to a commit when it is first asked for; `refs/NAME` keeps the pin, so that
//! later commands need no network and mean the same files.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use obelysk_hub::{Client, Downloaded, Endpoint, Patience, Reference, RemoteFile, Revision, Store, download, select};
use obelysk_model::config::ModelConfig;
use obelysk_model::decoder::expected_tensors;

use super::manifest::{MANIFEST, Manifest, described};
use super::report::{Report, warn_of_memory};
use super::{INDEX, ModelFiles, Remote, directory, pinned};
use crate::atomic;
use crate::failure::{ExitCode, Failure};
use crate::home::{Home, short};
use crate::pipeline::Observer;
use crate::pipeline::inputs::HubModel;

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

    /// Of a model's first layers only the shards that hold them.
    fn download(
        &self,
        client: &Client,
        revision: &Revision,
        mut files: Vec<RemoteFile>,
        folder: &std::path::Path,
        report: &Report,
    ) -> Result<Downloaded, Failure> {
        let fetch = |files: &[RemoteFile]| -> Result<Downloaded, Failure> {
            let store = Store::Repository { client, reference: &self.reference, commit: &revision.commit };
            Ok(download(&store, files, folder, report)?)
        };
        if let Some(layers) = self.layers
            && files.iter().any(|file| file.path == INDEX)
        {
            let small: Vec<RemoteFile> =
                files.iter().filter(|file| !file.path.ends_with(".safetensors")).cloned().collect();
            fetch(&small)?;
            let config = ModelConfig::read(folder)?.truncated(layers)?;
            let shard_of = directory::shards(&folder.join(INDEX))?;
            let tensors = expected_tensors(&config).into_iter();
            let needed: BTreeSet<String> = tensors.filter_map(|(name, _)| shard_of.get(&name).cloned()).collect();
            files.retain(|file| !file.path.ends_with(".safetensors") || needed.contains(&file.path));
        }
        fetch(&files)
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

    fn pin(&self) -> PathBuf {
        let revision = self.reference.revision.replace('/', "--");
        let model = self.home.model(&self.reference.organisation, &self.reference.name, "refs");
        model.join(revision)
    }

    fn pinned(&self) -> Result<Option<String>, Failure> {
        let revision = &self.reference.revision;
        if revision.len() == 40 && revision.chars().all(|c| c.is_ascii_hexdigit()) {
            return Ok(Some(revision.clone()));
        }
        pinned(&self.pin())
    }
}

impl Remote for Hub<'_> {
    fn find(&self) -> Result<Option<ModelFiles>, Failure> {
        let Some(commit) = self.pinned()? else { return Ok(None) };
        for folder in self.folders(&commit) {
            if let Some(found) = ModelFiles::kept(self.reference.repository(), folder, &commit)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn fetch(&self, observer: &dyn Observer) -> Result<ModelFiles, Failure> {
        let endpoint = Endpoint::new(&self.model.endpoint, token())?;
        observer.detail(&format!("asking {} for {}", endpoint.url(), self.reference));
        let client = Client::new(endpoint, Patience::default())?;
        let revision = client.revision(&self.reference)?;
        let files = select(&revision.files);
        if !files.iter().any(|file| file.path.ends_with(".safetensors")) {
            let message = format!("{} has no weights in safetensors files", self.reference);
            return Err(Failure::new(ExitCode::Unsupported, message, "name a repository with safetensors"));
        }
        let folder = match self.folders(&revision.commit) {
            [whole, _] if whole.join(MANIFEST).is_file() => whole,
            [_, part] => part,
        };
        warn_of_memory(observer, &files);
        let report = Report::new(observer, self.reference.to_string());
        let downloaded = self.download(&client, &revision, files, &folder, &report)?;
        let manifest = Manifest { revision: revision.commit.clone(), files: described(downloaded) };
        atomic::write_json(&folder.join(MANIFEST), &manifest)?;
        if self.reference.revision != revision.commit {
            atomic::write(&self.pin(), format!("{}\n", revision.commit).as_bytes())?;
        }
        Ok(ModelFiles::new(self.reference.repository(), folder.clone(), folder, manifest))
    }
}

/// The token of `HF_TOKEN`, else the one that the hub's own tools keep.
fn token() -> Option<String> {
    if let Ok(token) = std::env::var("HF_TOKEN") {
        return Some(token);
    }
    let of_variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let path = of_variable("HF_TOKEN_PATH").or_else(|| {
        let home = of_variable("HF_HOME").or_else(|| Some(std::env::home_dir()?.join(".cache/huggingface")))?;
        Some(home.join("token"))
    })?;
    fs::read_to_string(path).ok()
}
