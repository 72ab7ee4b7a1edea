//! Text to token ids and back.

mod special_tokens;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokenizers::Tokenizer;

use crate::error::ModelError;

pub use special_tokens::SpecialTokens;
pub(crate) use special_tokens::TOKENIZER_CONFIG;

/// A model's tokenizer.
#[derive(Clone, Debug)]
pub struct ModelTokenizer {
    tokenizer: Tokenizer,
    path: PathBuf,
}

/// What is read of `tokenizer.json` beside what the library reads.
#[derive(Deserialize)]
struct File {
    model: Option<FileModel>,
}

#[derive(Deserialize)]
struct FileModel {
    dropout: Option<f64>,
}

impl ModelTokenizer {
    /// Read `tokenizer.json` of a folder, and the special tokens that its other files name.
    ///
    /// # Errors
    /// [`ModelError::Missing`], [`ModelError::Corrupt`] and, where tokens are drawn at random, [`ModelError::Unsupported`].
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("tokenizer.json");
        let text = std::fs::read(&path).map_err(|error| ModelError::io(&path, error))?;
        // The library unwraps what it takes for granted: text that is no JSON, parts of a kind that it does not know.
        let file: File =
            serde_json::from_slice(&text).map_err(|error| ModelError::corrupt(&path, error.to_string()))?;
        if let Some(dropout) = file.model.and_then(|model| model.dropout).filter(|dropout| *dropout != 0.0) {
            return Err(ModelError::Unsupported(format!(
                "a tokenizer that gives a text other ids each time (`model.dropout` of {} is {dropout})",
                path.display()
            )));
        }
        let mut tokenizer = catch_unwind(|| Tokenizer::from_bytes(text))
            .map_err(|_| ModelError::corrupt(&path, "it describes no tokenizer"))?
            .map_err(|error| ModelError::corrupt(&path, error.to_string()))?;
        // Both are settings of the batches that the tokenizer was last used for. A prompt is read whole and alone.
        tokenizer.with_truncation(None).map_err(|error| ModelError::corrupt(&path, error.to_string()))?;
        tokenizer.with_padding(None);
        SpecialTokens::read(folder)?.add_to(&mut tokenizer)?;
        Ok(Self { tokenizer, path })
    }

    /// Refuse the tokenizer of another model: one whose vocabulary, added tokens apart, is beyond the model's. Added tokens
    /// may be beyond it, as long as no text uses them.
    ///
    /// # Errors
    /// [`ModelError::Corrupt`].
    pub fn check_vocabulary(&self, vocabulary: usize) -> Result<(), ModelError> {
        let largest = self.tokenizer.get_vocab(false).into_iter().max_by_key(|(_, id)| *id);
        match largest {
            Some((token, id)) if id as usize >= vocabulary => Err(self.beyond("model.vocab", &token, id, vocabulary)),
            _ => Ok(()),
        }
    }

    /// Refuse ids of a text that the model has no embedding of.
    ///
    /// # Errors
    /// [`ModelError::Corrupt`].
    pub fn check_ids(&self, ids: &[u32], vocabulary: usize) -> Result<(), ModelError> {
        match ids.iter().find(|&&id| id as usize >= vocabulary) {
            Some(&id) => {
                let token = self.tokenizer.id_to_token(id).unwrap_or_default();
                Err(self.beyond("added_tokens", &token, id, vocabulary))
            }
            None => Ok(()),
        }
    }

    fn beyond(&self, key: &str, token: &str, id: u32, vocabulary: usize) -> ModelError {
        let reason = format!("token `{token}` of `{key}` has id {id}, and `vocab_size` of config.json is {vocabulary}");
        ModelError::corrupt(&self.path, reason)
    }

    /// Token ids of a prompt, with the special tokens that the tokenizer puts around a text.
    ///
    /// # Errors
    /// [`ModelError::BadInput`] for a text that the tokenizer refuses.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        self.encode_with(text, true)
    }

    /// Token ids of a text that is complete, such as one from a chat template. Special tokens are recognised where the text
    /// spells them; none are added.
    ///
    /// # Errors
    /// [`ModelError::BadInput`] for a text that the tokenizer refuses.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        self.encode_with(text, false)
    }

    fn encode_with(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, ModelError> {
        let encoding = catch_unwind(AssertUnwindSafe(|| self.tokenizer.encode(text, add_special_tokens)))
            .map_err(|_| ModelError::BadInput("the text cannot be tokenised: the tokenizer fails".into()))?;
        let encoding =
            encoding.map_err(|error| ModelError::BadInput(format!("the text cannot be tokenised: {error}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of some tokens, special ones left out.
    #[must_use]
    pub fn decode(&self, tokens: &[u32]) -> String {
        self.tokenizer.decode(tokens, true).unwrap_or_default()
    }
}
