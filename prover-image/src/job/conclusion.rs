//! The one end of a pod: the termination message is written once, and whoever writes it also sets the exit status. A
//! signal, the watchdog and the end of the work may come at the same moment; the operator must not read of two outcomes.

use std::fs;
use std::path::PathBuf;
use std::process;
use std::sync::Mutex;

use obelysk_api::job::{JobSpec, RESULT_BYTES_MAX, StepResult};

use super::name;
use crate::artifacts::RESULTS;
use crate::atomic;

/// Longest text of a failure, before anything else forces it to be shorter.
const TEXT_BYTES_MAX: usize = 1_024;

/// Where the message goes.
pub struct Conclusion {
    message: PathBuf,
    /// The same JSON for those who come when the pod is gone.
    copy: Option<PathBuf>,
    ended: Mutex<()>,
}

impl Conclusion {
    /// The conclusion of a job.
    pub fn new(spec: &JobSpec) -> Self {
        let file = format!("{}-{}.json", name(&spec.work), spec.attempt);
        let copy = spec.artifacts.as_ref().map(|folder| folder.join(RESULTS).join(file));
        Self { message: spec.termination_message.clone(), copy, ended: Mutex::new(()) }
    }

    /// Write the message and end the process. A message that cannot be written is no failure of the work: the exit
    /// status still says what came of it.
    pub fn end(&self, result: StepResult, status: i32) -> ! {
        // Never released: whoever comes second waits for the process to end.
        let _ended = self.ended.lock();
        let text = fit(result);
        if let Some(copy) = &self.copy
            && let Err(failure) = atomic::write(copy, text.as_bytes())
        {
            eprintln!("warning: {failure}");
        }
        // The kubelet provides the file itself; a rename would replace its mount.
        if let Err(error) = fs::write(&self.message, text) {
            eprintln!("warning: cannot write {}: {error}", self.message.display());
        }
        process::exit(status)
    }
}

/// JSON within the bound. What the operator can find elsewhere goes first: the list of files, then the ends of texts.
fn fit(mut result: StepResult) -> String {
    let mut limit = TEXT_BYTES_MAX;
    loop {
        if let Some(failure) = &mut result.failure {
            clip(&mut failure.message, limit);
            clip(&mut failure.hint, limit);
        }
        if let Some(inference) = &mut result.inference {
            clip(&mut inference.text, limit.min(512));
        }
        let text = serde_json::to_string(&result).expect("plain data has a JSON form");
        if text.len() <= RESULT_BYTES_MAX || limit == 0 {
            return text;
        }
        if result.artifacts.is_empty() {
            limit /= 2;
        }
        result.artifacts.clear();
    }
}

/// Cut a text, between characters.
fn clip(text: &mut String, bytes: usize) {
    let end = (0..=bytes.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text.truncate(end);
}

#[cfg(test)]
mod tests {
    use obelysk_api::exit::FaultClass;
    use obelysk_api::job::{Artifact, InferenceResult, StepFailure};

    use super::*;

    fn failure(message: String) -> StepFailure {
        StepFailure {
            step: "prove".into(),
            class: FaultClass::Prover,
            code: 20,
            reason: "ProofFailed".into(),
            message,
            hint: "report it".into(),
        }
    }

    #[test]
    fn a_clipped_text_keeps_whole_characters() {
        let clipped = |text: &str, bytes| {
            let mut text = text.to_string();
            clip(&mut text, bytes);
            text
        };
        assert_eq!(clipped("aé", 2), "a");
        assert_eq!(clipped("aé", 3), "aé");
        assert_eq!(clipped("", 5), "");
    }

    #[test]
    fn a_long_result_loses_its_list_of_files_before_its_texts() {
        let artifact = Artifact { name: "proof.bin".into(), size_bytes: 1, sha256: "0".repeat(64) };
        let result = StepResult {
            failure: Some(failure("the reason".into())),
            artifacts: vec![artifact; 100],
            ..StepResult::default()
        };
        let text = fit(result);
        assert!(text.len() <= RESULT_BYTES_MAX);
        assert!(text.contains("the reason") && !text.contains("proof.bin"));
    }

    #[test]
    fn texts_that_grow_when_escaped_are_cut_until_they_fit() {
        let result = StepResult {
            failure: Some(failure("\u{1}".repeat(5_000))),
            inference: Some(InferenceResult { text: "\u{1}".repeat(5_000), ..InferenceResult::default() }),
            ..StepResult::default()
        };
        let text = fit(result);
        assert!(text.len() <= RESULT_BYTES_MAX, "{} bytes", text.len());
        serde_json::from_str::<StepResult>(&text).unwrap();
    }
}
