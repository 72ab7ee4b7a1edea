//! Prepare: quantise a model and commit to its weights, once per revision. Folders are named after their content, and
//! `prepared.json`, written last, says which one is current.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use obelysk_model::calibration::Calibration;
use obelysk_model::error::ModelError;
use obelysk_model::quantize::{self, DESCRIPTION_FILE, QuantizedModel, WEIGHTS_FILE};
use obelysk_model::regular;
use obelysk_model::template::ChatTemplate;
use obelysk_prover::{CommittedModel, ProveError, commitment_bytes};
use obelysk_statement::tree::Digest;
use obelysk_statement::{Inference, Profile, SPECIFICATION, compile};
use obelysk_witness::unreadable;
use serde::{Deserialize, Serialize};

use super::Observer;
use super::model_files::ModelFiles;
use crate::atomic;
use crate::failure::{ExitCode, Failure};
use crate::home::short;
use crate::memory;

const PROFILE: Profile = Profile::Blake2s;
/// Folder, beside a model's files, of what was prepared from them.
pub(super) const PREPARED_FOLDER: &str = "quant";
const POINTER: &str = "prepared.json";
/// It is not longer.
const POINTER_BYTES_MAX: u64 = 1 << 20;

/// A quantised model with the identity that proofs are about.
pub struct Prepared {
    /// The quantised model.
    pub model: QuantizedModel,
    /// Root of the commitment to its weights, lower-case hex.
    pub weight_root: String,
    /// The model's digest, lower-case hex.
    pub digest: String,
    /// The folder of the quantised model.
    pub folder: PathBuf,
}

/// `quant/prepared.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pointer {
    /// [`quantize::QUANTIZER`].
    quantizer: u32,
    specification: u32,
    core_digest: String,
    weight_root: String,
    model_digest: String,
    /// Digest of the manifest of the files that it was made from: a folder may hold others by now.
    #[serde(default)]
    manifest: String,
}

/// Load what an earlier call prepared, or prepare.
///
/// # Errors
/// What is kept is damaged, the model cannot be quantised, or HOME cannot be written.
pub fn load_or_prepare(files: &ModelFiles, observer: &dyn Observer) -> Result<Prepared, Failure> {
    match read_pointer(files)? {
        Some(pointer) => load(files, &pointer),
        None => prepare_afresh(files, observer),
    }
}

/// Quantise and commit whatever is kept, and keep the result.
///
/// # Errors
/// As [`load_or_prepare`].
pub fn prepare_afresh(files: &ModelFiles, observer: &dyn Observer) -> Result<Prepared, Failure> {
    observer.detail(&format!("quantising {}", files.name));
    let (core_digest, folder) = quantize(files, observer)?;
    observer.detail(&format!("committing to the weights of {}", files.name));
    require_memory(&folder)?;
    let is_it = |model: &QuantizedModel| hex::encode(model.description.core_digest()) == core_digest;
    let model = match read(&folder).ok().filter(is_it) {
        Some(model) => model,
        // A folder that was kept under this name holds something else.
        None => {
            fs::remove_dir_all(&folder).map_err(|error| Failure::io("remove", &folder, &error))?;
            quantize(files, observer)?;
            read(&folder)?
        }
    };
    let root = commit(&model)?.root();
    let digest = hex::encode(model.description.digest(PROFILE, root));
    let prepared = Prepared { model, weight_root: hex::encode(root.to_bytes()), digest, folder };
    let pointer = Pointer {
        quantizer: quantize::QUANTIZER,
        specification: SPECIFICATION,
        core_digest,
        weight_root: prepared.weight_root.clone(),
        model_digest: prepared.digest.clone(),
        manifest: files.manifest.digest(),
    };
    atomic::write(&commitment_path(&prepared.folder), format!("{}\n", prepared.weight_root).as_bytes())?;
    atomic::write_json(&pointer_path(files), &pointer)?;
    Ok(prepared)
}

/// Write description and weights, in pieces, to a folder named after the description's digest.
fn quantize(files: &ModelFiles, observer: &dyn Observer) -> Result<(String, PathBuf), Failure> {
    let (config, checkpoint) = (files.config()?, files.checkpoint()?);
    let template = ChatTemplate::for_questions(&files.folder)?;
    let calibration = Calibration::of(files.tokenizer()?, template.as_ref())?;
    atomic::create_named_folder(&files.derived.join(PREPARED_FOLDER), |temporary| {
        let path = temporary.join(WEIGHTS_FILE);
        let file = File::create(&path).map_err(|error| Failure::io("write", &path, &error))?;
        let mut output = BufWriter::new(file);
        let mut name = String::new();
        let description = quantize::quantize_into(&config, &checkpoint, &calibration, &mut |piece| {
            if piece.name != name {
                piece.name.clone_into(&mut name);
                observer.detail(&format!("quantising {name}"));
            }
            let bytes = quantize::encode(&piece.bound, piece.entries);
            output.write_all(&bytes).map_err(|error| Failure::io("write", &path, &error))
        })?;
        let synced = output.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        synced.map_err(|error| Failure::io("write", &path, &error))?;
        atomic::write(&temporary.join(DESCRIPTION_FILE), &description.canonical_json())?;
        let core_digest = hex::encode(description.core_digest());
        Ok((short(&core_digest).to_owned(), core_digest))
    })
}

/// The digest of what is kept, if anything is.
///
/// # Errors
/// What is kept is damaged.
pub fn kept_digest(files: &ModelFiles) -> Result<Option<String>, Failure> {
    Ok(read_pointer(files)?.map(|pointer| pointer.model_digest))
}

