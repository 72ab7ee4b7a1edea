//! Chat templates: Jinja, as model repositories ship them and `transformers` renders them. A template is a stranger's
//! program: it has a budget of steps, which bounds its memory too, and of depth.

mod functions;
mod json;
mod source;
mod syntax;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread;

use jiff::Zoned;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Value};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::tokenizer::SpecialTokens;
use functions::Refusal;

/// Steps of a template, about a second of them; the longest published ones take some thousands.
const STEPS: u64 = 4_000_000;
/// Further steps for every byte of the conversation.
const STEPS_PER_BYTE: u64 = 64;
/// Stack that parsing, rendering and dropping the deepest values within these bounds fits.
const STACK_BYTES: usize = 256 << 20;

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Text.
    pub content: String,
}

/// A model's template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTemplate {
    path: PathBuf,
    source: String,
    /// Names and contents of the special tokens that it may write.
    tokens: Vec<(String, String)>,
    now: Zoned,
}

impl ChatTemplate {
    /// Read a folder's template. For a template that writes the date, it is the first day of 2026: what is prepared with its
    /// help is the same every day. [`ChatTemplate::today`] is for prompts.
    ///
    /// # Errors
    /// [`ModelError::UnsupportedTemplate`] for a model without a template, [`ModelError::Corrupt`] for a damaged file.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        Self::find(folder)?.ok_or_else(|| {
            ModelError::UnsupportedTemplate(format!("the model in {} has no chat template", folder.display()))
        })
    }

    /// As [`ChatTemplate::open`]; `None` for a model without a template.
    ///
    /// # Errors
    /// As there.
    pub fn find(folder: &Path) -> Result<Option<Self>, ModelError> {
        let Some(found) = source::find(folder)? else { return Ok(None) };
        let source = syntax::prepare(&found.text).map_err(|reason| ModelError::corrupt(&found.path, reason))?;
        let special = SpecialTokens::read(folder)?;
        let tokens = special.named().map(|(name, content)| (name.to_owned(), content.to_owned())).collect();
        let now = date(2026, 1, 1).to_zoned(TimeZone::UTC).expect("a day of the calendar");
        Ok(Some(Self { path: found.path, source, tokens, now }))
    }

    /// A folder's template, if it renders single questions: `None` where it wants other conversations, or cannot be rendered by
    /// this version, which is no fault of the model.
    ///
    /// # Errors
    /// [`ModelError::Corrupt`] for a damaged file, and a template that is wrong or beyond its budget.
    pub fn for_questions(folder: &Path) -> Result<Option<Self>, ModelError> {
        let asked = Self::find(folder).and_then(|template| {
            template.as_ref().map(|template| template.ask("Hello.")).transpose()?;
            Ok(template)
        });
        match asked {
            Err(ModelError::UnsupportedTemplate(_) | ModelError::BadInput(_)) => Ok(None),
            other => other,
        }
    }

    /// The template on this day.
    #[must_use]
    pub fn today(self) -> Self {
        Self { now: Zoned::now(), ..self }
    }

    /// The template on a day such as `2026-11-28`.
    ///
    /// # Errors
    /// [`ModelError::BadInput`] where the text is no day.
    pub fn on(self, day: &str) -> Result<Self, ModelError> {
        let midnight = day.parse::<Date>().and_then(|day| day.to_zoned(TimeZone::UTC));
        let no_day = |_| ModelError::BadInput(format!("`{day}` is not a day such as 2026-11-28"));
        Ok(Self { now: midnight.map_err(no_day)?, ..self })
    }

    /// The prompt that asks for the next answer of a conversation.
    ///
    /// # Errors
    /// [`ModelError::BadInput`] where the template refuses the conversation, [`ModelError::UnsupportedTemplate`] for what
    /// this version does not render, and [`ModelError::Corrupt`] for a template that is wrong or beyond its budget.
    pub fn render(&self, messages: &[Message]) -> Result<String, ModelError> {
        thread::scope(|scope| {
            let renderer = thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, || self.render_here(messages).map_err(|error| self.explain(&error)));
            let renderer = renderer.map_err(|error| ModelError::io(&self.path, error))?;
            renderer
                .join()
                .unwrap_or_else(|_| Err(ModelError::corrupt(&self.path, "the chat template cannot be rendered")))
        })
    }

    /// [`ChatTemplate::render`] of a single question.
    ///
    /// # Errors
    /// As there.
    pub fn ask(&self, question: &str) -> Result<String, ModelError> {
        self.render(&[Message { role: "user".into(), content: question.into() }])
    }

    fn render_here(&self, messages: &[Message]) -> Result<String, minijinja::Error> {
        let mut environment = Environment::new();
        functions::add_to(&mut environment, &self.now);
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        let bytes: u64 = messages.iter().map(|message| (message.role.len() + message.content.len()) as u64).sum();
        environment.set_fuel(Some(STEPS.saturating_add(STEPS_PER_BYTE.saturating_mul(bytes))));
        let absent = ["tools", "documents"].map(|name| (name, Value::from(())));
        let variables = self.tokens.iter().map(|(name, content)| (name.as_str(), Value::from(content.as_str())));
        let variables = variables
            .chain(absent)
            .chain([("messages", Value::from(Serde(messages))), ("add_generation_prompt", Value::from(true))]);
        environment.template_from_str(&self.source)?.render(Value::from(variables.collect::<BTreeMap<_, _>>()))
    }

    fn explain(&self, error: &minijinja::Error) -> ModelError {
        let (mut kinds, mut refusal) = (Vec::new(), None);
        let mut next: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(cause) = next {
            next = cause.source();
            if let Some(cause) = cause.downcast_ref::<minijinja::Error>() {
                kinds.push(cause.kind());
                if next.is_some_and(|source| source.is::<Refusal>()) {
                    refusal = cause.detail();
                }
            }
        }
        if let Some(refusal) = refusal {
            return ModelError::BadInput(format!("the chat template refuses the conversation: {refusal}"));
        }
        let path = self.path.display();
        let is_unknown = |kind: &ErrorKind| {
            use ErrorKind::{UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
            matches!(kind, UnknownFilter | UnknownFunction | UnknownMethod | UnknownTest)
        };
        if kinds.iter().any(is_unknown) || error.detail().is_some_and(|detail| detail.starts_with("unknown statement"))
        {
            return ModelError::UnsupportedTemplate(format!("the chat template of {path}: {error:#}"));
        }
        if kinds.contains(&ErrorKind::OutOfFuel) {
            return ModelError::corrupt(&self.path, "the chat template takes more steps or memory than any needs");
        }
        ModelError::corrupt(&self.path, format!("the chat template fails: {error:#}"))
    }
}
