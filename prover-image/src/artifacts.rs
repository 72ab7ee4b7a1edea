//! The folder of a run: its files' names, and `SHA256SUMS`, which is written last and makes the folder complete.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use obelysk_api::job::Artifact;
use obelysk_model::regular;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::atomic;
use crate::failure::{ExitCode, Failure};
use crate::pipeline::Step;

/// The run's inputs and steps.
pub const RUN: &str = "run.json";
/// What the float engine answered.
pub const INFERENCE: &str = "inference.json";
/// Facts of the capture session, the start of the log's chain.
pub const LOG_META: &str = "log/meta.json";
/// One line of canonical JSON per captured inference.
pub const LOG_LINES: &str = "log/log.jsonl";
/// Integer logits of every captured inference.
pub const LOG_MATRICES: &str = "log/matrices.bin";
/// The quantised model's description.
pub const MODEL: &str = "model.json";
/// The claim.
pub const STATEMENT: &str = "statement.json";
/// The proof.
pub const PROOF: &str = "proof.bin";
/// Facts about the proof, never trusted.
pub const PROOF_FACTS: &str = "proof.json";
/// The outcome of checking the proof.
pub const VERIFICATION: &str = "verification.json";
/// The outcome of the audit.
pub const AUDIT: &str = "audit.json";
/// The outcome of the submission gate.
pub const SUBMISSION: &str = "submission.json";
/// Digests of all other files.
pub const SUMS: &str = "SHA256SUMS";

/// Folder with what pods reported. It says who worked on a run, not what came of it, so it has no part in the sums.
pub const RESULTS: &str = "results";

/// Every file, and the step that writes it.
const FILES: [(&str, Step); 12] = [
    (RUN, Step::Setup),
    (INFERENCE, Step::Inference),
    (LOG_META, Step::Capture),
    (LOG_LINES, Step::Capture),
    (LOG_MATRICES, Step::Capture),
    (MODEL, Step::Capture),
    (STATEMENT, Step::Prove),
    (PROOF, Step::Prove),
    (PROOF_FACTS, Step::Prove),
    (VERIFICATION, Step::Verify),
    (AUDIT, Step::Audit),
    (SUBMISSION, Step::Submit),
];

/// No file that is read whole is longer.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A folder of results.
#[derive(Clone, Debug)]
pub struct Artifacts {
    folder: PathBuf,
}

impl Artifacts {
    /// A folder that is new, empty, or of an earlier run.
    ///
    /// # Errors
    /// The folder holds something else, or cannot be written.
    pub fn begin(folder: &Path) -> Result<Self, Failure> {
        atomic::create_folder(folder)?;
        let entries = fs::read_dir(folder).map_err(|error| Failure::io("read", folder, &error))?;
        // The root of a volume has a folder that the file system made.
        let foreign = |name: &OsStr| name != RESULTS && name != "lost+found";
        if !folder.join(RUN).is_file() && entries.flatten().any(|entry| foreign(&entry.file_name())) {
            return Err(Failure::new(
                ExitCode::BadSpec,
                format!("{} is neither empty nor the folder of a run", folder.display()),
                "name a new folder with --out",
            ));
        }
        Ok(Self { folder: folder.to_path_buf() })
    }

