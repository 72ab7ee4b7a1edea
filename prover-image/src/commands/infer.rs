//! `infer`: text from one of the two engines.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::time::Instant;

use obelysk_model::float::FloatModel;
use obelysk_model::integer::IntegerModel;
use obelysk_model::template::{ChatTemplate, Message};
use obelysk_model::tokenizer::ModelTokenizer;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

use super::{Context, selection};
use crate::arguments::{Engine, InferArguments};
use crate::atomic;
use crate::console::{self, Answer};
use crate::failure::{ExitCode, Failure};
use crate::pipeline::inference::{self, Prompt};
use crate::pipeline::model_files::{self, ModelFiles};
use crate::pipeline::prepare::{self, Prepared};
use crate::pipeline::quality;

/// How often `--bench` generates: enough to see how far the rates scatter.
const BENCH_REPEATS: usize = 3;

enum Loaded {
    Float(Box<FloatModel>),
    Integer(Box<Prepared>),
}

/// Answer once, or talk.
pub fn infer(context: &Context, arguments: &InferArguments) -> Result<Option<Answer>, Failure> {
    let prompts = selection::prompts(&arguments.input)?;
    if prompts.is_empty() && !may_talk(context, arguments) {
        return Err(selection::no_prompt());
    }
    if prompts.len() > 1 {
        let message = format!("{} prompts; `infer` answers one", prompts.len());
        return Err(Failure::new(ExitCode::BadSpec, message, "use `run` to prove several in one proof"));
    }
    let files = model_files::resolve(&context.home, &selection::model(&arguments.model)?, &context.console)?;
    inference::note_settings(&files, &context.console)?;
    let engine = match arguments.engine {
        Engine::Float => Loaded::Float(Box::new(files.float_model()?)),
        Engine::Integer => {
            let prepared = prepare::load_or_prepare(&files, &context.console)?;
            quality::warn(&prepared, &context.console);
            Loaded::Integer(Box::new(prepared))
        }
    };
    match inference::encode(&files, &prompts, None)?.first() {
        Some(prompt) => answer(context, arguments, &files, &engine, prompt).map(Some),
        None => converse(&files, &engine, arguments.input.max_new_tokens as usize).map(|()| None),
    }
}

/// Whether a person sits there and wants nothing but to talk.
fn may_talk(context: &Context, arguments: &InferArguments) -> bool {
    let wants_more = context.console.json() || arguments.bench || arguments.logits.is_some();
    arguments.input.chat && !wants_more && std::io::stdin().is_terminal()
}

fn answer(
    context: &Context,
    arguments: &InferArguments,
    files: &ModelFiles,
    engine: &Loaded,
    prompt: &Prompt,
) -> Result<Answer, Failure> {
    let tokenizer = files.tokenizer()?;
    let limit = arguments.input.max_new_tokens as usize;
    let is_streamed = !context.console.json() && !arguments.bench;
    let repeats = if arguments.bench { BENCH_REPEATS } else { 1 };
    let mut rates = Vec::new();
    let mut output = Vec::new();
    for _ in 0..repeats {
        let start = Instant::now();
        output = match is_streamed {
            true => stream(tokenizer, engine, prompt, limit)?,
            false => engine.generate(prompt, limit, |_| {})?,
        };
        rates.push(output.len() as f64 / start.elapsed().as_secs_f64());
    }
    if let Some(file) = &arguments.logits {
        write_logits(file, engine, &prompt.tokens)?;
    }
    rates.sort_by(f64::total_cmp);
    let [minimum, median, maximum] = [rates[0], rates[repeats / 2], rates[repeats - 1]];
    let mut text = tokenizer.decode(&output);
    let mut json = json!({
        "promptTokens": prompt.tokens,
        "outputTokens": output,
        "text": text,
        "tokensPerSecond": median,
    });
    if arguments.bench {
        json["bench"] = json!({"minimum": minimum, "median": median, "maximum": maximum});
        text.push_str(&format!("\n{median:.1} tokens per second ({minimum:.1} to {maximum:.1})"));
    }
    // What was streamed is not said twice.
    Ok(Answer { json, text: if is_streamed { String::new() } else { text } })
}

