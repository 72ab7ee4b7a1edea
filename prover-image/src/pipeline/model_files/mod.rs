//! A model's files: the ones that matter, their digests, and the folder of HOME that belongs to their revision.

mod bucket;
mod bundled;
mod directory;
mod hub;
mod manifest;
mod pins;
mod remove;
mod report;
mod weights;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use obelysk_model::checkpoint::Checkpoint;
use obelysk_model::config::ModelConfig;
use obelysk_model::decoder::expected_tensors;
use obelysk_model::float::FloatModel;
use obelysk_model::presets::{self, Origin};
use obelysk_model::regular;
use obelysk_model::tokenizer::ModelTokenizer;
use obelysk_model::validate::{VALIDATION, Validation, check_tensors, validate};
use serde::{Deserialize, Serialize};

use super::Observer;
use super::inputs::{HubModel, ModelSelection, ModelSource};
use crate::atomic;
use crate::failure::{ExitCode, Failure};
use crate::home::Home;
use crate::known_files::KnownFiles;
use bucket::BucketFolder;
use bundled::Bundled;
use hub::Hub;
use manifest::MANIFEST;
pub use manifest::{Manifest, ManifestFile};
pub use remove::{remove, remove_all};

/// Says which files were found valid, beside what is derived from them.
const VALIDATED: &str = "validated.json";
/// It is not longer.
const VALIDATED_BYTES_MAX: u64 = 1 << 12;

/// `validated.json`.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Validated {
    /// [`VALIDATION`].
    validation: u32,
    /// Digest of the manifest.
    manifest: String,
}

/// A model on disk.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    /// Organisation and name.
    pub name: String,
    /// The folder with the files.
    pub folder: PathBuf,
    /// The folder for what is derived from them.
    pub derived: PathBuf,
    /// The files and their digests.
    pub manifest: Manifest,
    /// The model is the first layers of these files, followed by the last norm and the head.
    pub layers: Option<usize>,
    /// Where it is remembered what was checked.
    home: Home,
    /// Read once.
    tokenizer: Arc<OnceLock<ModelTokenizer>>,
}

/// Find a model's files and check them. What is not in HOME yet is brought there.
///
/// # Errors
/// An unknown model, a folder without one, files that differ from their manifest, a download that fails.
pub fn resolve(home: &Home, selection: &ModelSelection, observer: &dyn Observer) -> Result<ModelFiles, Failure> {
    open(home, selection, |place| match place {
        Place::Bundled(bundled) if bundled.files.is_there() => bundled.files.check(),
        Place::Bundled(bundled) => bundled.write(),
        Place::Remote(remote, files) => {
            *files = Some(match remote.find()? {
                Some(found) => {
                    found.check()?;
                    found
                }
                None => remote.fetch(observer)?,
            });
            Ok(())
        }
    })
}

/// As [`resolve`], and replace damaged files of HOME. A branch or tag of a hub is pinned anew.
///
/// # Errors
/// As [`resolve`], except that damage in HOME is repaired.
pub fn pull(home: &Home, selection: &ModelSelection, observer: &dyn Observer) -> Result<ModelFiles, Failure> {
    open(home, selection, |place| match place {
        Place::Bundled(bundled) if bundled.files.is_there() && bundled.files.check().is_ok() => Ok(()),
        Place::Bundled(bundled) => bundled.write(),
        Place::Remote(remote, files) => {
            *files = Some(remote.fetch(observer)?);
            Ok(())
        }
    })
}

/// As [`resolve`], without a network, and without writing anything but what was found out.
///
/// # Errors
/// As [`resolve`], and a model that is not in HOME.
pub fn find(home: &Home, selection: &ModelSelection) -> Result<ModelFiles, Failure> {
    let absent = |name: &str| {
        let message = format!("{name} is not in {}", home.root().display());
        Failure::new(ExitCode::Cache, message, "fetch the model first")
    };
    open(home, selection, |place| match place {
        Place::Bundled(bundled) if bundled.files.is_there() => bundled.files.check(),
        Place::Bundled(bundled) => Err(absent(&bundled.files.name)),
        Place::Remote(remote, files) => {
            let found = remote.find()?.ok_or_else(|| absent("the model"))?;
            found.check()?;
            *files = Some(found);
            Ok(())
        }
    })
}

