//! Why a command fails: an exit code that says whose problem it is, what happened, and what to do next.

use std::io::{self, ErrorKind};
use std::path::Path;

use serde_json::{Value, json};

pub use obelysk_api::exit::ExitCode;
use obelysk_model::ModelError;

/// A failure that a user or the operator acts upon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Exit status, and with it the fault class.
    pub code: ExitCode,
    /// What happened, with the file or value.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

impl Failure {
    /// A failure.
    pub fn new(code: ExitCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into() }
    }

    /// The failure of an operation on a file.
    #[must_use]
    pub fn io(verb: &str, path: &Path, error: &io::Error) -> Self {
        let message = format!("cannot {verb} {}: {error}", path.display());
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::new(
                ExitCode::DiskFull,
                message,
                "free space on that volume, or name another with --home or --out",
            ),
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::new(
                ExitCode::Io,
                message,
                "make it writable for this user, or name another folder with --home or --out",
            ),
            _ => Self::new(ExitCode::Io, message, "check the path and the volume it lies on"),
        }
    }

    /// The failure of a write that would not fit.
    #[must_use]
    pub fn disk_full(folder: &Path, needed: u64, available: u64) -> Self {
        let message =
            format!("the disk is full: {} needs {needed} bytes and has {available} bytes free", folder.display());
        Self::new(ExitCode::DiskFull, message, "free space on that volume, or name another with --home or --out")
    }

    /// The form that scripts and the operator read.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "status": "error",
            "class": self.code.class(),
            "code": self.code.number(),
            "message": self.message,
            "hint": self.hint,
        })
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        let code = match &error {
            ModelError::Unsupported(_) | ModelError::UnsupportedTemplate(_) => ExitCode::Unsupported,
            ModelError::BadInput(_) | ModelError::UnknownPreset(_) => ExitCode::BadSpec,
            ModelError::Mismatch(_) | ModelError::Missing(_) | ModelError::Corrupt { .. } => ExitCode::ModelMismatch,
            ModelError::Weights(_) => ExitCode::Cache,
            ModelError::Multiplier(_) => ExitCode::GpuLost,
            ModelError::Io { path, source } => return Self::io("read", path, source),
        };
        Self::new(code, error.to_string(), error.hint())
    }
}

/// A mistake on the command line, without the usage that clap appends.
#[must_use]
pub fn of_arguments(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let explanation = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = explanation.trim_start_matches("error:").split_whitespace().collect();
    Failure::new(ExitCode::BadSpec, words.join(" "), "see `obelysk --help` and `obelysk COMMAND --help`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_error_numbers_get_the_code_that_helps() {
        // ENOSPC, EDQUOT, EACCES, EROFS, EIO on Linux.
        let numbers = [28, 122, 13, 30, 5];
        let codes = numbers.map(|number| {
            let failure = Failure::io("write", Path::new("/data/proof.bin"), &io::Error::from_raw_os_error(number));
            assert!(failure.message.contains("/data/proof.bin") && !failure.hint.is_empty());
            failure.code
        });
        use ExitCode::{DiskFull, Io};
        assert_eq!(codes, [DiskFull, DiskFull, Io, Io, Io]);
    }

    #[test]
    fn json_carries_class_and_code() {
        let json = Failure::new(ExitCode::GateRefused, "no", "use --dry-run").to_json();
        assert_eq!(
            json,
            json!({"status": "error", "class": "Prover", "code": 22, "message": "no", "hint": "use --dry-run"})
        );
    }
}
