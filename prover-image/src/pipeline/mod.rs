//! The steps from a model's name to a checked proof. Commands and pods call the same steps; neither a terminal nor a
//! cluster is known here.

pub mod agreement;
pub mod audit;
pub mod capture;
pub mod capture_log;
pub mod inference;
pub mod inputs;
mod make;
pub mod model_files;
pub mod prepare;
mod products;
pub mod prove;
pub mod quality;
pub mod record;
pub mod resume;
pub mod run;
pub mod submit;
pub mod verify;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The steps, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Look at the machine.
    Setup,
    /// Bring the model's files into place.
    Model,
    /// Check the model's files.
    Validate,
    /// Run the float engine.
    Inference,
    /// Run the integer engine and record it.
    Capture,
    /// Prove what was recorded.
    Prove,
    /// Check the proof.
    Verify,
    /// Replay the log.
    Audit,
    /// Pass the submission gate.
    Submit,
}

impl Step {
    /// Name in files, messages and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Model => "model",
            Self::Validate => "validate",
            Self::Inference => "inference",
            Self::Capture => "capture",
            Self::Prove => "prove",
            Self::Verify => "verify",
            Self::Audit => "audit",
            Self::Submit => "submit",
        }
    }
}

/// Whoever follows the steps: a terminal, a log, a pod's progress page.
pub trait Observer: Sync {
    /// A step begins.
    fn started(&self, step: Step);
    /// A step has ended well.
    fn finished(&self, step: Step, seconds: f64);
    /// How far a download is, in bytes.
    fn progress(&self, what: &str, done: u64, total: u64);
    /// Something that the user should know.
    fn note(&self, text: &str);
    /// Something that only a curious user wants to know. It also shows that work goes on.
    fn detail(&self, text: &str);
}
