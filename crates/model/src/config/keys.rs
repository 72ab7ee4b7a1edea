//! Keys of `config.json`: absent, null or of the type that belongs there.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::ModelError;

/// An object of a file.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    object: &'a Map<String, Value>,
    path: &'a Path,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(object: &'a Map<String, Value>, path: &'a Path) -> Self {
        Self { object, path }
    }

    /// Whether a key is there, be its value null.
    pub(crate) fn has(self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// A value that is not null.
    pub(crate) fn value(self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn size(self, name: &str) -> Result<Option<usize>, ModelError> {
        let size = |value: &Value| value.as_u64().and_then(|size| usize::try_from(size).ok());
        self.typed(name, "a size", size)
    }

    pub(crate) fn number(self, name: &str) -> Result<Option<f64>, ModelError> {
        self.typed(name, "a number", Value::as_f64)
    }

    pub(crate) fn flag(self, name: &str) -> Result<bool, ModelError> {
        Ok(self.typed(name, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    pub(crate) fn text(self, name: &str) -> Result<Option<&'a str>, ModelError> {
        self.typed(name, "a name", Value::as_str)
    }

    pub(crate) fn list(self, name: &str) -> Result<Option<&'a Vec<Value>>, ModelError> {
        self.typed(name, "a list", Value::as_array)
    }

    pub(crate) fn object(self, name: &str) -> Result<Option<Keys<'a>>, ModelError> {
        Ok(self.typed(name, "an object", Value::as_object)?.map(|object| Self { object, path: self.path }))
    }

    pub(crate) fn is_empty(self) -> bool {
        self.object.is_empty()
    }

    /// One id, a list of ids, or none.
    pub(crate) fn token_ids(self, name: &str) -> Result<Option<Vec<u32>>, ModelError> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        self.typed(name, "token ids", |value| match value {
            Value::Array(ids) => ids.iter().map(id).collect(),
            other => id(other).map(|id| vec![id]),
        })
    }

    /// The file is damaged.
    pub(crate) fn corrupt(self, reason: impl Into<String>) -> ModelError {
        ModelError::corrupt(self.path, reason)
    }

    /// The model is one that this version does not run.
    pub(crate) fn unsupported(self, what: &str) -> ModelError {
        ModelError::Unsupported(format!("{what}, which {} calls for", self.path.display()))
    }

    fn typed<T>(
        self,
        name: &str,
        what: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ModelError> {
        let wrong = |value| self.corrupt(format!("`{name}` is {value}, and {what} belongs there"));
        self.value(name).map(|value| read(value).ok_or_else(|| wrong(value))).transpose()
    }
}
