//! Where a model keeps its chat templates, and which of them is taken.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::ModelError;
use crate::json_file::read_object;
use crate::tokenizer::TOKENIZER_CONFIG;

const FILE: &str = "chat_template.jinja";
/// Templates in files that are named after them.
const FOLDER: &str = "additional_chat_templates";
const KEY: &str = "chat_template";
/// The template that is taken where there are several.
const DEFAULT: &str = "default";

/// A template's text and the file that it comes from.
pub(super) struct Source {
    pub path: PathBuf,
    pub text: String,
}

/// Find a folder's template. Files of templates come before those of the tokenizer's configuration.
pub(super) fn find(folder: &Path) -> Result<Option<Source>, ModelError> {
    let mut templates = in_files(folder)?;
    if templates.is_empty() {
        templates = in_config(&folder.join(TOKENIZER_CONFIG))?;
    }
    if templates.is_empty() {
        return Ok(None);
    }
    match templates.remove(DEFAULT) {
        Some(source) => Ok(Some(source)),
        None => {
            let names: Vec<&str> = templates.keys().map(String::as_str).collect();
            Err(ModelError::UnsupportedTemplate(format!(
                "the model in {} has the chat templates {} and none named {DEFAULT}",
                folder.display(),
                names.join(", ")
            )))
        }
    }
}

fn in_files(folder: &Path) -> Result<BTreeMap<String, Source>, ModelError> {
    let mut files = BTreeMap::from([(DEFAULT.to_owned(), folder.join(FILE))]);
    let further = folder.join(FOLDER);
    match fs::read_dir(&further) {
        Ok(entries) => {
            for entry in entries {
                let path = entry.map_err(|error| ModelError::io(&further, error))?.path();
                if path.extension().is_some_and(|extension| extension == "jinja") {
                    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    files.insert(name, path);
                }
            }
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
        Err(error) => return Err(ModelError::io(&further, error)),
    }
    let mut sources = BTreeMap::new();
    for (name, path) in files {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(ModelError::io(&path, error)),
        };
        let text = String::from_utf8(bytes).map_err(|error| {
            let place = error.utf8_error().valid_up_to();
            ModelError::corrupt(&path, format!("the chat template is not UTF-8 from byte {place} on"))
        })?;
        sources.insert(name, Source { path, text });
    }
    Ok(sources)
}

fn in_config(path: &Path) -> Result<BTreeMap<String, Source>, ModelError> {
    let config = read_object(path)?.unwrap_or_default();
    let wrong = || ModelError::corrupt(path, format!("`{KEY}` holds neither a template nor named templates"));
    let source = |text: &Value| {
        let text = text.as_str().ok_or_else(wrong)?.to_owned();
        Ok::<_, ModelError>(Source { path: path.to_owned(), text })
    };
    match config.get(KEY) {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Array(list)) => list
            .iter()
            .map(|entry| Ok((entry["name"].as_str().ok_or_else(wrong)?.to_owned(), source(&entry["template"])?)))
            .collect(),
        Some(Value::Object(named)) => named.iter().map(|(name, text)| Ok((name.clone(), source(text)?))).collect(),
        Some(text) => Ok(BTreeMap::from([(DEFAULT.to_owned(), source(text)?)])),
    }
}
