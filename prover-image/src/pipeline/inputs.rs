//! What a run is about: the model, the input and the limits. Its digest names the run.

use std::path::PathBuf;

use obelysk_hub::{Endpoint, Location};
use obelysk_statement::compile::ENTRIES_MAX;
use serde::{Deserialize, Serialize};

use crate::failure::{ExitCode, Failure};

/// Which model: where it comes from, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelSelection {
    /// Where it comes from.
    pub source: ModelSource,
    /// Only its first decoder layers, followed by the last norm and the head: another model, with its own digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
}

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ModelSource {
    /// A preset of this program.
    Preset {
        /// Its name.
        name: String,
        /// Address of the hub, for those that come from one.
        endpoint: String,
    },
    /// A folder with the layout of a hub repository.
    Directory(#[serde(with = "crate::paths")] PathBuf),
    /// A repository of a hub.
    Hub(HubModel),
    /// A folder of a bucket.
    Bucket(Location),
}

/// A repository of a hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HubModel {
    /// `organisation/name` or `organisation/name@revision`.
    pub reference: String,
    /// Address of the hub.
    pub endpoint: String,
}

impl ModelSource {
    /// A preset, from the public hub if it comes from one.
    #[must_use]
    pub fn preset(name: &str) -> Self {
        Self::Preset { name: name.into(), endpoint: Endpoint::DEFAULT.into() }
    }

    /// The whole model.
    #[must_use]
    pub fn whole(self) -> ModelSelection {
        ModelSelection { source: self, layers: None }
    }
}

/// What the model reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Input {
    /// Text, through the tokenizer.
    Prompt {
        /// The text.
        text: String,
        /// Whether the model's chat template goes around it.
        chat: bool,
    },
    /// Token ids, as they are.
    Tokens(Vec<u32>),
}

/// The inputs of a run, apart from the nonce: two proofs of one run differ in nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunInputs {
    /// The model.
    pub model: ModelSelection,
    /// What it reads, at least one.
    pub prompts: Vec<Input>,
    /// Longest answer, in tokens.
    pub max_new_tokens: u32,
    /// How often the log records each prompt.
    pub count: u32,
}

impl Input {
    /// Refuse what no model can read.
    ///
    /// # Errors
    /// Empty text or no tokens.
    pub fn check(&self) -> Result<(), Failure> {
        let empty = match self {
            Self::Prompt { text, .. } => text.is_empty(),
            Self::Tokens(tokens) => tokens.is_empty(),
        };
        if empty {
            let hint = "pass --prompt TEXT, --prompt-file FILE or --tokens IDS with at least one token";
            return Err(Failure::new(ExitCode::BadSpec, "the prompt is empty", hint));
        }
        Ok(())
    }
}

impl RunInputs {
    /// Refuse what no model can read and no log can hold.
    ///
    /// # Errors
    /// A prompt is empty, or there are too few or too many inferences.
    pub fn check(&self) -> Result<(), Failure> {
        let entries = self.prompts.len().saturating_mul(self.count as usize);
        if !(1..=ENTRIES_MAX).contains(&entries) {
            let message = format!(
                "{} prompts, each {} times: a log records 1 to {ENTRIES_MAX} inferences",
                self.prompts.len(),
                self.count
            );
            return Err(Failure::new(ExitCode::BadSpec, message, "use --count 1 and fewer prompts"));
        }
        self.prompts.iter().try_for_each(Input::check)
    }

    /// Names the run: equal inputs on equal model files have equal digests.
    #[must_use]
    pub fn digest(&self, model_revision: &str) -> String {
        let text = serde_json::to_vec(&(&self.prompts, self.max_new_tokens, self.count, self.model.layers))
            .expect("plain data has a JSON form");
        let mut hasher = blake3::Hasher::new_derive_key("obelysk 2026 run inputs");
        hasher.update(model_revision.as_bytes()).update(&text);
        hex::encode(hasher.finalize().as_bytes())
    }
}

/// 32 bytes in lower-case hex, as digests and nonces are written.
///
/// # Errors
/// Says what is wrong with the text, naming it by `what`.
pub fn parse_bytes32(what: &str, text: &str) -> Result<String, Failure> {
    let text = text.trim().trim_start_matches("0x").to_ascii_lowercase();
    match hex::decode(&text) {
        Ok(bytes) if bytes.len() == 32 => Ok(text),
        _ => {
            let message = format!("{what} `{text}` is not 32 bytes in hex");
            Err(Failure::new(ExitCode::BadSpec, message, "write 64 digits 0-9 and a-f"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(text: &str) -> RunInputs {
        RunInputs {
            model: ModelSource::preset("tiny-chat").whole(),
            prompts: vec![Input::Prompt { text: text.into(), chat: true }],
            max_new_tokens: 16,
            count: 1,
        }
    }

    #[test]
    fn runs_differ_by_prompt_and_by_model_files() {
        let digest = inputs("a").digest("r1");
        assert_eq!(digest, inputs("a").digest("r1"));
        assert_ne!(digest, inputs("b").digest("r1"));
        assert_ne!(digest, inputs("a").digest("r2"));
    }

    #[test]
    fn a_nonce_of_31_bytes_is_refused_by_name() {
        let failure = parse_bytes32("the nonce", &"ab".repeat(31)).unwrap_err();
        assert_eq!(failure.code, ExitCode::BadSpec);
        assert!(failure.message.starts_with("the nonce"));
        assert_eq!(parse_bytes32("the nonce", &"AB".repeat(32)).unwrap(), "ab".repeat(32));
    }
}