    /// A folder that exists.
    ///
    /// # Errors
    /// There is no such folder.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        if folder.is_dir() {
            return Ok(Self { folder: folder.to_path_buf() });
        }
        let hint = "name the folder of a run: `obelysk run` prints it as `out`";
        Err(Failure::new(ExitCode::BadSpec, format!("{} is not a folder", folder.display()), hint))
    }

    /// Where the folder is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of a file.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether a file is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.path(name).is_file()
    }

    /// Remove the results of a step and of all that follow from it. The folder is incomplete from here on.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn discard_from(&self, first: Step) -> Result<(), Failure> {
        remove(&self.path(SUMS))?;
        FILES.iter().filter(|(_, step)| *step >= first).try_for_each(|(name, _)| remove(&self.path(name)))
    }

    /// Write a file.
    ///
    /// # Errors
    /// As [`atomic::write()`].
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        atomic::write(&self.path(name), content)
    }

    /// Write a JSON file.
    ///
    /// # Errors
    /// As [`atomic::write()`].
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Failure> {
        atomic::write_json(&self.path(name), value)
    }

    /// Write a file of any length piece by piece. Returns what `fill` returns.
    ///
    /// # Errors
    /// As [`atomic::write_with()`].
    pub fn write_with<T>(
        &self,
        name: &str,
        fill: impl FnOnce(&mut dyn Write) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        atomic::write_with(&self.path(name), fill)
    }

    /// Open a file that is too long to be read at once.
    ///
    /// # Errors
    /// It is missing or unreadable.
    pub fn open_file(&self, name: &str) -> Result<File, Failure> {
        let path = self.path(name);
        regular::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.lacks(name),
            io::ErrorKind::InvalidInput => self.damaged(name, &error.to_string()),
            _ => Failure::io("read", &path, &error),
        })
    }

    /// Read a file.
    ///
    /// # Errors
    /// It is missing, too long or unreadable.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        let path = self.path(name);
        regular::read(&path, FILE_BYTES_MAX).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => self.lacks(name),
            io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidInput => self.damaged(name, &error.to_string()),
            _ => Failure::io("read", &path, &error),
        })
    }

    /// Read a JSON file.
    ///
    /// # Errors
    /// It is missing, unreadable, or not what its name says.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Failure> {
        serde_json::from_slice(&self.read(name)?).map_err(|error| self.damaged(name, &error.to_string()))
    }

    /// Write `SHA256SUMS`: the folder is complete.
    ///
    /// # Errors
    /// A file cannot be read, or the folder cannot be written.
    pub fn finish(&self) -> Result<(), Failure> {
        self.write(SUMS, sums(&self.list()?).as_bytes())
    }

    /// The files that are there, `SHA256SUMS` apart.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn list(&self) -> Result<Vec<Artifact>, Failure> {
        let describe = |&(name, _): &(&str, Step)| {
            let path = self.path(name);
            let metadata = fs::metadata(&path).map_err(|error| Failure::io("read", &path, &error))?;
            Ok(Artifact { name: name.into(), size_bytes: metadata.len(), sha256: sha256_of_file(&path)? })
        };
        FILES.iter().filter(|(name, _)| self.has(name)).map(describe).collect()
    }

    /// Whether `SHA256SUMS` is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.has(SUMS)
    }

    /// Compare every file with `SHA256SUMS`, and every byte of `SHA256SUMS` with what belongs there.
    ///
    /// # Errors
    /// The folder is incomplete, or a file is missing, differs or is not listed.
    pub fn check_sums(&self) -> Result<(), Failure> {
        let text = String::from_utf8(self.read(SUMS)?).map_err(|error| self.damaged(SUMS, &error.to_string()))?;
        let stated: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.split_once("  ")).map(|(digest, name)| (name, digest)).collect();
        let there = self.list()?;
        for (name, _) in FILES {
            match (stated.get(name), there.iter().find(|file| file.name == name)) {
                (Some(_), None) => return Err(self.lacks(name)),
                (Some(digest), Some(file)) if *digest != file.sha256 => {
                    return Err(self.damaged(name, "its SHA-256 differs from SHA256SUMS"));
                }
                _ => {}
            }
        }
        if text == sums(&there) {
            return Ok(());
        }
        Err(self.damaged(SUMS, "it is not the list of the folder's files"))
    }

    /// Write the files that are there as a tar archive.
    ///
    /// # Errors
    /// A file cannot be read, or the archive cannot be written.
    pub fn tar(&self, output: &mut dyn Write) -> Result<(), Failure> {
        let mut archive = tar::Builder::new(output);
        for name in FILES.iter().map(|(name, _)| *name).chain([SUMS]).filter(|name| self.has(name)) {
            archive
                .append_path_with_name(self.path(name), name)
                .map_err(|error| Failure::io("archive", &self.path(name), &error))?;
        }
        archive.finish().map_err(|error| Failure::io("archive", &self.folder, &error))
    }

    /// The failure of a damaged file.
    #[must_use]
    pub fn damaged(&self, name: &str, reason: &str) -> Failure {
        Failure::new(
            ExitCode::Cache,
            format!("{} is damaged: {reason}", self.path(name).display()),
            "run the step that writes it again",
        )
    }

    fn lacks(&self, name: &str) -> Failure {
        let step = FILES.iter().find(|(file, _)| *file == name).map_or(Step::Prove, |(_, step)| *step);
        let command = if matches!(step, Step::Setup | Step::Inference) { "run" } else { step.name() };
        let message = format!("{} has no {name}", self.folder.display());
        Failure::new(ExitCode::Cache, message, format!("run `obelysk {command}` for this folder first"))
    }
}

/// SHA-256 of a file in lower-case hex.
///
/// # Errors
/// The file cannot be read.
pub fn sha256_of_file(path: &Path) -> Result<String, Failure> {
    let mut hasher = Sha256::new();
    regular::open(path)
        .and_then(|mut file| io::copy(&mut file, &mut hasher))
        .map_err(|error| Failure::io("read", path, &error))?;
    Ok(hex::encode(hasher.finalize()))
}

/// What `SHA256SUMS` says of files.
fn sums(files: &[Artifact]) -> String {
    files.iter().map(|file| format!("{}  {}\n", file.sha256, file.name)).collect()
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::io("remove", path, &error)),
        _ => Ok(()),
    }
}
