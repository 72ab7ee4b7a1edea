//! Text to token ids and back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde::de::IgnoredAny;
use tokenizers::Tokenizer;

use crate::error::ModelError;

/// A model's tokenizer.
#[derive(Clone, Debug)]
pub struct ModelTokenizer {
    tokenizer: Tokenizer,
}

impl ModelTokenizer {
    /// Read `tokenizer.json` of a folder.
    ///
    /// # Errors
    /// [`ModelError::Missing`] and [`ModelError::Corrupt`].
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("tokenizer.json");
        let text = std::fs::read(&path).map_err(|error| ModelError::io(&path, error))?;
        // The library unwraps what it takes for granted: text that is no JSON, parts of a kind that it does not know.
        serde_json::from_slice::<IgnoredAny>(&text).map_err(|error| ModelError::corrupt(&path, error.to_string()))?;
        let tokenizer = catch_unwind(|| Tokenizer::from_bytes(text))
            .map_err(|_| ModelError::corrupt(&path, "it describes no tokenizer"))?
            .map_err(|error| ModelError::corrupt(&path, error.to_string()))?;
        Ok(Self { tokenizer })
    }

    /// Number of tokens, added ones included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Token ids of a text. Special tokens are recognised where the text spells them; none are added.
    ///
    /// # Errors
    /// [`ModelError::BadInput`] for a text that the tokenizer refuses.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let encoding = catch_unwind(AssertUnwindSafe(|| self.tokenizer.encode(text, false)))
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
