//! What the quantiser measures activations on.

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::template::ChatTemplate;
use crate::tokenizer::ModelTokenizer;

/// Texts of many kinds, one per line; not those that quality is measured on.
const TEXTS: &str = include_str!("../texts/calibration.txt");
/// Tokens of each text at most.
const SEQUENCE: usize = 48;

/// Token sequences.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// Sequences, none of them empty.
    pub sequences: Vec<Vec<u32>>,
}

/// The tokens of a text as a model reads it: as a question where it has a chat template.
pub(crate) fn as_question(
    tokenizer: &ModelTokenizer,
    template: Option<&ChatTemplate>,
    text: &str,
) -> Result<Vec<u32>, ModelError> {
    match template {
        Some(template) => tokenizer.encode(&template.ask(text)?),
        None => tokenizer.encode_prompt(text),
    }
}

impl Calibration {
    /// The texts as a model reads them: as questions where it has a chat template.
    ///
    /// # Errors
    /// What tokenising the texts reports.
    pub fn of(tokenizer: &ModelTokenizer, template: Option<&ChatTemplate>) -> Result<Self, ModelError> {
        let mut sequences = Vec::new();
        for text in TEXTS.lines().filter(|line| !line.is_empty()) {
            let mut sequence = as_question(tokenizer, template, text)?;
            sequence.truncate(SEQUENCE);
            if !sequence.is_empty() {
                sequences.push(sequence);
            }
        }
        Ok(Self { sequences })
    }

    /// What a model can read of the sequences.
    pub(crate) fn sequences_for(&self, config: &ModelConfig) -> Vec<Vec<u32>> {
        let known = |sequence: &Vec<u32>| -> Vec<u32> {
            let tokens = sequence.iter().copied().filter(|&token| (token as usize) < config.vocab_size);
            tokens.take(config.max_positions).collect()
        };
        self.sequences.iter().map(known).filter(|sequence| !sequence.is_empty()).collect()
    }
}