impl Prepared {
    /// Commit to the weights. The tree of the commitment is not kept: it takes as long to read as to make.
    ///
    /// # Errors
    /// It is not the commitment that was made before.
    pub fn commit(&self) -> Result<CommittedModel, Failure> {
        let commitment = commit(&self.model)?;
        self.require_root(commitment.root()).map(|()| commitment)
    }

    /// Refuse a commitment that is not the one that was made before.
    ///
    /// # Errors
    /// What is kept is damaged.
    pub fn require_root(&self, root: Digest) -> Result<(), Failure> {
        if hex::encode(root.to_bytes()) != self.weight_root {
            return Err(damaged(&self.folder, "its weights have another commitment"));
        }
        Ok(())
    }

    /// As [`changed`].
    #[must_use]
    pub fn changed(&self) -> Option<Failure> {
        changed(&self.model)
    }
}

/// That weights were changed or lost while they were in use, which explains every other failure of what was computed from them.
fn changed(model: &QuantizedModel) -> Option<Failure> {
    unreadable(&model.weights).map(|unreadable| damaged(&unreadable.path, &unreadable.reason))
}

fn load(files: &ModelFiles, pointer: &Pointer) -> Result<Prepared, Failure> {
    let folder = quant_folder(files, &pointer.core_digest);
    let model = read_known(files, &folder)?;
    if hex::encode(model.description.core_digest()) != pointer.core_digest {
        return Err(damaged(&folder.join(DESCRIPTION_FILE), "its digest is another"));
    }
    let root = hex::decode(&pointer.weight_root).ok().and_then(|root| root.try_into().ok()).map(Digest::from_bytes);
    let digest = root.map(|root| hex::encode(model.description.digest(PROFILE, root)));
    if digest.as_ref() != Some(&pointer.model_digest) {
        return Err(damaged(&pointer_path(files), "its digests do not belong together"));
    }
    let (weight_root, digest) = (pointer.weight_root.clone(), pointer.model_digest.clone());
    Ok(Prepared { model, weight_root, digest, folder })
}

fn read(folder: &Path) -> Result<QuantizedModel, Failure> {
    QuantizedModel::load(folder).map_err(|error| damaged(folder, &error.to_string()))
}

/// As [`read`]. Weights that look as they did when they had the description's digest are not hashed again.
fn read_known(files: &ModelFiles, folder: &Path) -> Result<QuantizedModel, Failure> {
    let is_damaged = |error: ModelError| damaged(folder, &error.to_string());
    let mut known = files.known_files(folder);
    let before = known.look(WEIGHTS_FILE);
    let model = QuantizedModel::load_unhashed(folder).map_err(is_damaged)?;
    if !known.has(WEIGHTS_FILE, &model.description.weights_digest) {
        model.check_digest(folder).map_err(is_damaged)?;
        known.learn(WEIGHTS_FILE, before, &model.description.weights_digest);
        known.keep();
    }
    Ok(model)
}

fn commit(model: &QuantizedModel) -> Result<CommittedModel, Failure> {
    // Any inference of the model has the same weight tensors.
    let shortest = Inference { prompt_tokens: vec![0], output_tokens: vec![0] };
    compile(&model.description, &[shortest])
        .map_err(ProveError::from)
        .and_then(|statement| CommittedModel::new(&statement, Arc::clone(&model.weights)))
        .map_err(|error| {
            let unsupported = || Failure::new(ExitCode::Unsupported, error.to_string(), "use a smaller model");
            changed(model).unwrap_or_else(unsupported)
        })
}

/// Refuse to commit to what does not fit memory, before the system ends this process for it.
fn require_memory(folder: &Path) -> Result<(), Failure> {
    let description = quantize::read_description(folder).map_err(|error| damaged(folder, &error.to_string()))?;
    let weights: usize = description.weight_shapes().values().map(|shape| shape.iter().product::<usize>()).sum();
    let hint = "use a machine with more memory, or fewer layers (--layers)";
    memory::require(&format!("a commitment to {weights} weights"), commitment_bytes(weights as u64), hint)
}

fn read_pointer(files: &ModelFiles) -> Result<Option<Pointer>, Failure> {
    let path = pointer_path(files);
    let text = match regular::read(&path, POINTER_BYTES_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io("read", &path, &error)),
    };
    let pointer: Pointer = serde_json::from_slice(&text).map_err(|error| damaged(&path, &error.to_string()))?;
    let current = pointer.quantizer == quantize::QUANTIZER
        && pointer.specification == SPECIFICATION
        && pointer.manifest == files.manifest.digest();
    Ok(current.then_some(pointer))
}

fn pointer_path(files: &ModelFiles) -> PathBuf {
    files.derived.join(PREPARED_FOLDER).join(POINTER)
}

fn quant_folder(files: &ModelFiles, core_digest: &str) -> PathBuf {
    files.derived.join(PREPARED_FOLDER).join(short(core_digest))
}

fn commitment_path(folder: &Path) -> PathBuf {
    folder.join("commitment").join(PROFILE.name()).join("root")
}

fn damaged(path: &Path, reason: &str) -> Failure {
    let folder =
        path.ancestors().find(|folder| folder.ends_with(PREPARED_FOLDER)).unwrap_or(path).display().to_string();
    let message = format!("{} is damaged: {reason}", path.display());
    Failure::new(ExitCode::Cache, message, format!("remove {folder}: it is made again when it is needed"))
}