/// Where a model of HOME comes from.
enum Place<'a> {
    Bundled(Bundled),
    Remote(Box<dyn Remote + 'a>, Option<ModelFiles>),
}

/// A model that lies elsewhere.
trait Remote {
    /// The files, if they are all in HOME.
    fn find(&self) -> Result<Option<ModelFiles>, Failure>;
    /// Ask what the model's files are now, and bring those that are missing or wrong.
    fn fetch(&self, observer: &dyn Observer) -> Result<ModelFiles, Failure>;
}

fn open(
    home: &Home,
    selection: &ModelSelection,
    bring: impl FnOnce(&mut Place) -> Result<(), Failure>,
) -> Result<ModelFiles, Failure> {
    let layers = selection.layers;
    let of_hub;
    let mut place = match &selection.source {
        ModelSource::Directory(folder) => {
            let files = directory::open(home, folder)?;
            files.refuse_pointers()?;
            return Ok(files.truncated(layers));
        }
        ModelSource::Hub(model) => Place::Remote(Box::new(Hub::new(home, model, layers)?), None),
        ModelSource::Bucket(location) => Place::Remote(Box::new(BucketFolder::new(home, location)), None),
        ModelSource::Preset { name, endpoint } => match presets::find(name)?.origin {
            Origin::Bundled => Place::Bundled(Bundled::find(home, name)?),
            Origin::Hub(repository) => {
                of_hub = HubModel { reference: repository.into(), endpoint: endpoint.clone() };
                Place::Remote(Box::new(Hub::new(home, &of_hub, layers)?), None)
            }
        },
    };
    bring(&mut place)?;
    let files = match place {
        Place::Bundled(bundled) => bundled.files,
        Place::Remote(_, files) => files.expect("remote models are found or fetched"),
    };
    files.refuse_pointers()?;
    Ok(files.truncated(layers))
}

impl ModelFiles {
    fn new(home: &Home, name: String, folder: PathBuf, derived: PathBuf, manifest: Manifest) -> Self {
        Self { name, folder, derived, manifest, layers: None, home: home.clone(), tokenizer: Arc::default() }
    }

    /// The model of the first layers. It shares files with the whole one, and nothing that is derived from them.
    fn truncated(mut self, layers: Option<usize>) -> Self {
        if let Some(layers) = layers {
            self.name = format!("{} (first {layers} layers)", self.name);
            self.derived = self.derived.join(format!("first-{layers}"));
            self.layers = Some(layers);
        }
        self
    }

    /// What HOME keeps of a revision in a folder.
    fn kept(home: &Home, name: String, folder: PathBuf, revision: &str) -> Result<Option<Self>, Failure> {
        if !folder.join(MANIFEST).is_file() {
            return Ok(None);
        }
        let manifest = Manifest::read(&folder)?;
        if manifest.revision != revision {
            let path = folder.join(MANIFEST);
            let message = format!("{} is damaged: it is of revision {}", path.display(), manifest.revision);
            return Err(Failure::new(ExitCode::Cache, message, "run `obelysk model pull` again"));
        }
        Ok(Some(Self::new(home, name, folder.clone(), folder, manifest)))
    }

    /// Refuse the text that stands in a Git repository for a large file: nobody means it as weights.
    fn refuse_pointers(&self) -> Result<(), Failure> {
        let is_short = |file: &&ManifestFile| file.bytes < 1024 && file.path.ends_with(".safetensors");
        for file in self.manifest.files.iter().filter(is_short) {
            let path = self.folder.join(&file.path);
            if regular::read(&path, 1024)
                .is_ok_and(|text| text.starts_with(b"version https://git-lfs.github.com/spec/"))
            {
                let message = format!("{} is the Git LFS pointer to a file, not the file", path.display());
                let hint = "run `git lfs pull` in the repository, or download the model from its hub";
                return Err(Failure::new(ExitCode::ModelMismatch, message, hint));
            }
        }
        Ok(())
    }

    fn is_there(&self) -> bool {
        self.folder.join(MANIFEST).is_file()
    }

