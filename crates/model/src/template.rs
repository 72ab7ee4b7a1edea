//! Chat templates: Jinja, as model repositories ship them.

use std::fs;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ModelError;

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
    source: String,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// Read `chat_template.jinja`, else the template in `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] for a model without a template.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let config = fs::read(folder.join("tokenizer_config.json")).ok();
        let config: Value = config.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let token = |name: &str| {
            let value = &config[name];
            value.as_str().or_else(|| value["content"].as_str()).unwrap_or_default().to_owned()
        };
        let source = fs::read_to_string(folder.join("chat_template.jinja"))
            .ok()
            .or_else(|| config["chat_template"].as_str().map(str::to_owned));
        let Some(source) = source else {
            return Err(ModelError::Unsupported(format!(
                "a conversation with the model in {}: it has no chat template",
                folder.display()
            )));
        };
        Ok(Self { source, bos: token("bos_token"), eos: token("eos_token") })
    }

    /// The prompt that asks for the next answer of a conversation.
    ///
    /// # Errors
    /// [`ModelError::BadInput`] with what the template reports.
    pub fn render(&self, messages: &[Message]) -> Result<String, ModelError> {
        let failed = |error: minijinja::Error| ModelError::BadInput(format!("the chat template fails: {error:#}"));
        let mut environment = Environment::new();
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, message))
        });
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failed)?);
        let template = environment.template_from_str(&self.source).map_err(failed)?;
        template
            .render(context! {
                messages => Serde(messages),
                add_generation_prompt => true,
                bos_token => self.bos.as_str(),
                eos_token => self.eos.as_str(),
            })
            .map_err(failed)
    }

    /// [`ChatTemplate::render`] of a single question.
    ///
    /// # Errors
    /// As there.
    pub fn ask(&self, question: &str) -> Result<String, ModelError> {
        self.render(&[Message { role: "user".into(), content: question.into() }])
    }
}
