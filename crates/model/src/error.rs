//! What can be wrong with a model or with what is asked of it.

use std::io;
use std::path::{Path, PathBuf};

use obelysk_witness::Unreadable;

/// A problem that the user can act upon.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The model is one that this version does not run.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The model's chat template is one that this version does not render.
    #[error("unsupported: {0}")]
    UnsupportedTemplate(String),
    /// The input does not fit the model.
    #[error("{0}")]
    BadInput(String),
    /// No preset has this name.
    #[error("{0}")]
    UnknownPreset(String),
    /// Two things that should agree do not.
    #[error("{0}")]
    Mismatch(String),
    /// A file that the model needs is not there.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// A file's content is not what it should be.
    #[error("{}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Weights that were prepared from the model's files were changed or lost while they were in use.
    #[error(transparent)]
    Weights(#[from] Unreadable),
    /// A device gave up that multiplies by weights.
    #[error("{0}")]
    Multiplier(String),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ModelError {
    /// The failure to read a file; a file that does not exist is [`ModelError::Missing`].
    #[must_use]
    pub fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing(path.to_owned()),
            _ => Self::Io { path: path.to_owned(), source },
        }
    }

    /// A file with the wrong content.
    #[must_use]
    pub fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.into() }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unsupported(_) => "`obelysk model list` names the models that this version runs",
            Self::UnsupportedTemplate(_) => {
                "leave --chat away, pass --tokens, or put another template into the model's chat_template.jinja"
            }
            Self::BadInput(_) => "shorten or correct the input; `obelysk model show` prints the model's limits",
            Self::UnknownPreset(_) => "`obelysk model list` names the presets",
            Self::Mismatch(_) => "use the model that the files were made with, or make them anew",
            Self::Missing(_) => "download the model again, or point at the folder that holds all of its files",
            Self::Corrupt { .. } => "replace the file by an intact copy of the model's repository",
            Self::Weights(_) => "remove the folder that it lies in: it is made again when it is needed",
            Self::Multiplier(_) => "try again, or compute on the processor (--no-gpu)",
            Self::Io { .. } => "check the path, its permissions and the volume it lies on",
        }
    }
}
