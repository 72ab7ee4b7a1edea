//! `generation_config.json`: the tokens that end an answer, and settings of a generation that this program does not follow.

use std::path::Path;

use serde_json::Value;

use crate::config::Keys;
use crate::error::ModelError;
use crate::json_file::read_object;

/// Settings that change a greedy answer, and their values that change nothing.
const SETTINGS: [(&str, &[f64]); 13] = [
    ("repetition_penalty", &[1.0]),
    ("encoder_repetition_penalty", &[1.0]),
    ("no_repeat_ngram_size", &[0.0]),
    ("num_beams", &[1.0]),
    ("min_length", &[0.0]),
    ("min_new_tokens", &[0.0]),
    ("guidance_scale", &[1.0]),
    ("bad_words_ids", &[]),
    ("sequence_bias", &[]),
    ("suppress_tokens", &[]),
    ("begin_suppress_tokens", &[]),
    ("forced_bos_token_id", &[]),
    ("exponential_decay_length_penalty", &[]),
];

/// What is read of `generation_config.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenerationConfig {
    /// Tokens that end an answer, where the file names any: instead of those of `config.json`.
    pub eos_token_ids: Option<Vec<u32>>,
    /// Settings, with their values, that change a greedy answer elsewhere and none here.
    pub unfollowed: Vec<String>,
}

impl GenerationConfig {
    /// Read the file of a folder, which may be absent.
    ///
    /// # Errors
    /// [`ModelError::Corrupt`].
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("generation_config.json");
        let Some(object) = read_object(&path)? else { return Ok(Self::default()) };
        let eos_token_ids = Keys::new(&object, &path).token_ids("eos_token_id")?;
        let changes = |value: &Value, harmless: &[f64]| match value {
            Value::Null => false,
            Value::Array(list) => !list.is_empty(),
            value => value.as_f64().is_none_or(|number| !harmless.contains(&number)),
        };
        let unfollowed = SETTINGS
            .iter()
            .filter_map(|(name, harmless)| {
                object.get(*name).filter(|value| changes(value, harmless)).map(|value| (name, value))
            })
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        Ok(Self { eos_token_ids, unfollowed })
    }
}
