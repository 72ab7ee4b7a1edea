//! Small JSON files of a model's folder: absent, or an object, or damaged.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::ModelError;

/// Read a file that holds an object; `None` if there is no such file.
///
/// # Errors
/// [`ModelError::Corrupt`] for a file that holds something else.
pub(crate) fn read_object(path: &Path) -> Result<Option<Map<String, Value>>, ModelError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ModelError::io(path, error)),
    };
    match serde_json::from_slice(&text) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err(ModelError::corrupt(path, "it holds no JSON object")),
        Err(error) => Err(ModelError::corrupt(path, error.to_string())),
    }
}
