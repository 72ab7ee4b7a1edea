//! Taking models off HOME. A folder goes whole: it is renamed before it is deleted, so that whoever looks for it finds all
//! of it or nothing. What is not there is as good as removed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use obelysk_model::presets::{self, Origin};

use super::VALIDATED;
use super::bucket::BucketFolder;
use super::hub::Hub;
use super::pins::{self, PINS};
use crate::failure::{ExitCode, Failure};
use crate::home::{Home, short};
use crate::known_files::KNOWN_FILES;
use crate::pipeline::inputs::{HubModel, ModelSelection, ModelSource};
use crate::pipeline::prepare::PREPARED_FOLDER;

/// Remove a revision of a model: its files, what was prepared from them, and the pins to it, whatever part of the model
/// they are.
///
/// # Errors
/// A source that is none, a folder that leads out of HOME, or one that cannot be removed.
pub fn remove(home: &Home, selection: &ModelSelection, revision: &str) -> Result<(), Failure> {
    if revision.is_empty() || !revision.chars().all(|c| c.is_ascii_alphanumeric()) {
        let hint = "the operator and the image must be of the same version";
        return Err(Failure::new(ExitCode::BadSpec, format!("`{revision}` is no revision of a model"), hint));
    }
    let whole = match &selection.source {
        // The files are the user's; what was prepared lies among them.
        ModelSource::Directory(folder) if folder.starts_with(home.root()) => {
            for name in [KNOWN_FILES, VALIDATED] {
                let _ = fs::remove_file(folder.join(name));
            }
            return discard(home, &folder.join(PREPARED_FOLDER));
        }
        ModelSource::Directory(folder) => {
            let name = folder.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
            home.model("local", &name, revision)
        }
        ModelSource::Hub(model) => of_hub(home, model, revision)?,
        ModelSource::Bucket(location) => BucketFolder::new(home, location).folder(revision),
        ModelSource::Preset { name, endpoint } => match presets::find(name)?.origin {
            Origin::Bundled => home.model("obelysk", name, revision),
            Origin::Hub(repository) => {
                of_hub(home, &HubModel { reference: repository.into(), endpoint: endpoint.clone() }, revision)?
            }
        },
    };
    let model = whole.parent().expect("a revision lies in the folder of its model");
    // A pin leads to the files: it goes first.
    let folder = model.join(PINS);
    pins::remove(entries(home, &folder)?, revision)?;
    for folder in entries(home, model)?.into_iter().filter(|folder| is_of(folder, revision)) {
        discard(home, &folder)?;
    }
    for folder in [&*folder, model] {
        // One that other revisions need is not empty.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

/// Remove every model.
///
/// # Errors
/// The folder leads out of HOME or cannot be removed.
pub fn remove_all(home: &Home) -> Result<(), Failure> {
    discard(home, &home.models())
}

fn of_hub(home: &Home, model: &HubModel, revision: &str) -> Result<PathBuf, Failure> {
    let [whole, _] = Hub::new(home, model, None)?.folders(revision);
    Ok(whole)
}

/// Whether a folder holds a revision: the whole model, its first layers, or what a removal that was cut short has left.
fn is_of(folder: &Path, revision: &str) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_prefix(DOOMED).unwrap_or(&name);
    name.strip_prefix(short(revision)).is_some_and(|rest| rest.is_empty() || rest.starts_with("-first-"))
}

/// Prefix of folders on their way out.
const DOOMED: &str = "removed-";

/// Rename a folder and delete it.
fn discard(home: &Home, folder: &Path) -> Result<(), Failure> {
    let name = folder.file_name().expect("the folder has a name").to_string_lossy();
    let doomed = folder.with_file_name(format!("{DOOMED}{}", name.strip_prefix(DOOMED).unwrap_or(&name)));
    require_inside(home, folder)?;
    delete(&doomed)?;
    match fs::rename(folder, &doomed) {
        Ok(()) => delete(&doomed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::io("remove", folder, &error)),
    }
}

fn delete(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::io("remove", folder, &error)),
    }
}

/// What a folder holds; nothing, if it is not there.
fn entries(home: &Home, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    require_inside(home, folder)?;
    let failed = |error: std::io::Error| Failure::io("read", folder, &error);
    match fs::read_dir(folder) {
        Ok(found) => found.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

/// A link may lead anywhere, and `..` too.
fn require_inside(home: &Home, folder: &Path) -> Result<(), Failure> {
    let (Ok(root), Ok(found)) = (fs::canonicalize(home.root()), fs::canonicalize(folder)) else { return Ok(()) };
    if found != root && found.starts_with(&root) {
        return Ok(());
    }
    let message = format!("{} lies outside of {}, in {}", folder.display(), home.root().display(), found.display());
    Err(Failure::new(ExitCode::BadSpec, message, "remove it by hand"))
}