/// Generate, and print the text as it comes.
fn stream(tokenizer: &ModelTokenizer, engine: &Loaded, prompt: &Prompt, limit: usize) -> Result<Vec<u32>, Failure> {
    let (mut tokens, mut printed) = (Vec::new(), 0);
    let mut told = Ok(());
    let mut print = |text: &str| {
        if told.is_ok() {
            told = console::print(text);
        }
    };
    let output = engine.generate(prompt, limit, |token| {
        tokens.push(token);
        let text = tokenizer.decode(&tokens);
        // A character may need more than one token: until they are there, its bytes decode to a replacement character.
        let complete = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
        if let Some(new) = complete.get(printed..) {
            print(new);
            printed = complete.len();
        }
    })?;
    print(tokenizer.decode(&output).get(printed..).unwrap_or_default());
    print("\n");
    told.map(|()| output)
}

impl Loaded {
    fn generate(&self, prompt: &Prompt, limit: usize, each: impl FnMut(u32)) -> Result<Vec<u32>, Failure> {
        Ok(match self {
            Self::Float(engine) => engine.generate(&prompt.tokens, limit, each)?,
            Self::Integer(prepared) => {
                let engine = IntegerModel::new(&prepared.model);
                engine.generate_streaming(&prompt.tokens, limit, &prompt.stop_tokens, each)?
            }
        })
    }

    /// Logits of every position, as bytes with their type.
    fn logits(&self, tokens: &[u32]) -> (Dtype, Vec<u8>) {
        match self {
            Self::Float(engine) => {
                let logits = engine.logits(tokens);
                (Dtype::F32, logits.iter().flat_map(|logit| logit.to_le_bytes()).collect())
            }
            Self::Integer(prepared) => {
                let engine = IntegerModel::new(&prepared.model);
                let logits = engine.read(&mut engine.cache(), tokens, tokens.len());
                (Dtype::I32, logits.iter().flat_map(|logit| logit.to_le_bytes()).collect())
            }
        }
    }
}

fn write_logits(file: &Path, engine: &Loaded, tokens: &[u32]) -> Result<(), Failure> {
    let (dtype, bytes) = engine.logits(tokens);
    let vocabulary = bytes.len() / 4 / tokens.len();
    let view = TensorView::new(dtype, vec![tokens.len(), vocabulary], &bytes).expect("the shape fits the logits");
    let content = safetensors::serialize(BTreeMap::from([("logits", view)]), None).expect("one tensor fits a file");
    if file.file_name().is_none() {
        let message = format!("{} is no name of a file", file.display());
        return Err(Failure::new(ExitCode::BadSpec, message, "name a file with --logits"));
    }
    let file = std::path::absolute(file).map_err(|error| Failure::io("find", file, &error))?;
    atomic::write(&file, &content)
}

/// A conversation on the terminal, until the end of the input.
fn converse(files: &ModelFiles, engine: &Loaded, limit: usize) -> Result<(), Failure> {
    let template = ChatTemplate::open(&files.folder)?.today();
    let tokenizer = files.tokenizer()?;
    let stop_tokens = files.config()?.eos_token_ids;
    let mut messages = Vec::new();
    eprintln!("Ask; an empty line or Ctrl-D ends the conversation.");
    loop {
        eprint!("> ");
        let mut question = String::new();
        let read = std::io::stdin().lock().read_line(&mut question);
        if read.map_err(|error| Failure::new(ExitCode::Io, error.to_string(), "type UTF-8 text"))? == 0
            || question.trim().is_empty()
        {
            return Ok(());
        }
        messages.push(Message { role: "user".into(), content: question.trim().into() });
        let tokens = tokenizer.encode(&template.render(&messages)?)?;
        let prompt = Prompt { tokens, stop_tokens: stop_tokens.clone() };
        let output = stream(tokenizer, engine, &prompt, limit)?;
        messages.push(Message { role: "assistant".into(), content: tokenizer.decode(&output) });
    }
}
