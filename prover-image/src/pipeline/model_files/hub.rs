//! Models of a hub. A branch or tag is pinned to a commit when it is first asked for; `refs/NAME` keeps the pin, so that
//! later commands need no network and mean the same files.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use obelysk_hub::{
    Client, Downloaded, Endpoint, HubError, Patience, Progress, Reference, RemoteFile, Revision, download, select,
};
use obelysk_model::config::ModelConfig;
use obelysk_model::decoder::expected_tensors;

use super::manifest::{MANIFEST, Manifest, ManifestFile};
use super::{INDEX, ModelFiles, directory};
use crate::atomic;
use crate::failure::{ExitCode, Failure};
use crate::home::{Home, short};
use crate::memory;
use crate::pipeline::Observer;
use crate::pipeline::inputs::HubModel;
use crate::pipeline::prepare::commitment_bytes;

/// Reports of a download come at most this often.
const REPORT_EVERY: Duration = Duration::from_millis(500);

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

    /// The files, if they are all in HOME.
    pub(super) fn find(&self) -> Result<Option<ModelFiles>, Failure> {
        let Some(commit) = self.pinned()? else { return Ok(None) };
        for folder in self.folders(&commit) {
            if folder.join(MANIFEST).is_file() {
                let manifest = Manifest::read(&folder)?;
                let name = self.reference.repository();
                return Ok(Some(ModelFiles::new(name, folder.clone(), folder, manifest)));
            }
        }
        Ok(None)
    }

    /// Ask the hub what the reference means now, and bring the files that are missing or wrong.
    pub(super) fn fetch(&self, observer: &dyn Observer) -> Result<ModelFiles, Failure> {
        let endpoint = Endpoint::new(&self.model.endpoint, token())?;
        observer.detail(&format!("asking {} for {}", endpoint.url(), self.reference));
        let client = Client::new(endpoint, Patience::default())?;
        let revision = client.revision(&self.reference)?;
        let files = select(&revision);
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
        let described = downloaded.files.into_iter().map(|file| ManifestFile {
            path: file.path,
            bytes: file.bytes,
            sha256: file.sha256,
        });
        let manifest = Manifest { revision: revision.commit.clone(), files: described.collect() };
        atomic::write_json(&folder.join(MANIFEST), &manifest)?;
        if self.reference.revision != revision.commit {
            atomic::write(&self.pin(), format!("{}\n", revision.commit).as_bytes())?;
        }
        Ok(ModelFiles::new(self.reference.repository(), folder.clone(), folder, manifest))
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
            Ok(download(client, &self.reference, &revision.commit, files, folder, report)?)
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
    fn folders(&self, commit: &str) -> [PathBuf; 2] {
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
        let path = self.pin();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::io("read", &path, &error)),
        }
    }
}

/// Say before a long download that its model is too large to prove here. Published weights have two bytes.
fn warn_of_memory(observer: &dyn Observer, files: &[RemoteFile]) {
    let weights =
        files.iter().filter(|file| file.path.ends_with(".safetensors")).map(|file| file.bytes).sum::<u64>() / 2;
    let needed = commitment_bytes(weights);
    if memory::available().is_some_and(|available| needed > available) {
        let needed = needed >> 30;
        observer.note(&format!(
            "note: a proof of all its layers takes about {needed} GiB of memory, more than is free here"
        ));
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

/// Tells an observer how a download goes, not too often.
struct Report<'a> {
    observer: &'a dyn Observer,
    name: String,
    state: Mutex<(u64, u64, Instant)>,
}

impl<'a> Report<'a> {
    fn new(observer: &'a dyn Observer, name: String) -> Self {
        Self { observer, name, state: Mutex::new((0, 0, Instant::now())) }
    }

    fn change(&self, always: bool, change: impl FnOnce(&mut u64, &mut u64)) {
        let mut state = self.state.lock().expect("observers do not panic");
        let (done, total, told) = &mut *state;
        change(done, total);
        if always || told.elapsed() >= REPORT_EVERY {
            *told = Instant::now();
            self.observer.progress(&self.name, *done, *total);
        }
    }
}

impl Progress for Report<'_> {
    fn planned(&self, total: u64, held: u64) {
        self.change(true, |done, all| (*done, *all) = (held, total));
    }

    fn fetched(&self, bytes: u64) {
        self.change(false, |done, _| *done += bytes);
    }

    fn lost(&self, bytes: u64) {
        self.change(false, |done, _| *done = done.saturating_sub(bytes));
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        let code = match &error {
            HubError::BadReference(_) | HubError::NotFound(_) => ExitCode::BadSpec,
            HubError::Unauthorised { .. } | HubError::Gated { .. } => ExitCode::Unauthorised,
            HubError::Network { .. } | HubError::Protocol { .. } => ExitCode::Network,
            HubError::Digest { .. } => ExitCode::Cache,
            HubError::DiskFull { .. } => ExitCode::DiskFull,
            HubError::Io { verb, path, source } => return Self::io(verb, path, source),
        };
        Self::new(code, error.to_string(), error.hint())
    }
}
