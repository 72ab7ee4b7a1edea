//! Text and tokens, and the float engine's answer: what the model says before it is quantised.

use std::time::Instant;

use obelysk_model::generation::GenerationConfig;
use obelysk_model::template::ChatTemplate;
use serde::{Deserialize, Serialize};

use super::Observer;
use super::inputs::Input;
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

/// From inputs to token ids. A template may mention the day: the one that is given, or today.
///
/// # Errors
/// The model has no template, or its tokenizer refuses a text.
pub fn encode(files: &ModelFiles, inputs: &[Input], day: Option<&str>) -> Result<Vec<Prompt>, Failure> {
    let config = files.config()?;
    let has = |kind: fn(&Input) -> bool| inputs.iter().any(kind);
    let is_text = has(|input| matches!(input, Input::Prompt { .. }));
    let is_chat = has(|input| matches!(input, Input::Prompt { chat: true, .. }));
    // Token ids need neither.
    let tokenizer = is_text.then(|| files.tokenizer()).transpose()?;
    tokenizer.map_or(Ok(()), |tokenizer| tokenizer.check_vocabulary(config.vocab_size))?;
    let template = is_chat.then(|| ChatTemplate::open(&files.folder)).transpose()?;
    let template = match day {
        Some(day) => template.map(|template| template.on(day)).transpose()?,
        None => template.map(ChatTemplate::today),
    };
    let encode = |text: &str, chat: bool| {
        let tokenizer = tokenizer.expect("texts have one");
        let tokens = match chat {
            true => tokenizer.encode(&template.as_ref().expect("chats have one").ask(text)?)?,
            false => tokenizer.encode_prompt(text)?,
        };
        tokenizer.check_ids(&tokens, config.vocab_size)?;
        Ok::<_, Failure>(tokens)
    };
    let one = |input: &Input| {
        let tokens = match input {
            Input::Tokens(tokens) => tokens.clone(),
            Input::Prompt { text, chat } => encode(text, *chat)?,
        };
        Ok(Prompt { tokens, stop_tokens: config.eos_token_ids.clone() })
    };
    inputs.iter().map(one).collect()
}

/// Tokens that the chat template adds to a question; none where the model has no template for one.
///
/// # Errors
/// The tokenizer or the template is damaged.
pub fn template_tokens(files: &ModelFiles) -> Result<usize, Failure> {
    let Some(template) = ChatTemplate::for_questions(&files.folder)? else { return Ok(0) };
    let tokenizer = files.tokenizer()?;
    let question = "a";
    let (asked, bare) = (tokenizer.encode(&template.ask(question)?)?, tokenizer.encode(question)?);
    Ok(asked.len().saturating_sub(bare.len()))
}

/// Say which settings of `generation_config.json` are not followed: answers are greedy, whatever it says.
///
/// # Errors
/// The file is damaged.
pub fn note_settings(files: &ModelFiles, observer: &dyn Observer) -> Result<(), Failure> {
    let unfollowed = GenerationConfig::read(&files.folder)?.unfollowed;
    if !unfollowed.is_empty() {
        let settings = unfollowed.join(", ");
        observer.note(&format!("note: answers are greedy, without what generation_config.json asks for: {settings}"));
    }
    Ok(())
}

/// From the token ids of answers to texts.
///
/// # Errors
/// The model has no tokenizer.
pub fn decode<'a>(files: &ModelFiles, answers: impl IntoIterator<Item = &'a [u32]>) -> Result<Vec<String>, Failure> {
    let tokenizer = files.tokenizer()?;
    Ok(answers.into_iter().map(|tokens| tokenizer.decode(tokens)).collect())
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
    let tokenizer = files.tokenizer()?;
    let answer = |prompt: &Prompt| {
        let start = Instant::now();
        let output_tokens = engine.generate(&prompt.tokens, max_new_tokens as usize, |_| {})?;
        let tokens_per_second = output_tokens.len() as f64 / start.elapsed().as_secs_f64();
        let text = tokenizer.decode(&output_tokens);
        let prompt_tokens = prompt.tokens.clone();
        Ok(FloatAnswer { prompt_tokens, output_tokens, text, tokens_per_second, further: Vec::new() })
    };
    let mut answers = prompts.iter().map(answer).collect::<Result<Vec<_>, Failure>>()?;
    let further = answers.split_off(1);
    Ok(FloatAnswer { further, ..answers.remove(0) })
}
