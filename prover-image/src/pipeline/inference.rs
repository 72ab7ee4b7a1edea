//! Text and tokens, and the float engine's answer: what the model says before it is quantised.

use std::time::Instant;

use obelysk_model::template::ChatTemplate;
use obelysk_model::tokenizer::ModelTokenizer;
use serde::{Deserialize, Serialize};

use super::capture::Session;
use super::inputs::{Input, RunInputs};
use super::model_files::ModelFiles;
use crate::failure::Failure;

/// What an engine is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Tokens that end the answer.
    pub stop_tokens: Vec<u32>,
}

impl Prompt {
    /// What a log of this prompt records.
    #[must_use]
    pub fn session(&self, inputs: &RunInputs) -> Session<'_> {
        Session {
            prompt_tokens: &self.tokens,
            stop_tokens: &self.stop_tokens,
            max_new_tokens: inputs.max_new_tokens,
            count: inputs.count,
        }
    }
}

/// `inference.json`: what the float engine answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FloatAnswer {
    /// Prompt token ids.
    pub prompt_tokens: Vec<u32>,
    /// Output token ids.
    pub output_tokens: Vec<u32>,
    /// The output as text.
    pub text: String,
    /// Output tokens per second, the reading of the prompt included.
    pub tokens_per_second: f64,
}

/// From an input to token ids.
///
/// # Errors
/// The model has no template, or its tokenizer refuses the text.
pub fn encode(files: &ModelFiles, input: &Input) -> Result<Prompt, Failure> {
    let stop_tokens = files.config()?.eos_token_ids;
    let tokens = match input {
        Input::Tokens(tokens) => tokens.clone(),
        Input::Prompt { text, chat } => {
            let tokenizer = ModelTokenizer::open(&files.folder)?;
            if *chat {
                tokenizer.encode(&ChatTemplate::open(&files.folder)?.ask(text)?)?
            } else {
                tokenizer.encode(text)?
            }
        }
    };
    Ok(Prompt { tokens, stop_tokens })
}

/// From token ids to text.
///
/// # Errors
/// The model has no tokenizer.
pub fn decode(files: &ModelFiles, tokens: &[u32]) -> Result<String, Failure> {
    Ok(ModelTokenizer::open(&files.folder)?.decode(tokens))
}

/// Let the float engine answer.
///
/// # Errors
/// The checkpoint cannot be read, or the prompt does not fit the model.
pub fn generate(files: &ModelFiles, prompt: &Prompt, max_new_tokens: u32) -> Result<FloatAnswer, Failure> {
    let engine = files.float_model()?;
    let start = Instant::now();
    let output_tokens = engine.generate(&prompt.tokens, max_new_tokens as usize, |_| {})?;
    let tokens_per_second = output_tokens.len() as f64 / start.elapsed().as_secs_f64();
    let text = decode(files, &output_tokens)?;
    Ok(FloatAnswer { prompt_tokens: prompt.tokens.clone(), output_tokens, text, tokens_per_second })
}
