//! The models that travel inside of the binary.

use crate::error::ModelError;

macro_rules! files {
    ($($name:literal),*) => {
        &[$(($name, include_bytes!(concat!("../bundle/tiny-chat/", $name)))),*]
    };
}

/// `tiny-chat`: a test model of 0.9 million parameters.
const TINY_CHAT: &[(&str, &[u8])] = files!(
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json"
);

/// Names and contents of a bundled model's files.
///
/// # Errors
/// [`ModelError::BadInput`] for a name that is not bundled.
pub fn files(name: &str) -> Result<&'static [(&'static str, &'static [u8])], ModelError> {
    match name {
        "tiny-chat" => Ok(TINY_CHAT),
        _ => Err(ModelError::BadInput(format!("no bundled model `{name}`; there is tiny-chat"))),
    }
}