    /// Compare every file with the manifest. What looks as it did when it was compared before is not read again.
    ///
    /// # Errors
    /// A file is missing or differs.
    pub fn check(&self) -> Result<(), Failure> {
        let mut known = self.known_files(&self.folder);
        let hint = format!("run `obelysk model pull` again, or remove {}", self.folder.display());
        for file in &self.manifest.files {
            let path = self.folder.join(&file.path);
            let problem = match fs::metadata(&path) {
                Err(_) => "is missing".to_string(),
                Ok(found) if found.len() != file.bytes => format!("has {} bytes, not {}", found.len(), file.bytes),
                Ok(_) if known.sha256(&file.path)? != file.sha256 => "differs from its SHA-256".to_string(),
                Ok(_) => continue,
            };
            return Err(Failure::new(ExitCode::Cache, format!("{} {problem}", path.display()), hint));
        }
        known.keep();
        Ok(())
    }

    /// The same files, hashed whatever is remembered of them and of what was made from them.
    #[must_use]
    pub fn hashing_again(&self) -> Self {
        Self { home: self.home.clone().hashing_again(true), ..self.clone() }
    }

    /// The known files of a folder of this model.
    pub fn known_files(&self, folder: &Path) -> KnownFiles {
        self.home.known_files(folder)
    }

    /// The model's configuration.
    ///
    /// # Errors
    /// It cannot be read, or has fewer layers than are asked for.
    pub fn config(&self) -> Result<ModelConfig, Failure> {
        let config = ModelConfig::read(&self.folder)?;
        Ok(match self.layers {
            Some(layers) => config.truncated(layers)?,
            None => config,
        })
    }

    /// The model's weights, which are those that its configuration calls for. Shards that it does not need may be absent.
    ///
    /// # Errors
    /// What the checkpoint's files report, and a tensor that is missing, of another shape or ambiguous.
    pub fn checkpoint(&self) -> Result<Checkpoint, Failure> {
        let config = self.config()?;
        let checkpoint = match self.layers {
            None => Checkpoint::open(&self.folder)?,
            Some(_) => {
                let needed = expected_tensors(&config).into_iter().map(|(name, _)| name).collect();
                Checkpoint::open_tensors(&self.folder, &needed)?
            }
        };
        check_tensors(&config, &checkpoint)?;
        Ok(checkpoint)
    }

    /// The model's tokenizer.
    ///
    /// # Errors
    /// It is missing, damaged or of a kind that is not supported.
    pub fn tokenizer(&self) -> Result<&ModelTokenizer, Failure> {
        if let Some(tokenizer) = self.tokenizer.get() {
            return Ok(tokenizer);
        }
        let tokenizer = ModelTokenizer::open(&self.folder)?;
        Ok(self.tokenizer.get_or_init(|| tokenizer))
    }

    /// The float engine.
    ///
    /// # Errors
    /// What configuration and checkpoint report.
    pub fn float_model(&self) -> Result<FloatModel, Failure> {
        Ok(FloatModel::load(self.config()?, &self.checkpoint()?)?)
    }

    /// Check files, shapes and values, reading every weight once.
    ///
    /// # Errors
    /// The first problem, with the file and the tensor.
    pub fn validate(&self) -> Result<Validation, Failure> {
        let validation = validate(&self.folder, &self.config()?, &self.checkpoint()?)?;
        // Whoever cannot write here validates again.
        let _ = atomic::write_json(&self.derived.join(VALIDATED), &self.validated());
        Ok(validation)
    }

    /// As [`ModelFiles::validate`], unless these very files were found valid before.
    ///
    /// # Errors
    /// As [`ModelFiles::validate`].
    pub fn validate_once(&self) -> Result<(), Failure> {
        let kept = regular::read(&self.derived.join(VALIDATED), VALIDATED_BYTES_MAX).ok();
        let kept: Option<Validated> = kept.and_then(|text| serde_json::from_slice(&text).ok());
        if !self.home.hashes_again() && kept.is_some_and(|kept| kept == self.validated()) {
            return Ok(());
        }
        self.validate().map(drop)
    }

    fn validated(&self) -> Validated {
        Validated { validation: VALIDATION, manifest: self.manifest.digest() }
    }
}
