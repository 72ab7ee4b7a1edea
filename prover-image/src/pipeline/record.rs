//! `run.json`: what a folder is about and which steps it has behind it, so that a later call can resume.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::inputs::RunInputs;
use super::model_files::ModelFiles;
use super::quality::QualityNote;
use super::{Observer, Step};
use crate::artifacts::{Artifacts, RUN};
use crate::failure::{ExitCode, Failure};
use crate::home::Home;

/// `run.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// Model, input and limits.
    pub inputs: RunInputs,
    /// Digest of the inputs and of the model's files.
    pub inputs_digest: String,
    /// Version of the program.
    pub program: String,
    /// The steps that ended well, in order.
    pub steps: Vec<StepTime>,
    /// How well the integer engine follows the float engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualityNote>,
    /// Tokens of the integer engine's answers that are the float engine's, as `16/16`; absent without the latter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integer_matches_float: Option<String>,
}

/// How long a step took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepTime {
    /// Which step.
    pub name: Step,
    /// Wall-clock time.
    pub seconds: f64,
}

/// Runs steps and keeps their times.
pub struct Stopwatch<'a> {
    observer: &'a dyn Observer,
    steps: Vec<StepTime>,
}

impl<'a> Stopwatch<'a> {
    /// No step yet.
    #[must_use]
    pub fn new(observer: &'a dyn Observer) -> Self {
        Self { observer, steps: Vec::new() }
    }

    /// Whoever follows the steps.
    #[must_use]
    pub fn observer(&self) -> &'a dyn Observer {
        self.observer
    }

    /// Run a step.
    ///
    /// # Errors
    /// Those of the step.
    pub fn step<T>(&mut self, step: Step, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        self.observer.started(step);
        let start = Instant::now();
        let outcome = work()?;
        let seconds = start.elapsed().as_secs_f64();
        self.observer.finished(step, seconds);
        self.steps.push(StepTime { name: step, seconds });
        Ok(outcome)
    }

    /// The times so far.
    #[must_use]
    pub fn into_steps(self) -> Vec<StepTime> {
        self.steps
    }
}

/// A folder for a new run, which [`RunRecord::start`] takes.
///
/// # Errors
/// The folder holds something else, or cannot be written.
pub fn begin(
    home: &Home,
    inputs: &RunInputs,
    out: Option<&Path>,
    files: &ModelFiles,
) -> Result<(Artifacts, RunRecord), Failure> {
    let record = RunRecord::new(inputs, files);
    Ok((Artifacts::begin(&folder(home, out, &record))?, record))
}

/// The folder of an earlier run of the same inputs, to take over what the steps before `first` left there.
///
/// # Errors
/// There is no such folder, or it is of other inputs.
pub fn resume(
    home: &Home,
    inputs: &RunInputs,
    out: Option<&Path>,
    files: &ModelFiles,
    first: Step,
) -> Result<(Artifacts, RunRecord), Failure> {
    let mut record = RunRecord::new(inputs, files);
    let artifacts = Artifacts::open(&folder(home, out, &record))?;
    let earlier: RunRecord = artifacts.read_json(RUN)?;
    if earlier.inputs_digest != record.inputs_digest {
        let message = format!("{} is the folder of a run with other inputs", artifacts.folder().display());
        let hint = "resume with the same model, prompt and limits, or leave out --resume-from";
        return Err(Failure::new(ExitCode::BadSpec, message, hint));
    }
    record.steps = earlier.steps.into_iter().filter(|taken| taken.name < first).collect();
    Ok((artifacts, record))
}

impl RunRecord {
    /// Take a folder: what `first` and the steps after it left there goes. Until here an earlier run has lost nothing.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn start(&self, artifacts: &Artifacts, first: Step) -> Result<(), Failure> {
        artifacts.discard_from(first.max(Step::Model))?;
        artifacts.write_json(RUN, self)
    }

    fn new(inputs: &RunInputs, files: &ModelFiles) -> Self {
        Self {
            inputs: inputs.clone(),
            inputs_digest: inputs.digest(&files.manifest.revision),
            program: env!("CARGO_PKG_VERSION").into(),
            steps: Vec::new(),
            quality: None,
            integer_matches_float: None,
        }
    }
}

fn folder(home: &Home, out: Option<&Path>, record: &RunRecord) -> PathBuf {
    out.map_or_else(|| home.run(&record.inputs_digest), Path::to_path_buf)
}
