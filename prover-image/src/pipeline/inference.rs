//! Text and tokens, and the float engine's answer: what the model says before it is quantised.

use std::time::Instant;

use obelysk_model::template::ChatTemplate;
use obelysk_model::tokenizer::ModelTokenizer;
use serde::{Deserialize, Serialize};

use super::capture::CapturedLog;
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
    /// The answers to the prompts after the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<FloatAnswer>,
}

impl FloatAnswer {
    /// The answers to all prompts.
    pub fn iter(&self) -> impl Iterator<Item = &Self> {
        [self].into_iter().chain(&self.further)
    }
}

/// [`encode`], of all prompts of a run.
///
/// # Errors
/// As there.
pub fn encode_all(files: &ModelFiles, inputs: &RunInputs) -> Result<Vec<Prompt>, Failure> {
    inputs.prompts.iter().map(|input| encode(files, input)).collect()
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

/// [`decode`], of all answers that a log's proof claims.
///
/// # Errors
/// As there.
pub fn decode_all(files: &ModelFiles, log: &CapturedLog) -> Result<Vec<String>, Failure> {
    log.inferences().iter().map(|inference| decode(files, &inference.output_tokens)).collect()
}

/// Let the float engine answer every prompt.
///
/// # Errors
/// The checkpoint cannot be read, or a prompt does not fit the model.
///
/// # Panics
/// Without a prompt.
pub fn generate(files: &ModelFiles, prompts: &[Prompt], max_new_tokens: u32) -> Result<FloatAnswer, Failure> {
    let engine = files.float_model()?;
    let answer = |prompt: &Prompt| {
        let start = Instant::now();
        let output_tokens = engine.generate(&prompt.tokens, max_new_tokens as usize, |_| {})?;
        let tokens_per_second = output_tokens.len() as f64 / start.elapsed().as_secs_f64();
        let text = decode(files, &output_tokens)?;
        let prompt_tokens = prompt.tokens.clone();
        Ok(FloatAnswer { prompt_tokens, output_tokens, text, tokens_per_second, further: Vec::new() })
    };
    let mut answers = prompts.iter().map(answer).collect::<Result<Vec<_>, Failure>>()?;
    let further = answers.split_off(1);
    Ok(FloatAnswer { further, ..answers.remove(0) })
}
