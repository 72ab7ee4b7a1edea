//! The special tokens that the files of a model name, which need not be those of `tokenizer.json`: with the precedence of
//! `transformers`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use crate::error::ModelError;
use crate::json_file::read_object;

/// Where newer repositories keep everything about the tokenizer that is not in `tokenizer.json`.
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const NUMBERED: &str = "added_tokens_decoder";
/// Where older repositories keep named tokens; read where [`TOKENIZER_CONFIG`] has no `added_tokens_decoder`.
const NAMED_MAP: &str = "special_tokens_map.json";
/// Where older repositories keep added tokens and their ids; read as [`NAMED_MAP`] is.
const NUMBERED_MAP: &str = "added_tokens.json";
/// The names that all tokenizers share, in the order in which they get ids. Any other key that ends in `_token` is one of
/// this tokenizer.
const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// Lists of further special tokens, the newer name first.
const LISTS: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];

/// What a folder's files say of special tokens.
#[derive(Clone, Debug, Default)]
pub struct SpecialTokens {
    /// By name: `bos_token` and its kind.
    named: Vec<(String, AddedToken)>,
    /// Without names.
    listed: Vec<AddedToken>,
    /// Tokens with the ids that `numbered_by` states.
    numbered: BTreeMap<u32, AddedToken>,
    numbered_by: PathBuf,
    /// Special tokens in a text are read as any other text.
    split: bool,
}

impl SpecialTokens {
    /// Read a folder's files, all of which may be absent.
    ///
    /// # Errors
    /// [`ModelError::Corrupt`] with the file and the key.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join(TOKENIZER_CONFIG);
        let config = read_object(&path)?.unwrap_or_default();
        let mut tokens =
            Self { split: config.get("split_special_tokens") == Some(&Value::Bool(true)), ..Self::default() };
        tokens.name_all(&config, &path)?;
        match config.get(NUMBERED) {
            Some(numbered) => tokens.number_all(numbered, &path)?,
            None => tokens.read_older_files(folder)?,
        }
        Ok(tokens)
    }

    /// Names and contents, as templates see them.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named.iter().map(|(name, token)| (name.as_str(), token.content.as_str()))
    }

    /// Teach a tokenizer the tokens that it does not know, or knows with other flags.
    ///
    /// # Errors
    /// [`ModelError::Corrupt`] for a token whose id is another than the one that its file states.
    pub(super) fn add_to(&self, tokenizer: &mut Tokenizer) -> Result<(), ModelError> {
        let known: Vec<AddedToken> = tokenizer.get_added_tokens_decoder().into_values().collect();
        let mut added: Vec<AddedToken> =
            self.numbered.values().filter(|token| !known.contains(token)).cloned().collect();
        let mut contents: BTreeSet<&str> = known.iter().map(|token| token.content.as_str()).collect();
        contents.extend(self.numbered.values().map(|token| token.content.as_str()));
        for token in self.named.iter().map(|(_, token)| token).chain(&self.listed) {
            if contents.insert(&token.content) {
                added.push(token.clone());
            }
        }
        tokenizer
            .add_tokens(added)
            .map_err(|error| ModelError::corrupt(&self.numbered_by, format!("its tokens are refused: {error}")))?;
        for (&id, token) in &self.numbered {
            let content = &token.content;
            if let Some(given) = tokenizer.token_to_id(content).filter(|&given| given != id) {
                let reason = format!("token `{content}` has id {id} here and {given} by tokenizer.json");
                return Err(ModelError::corrupt(&self.numbered_by, reason));
            }
        }
        tokenizer.set_encode_special_tokens(self.split);
        Ok(())
    }

    /// Take named and listed tokens from an object, over those that are there.
    fn name_all(&mut self, object: &Map<String, Value>, path: &Path) -> Result<(), ModelError> {
        let further = object.keys().map(String::as_str).filter(|key| key.ends_with("_token") && !NAMES.contains(key));
        for name in NAMES.into_iter().chain(further) {
            let value = &object.get(name).unwrap_or(&Value::Null);
            // Settings such as `add_bos_token` have names of this form too.
            if value.is_string() || value.is_object() || NAMES.contains(&name) && !value.is_null() {
                self.name(name, token(value, &Key { path, name })?);
            }
        }
        let list =
            LISTS.iter().find_map(|&name| object.get(name).filter(|list| !is_empty(list)).map(|list| (name, list)));
        match list {
            Some((name, Value::Array(list))) => {
                let tokens = list.iter().map(|value| token(value, &Key { path, name })).collect::<Result<_, _>>()?;
                self.listed = tokens;
            }
            Some((list, Value::Object(named))) => {
                for (name, value) in named {
                    self.name(name, token(value, &Key { path, name: list })?);
                }
            }
            Some((name, _)) => return Err(Key { path, name }.wrong("neither a list nor an object")),
            None => {}
        }
        Ok(())
    }

    fn name(&mut self, name: &str, mut token: AddedToken) {
        token.special = true;
        match self.named.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = token,
            None => self.named.push((name.to_owned(), token)),
        }
    }

    fn number_all(&mut self, numbered: &Value, path: &Path) -> Result<(), ModelError> {
        let key = Key { path, name: NUMBERED };
        let numbered = numbered.as_object().ok_or_else(|| key.wrong("no object"))?;
        for (id, value) in numbered {
            let id = id.parse().map_err(|_| key.wrong(&format!("a token with the id `{id}`")))?;
            if !value.is_object() {
                return Err(key.wrong(&format!("{value} where a token's content and flags belong")));
            }
            self.numbered.insert(id, token(value, &key)?);
        }
        path.clone_into(&mut self.numbered_by);
        Ok(())
    }

    fn read_older_files(&mut self, folder: &Path) -> Result<(), ModelError> {
        let path = folder.join(NAMED_MAP);
        if let Some(named) = read_object(&path)? {
            self.name_all(&named, &path)?;
        }
        let path = folder.join(NUMBERED_MAP);
        for (content, id) in read_object(&path)?.unwrap_or_default() {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
            let id = id.ok_or_else(|| Key { path: &path, name: &content }.wrong("no token id"))?;
            let mut specials = self.named.iter().map(|(_, token)| token).chain(&self.listed);
            let special = specials.any(|token| token.content == content);
            self.numbered.insert(id, AddedToken::from(content, special));
        }
        self.numbered_by = path;
        Ok(())
    }
}

/// A key of a file, for messages.
struct Key<'a> {
    path: &'a Path,
    name: &'a str,
}

impl Key<'_> {
    fn wrong(&self, what: &str) -> ModelError {
        ModelError::corrupt(self.path, format!("`{}` holds {what}", self.name))
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

/// A token, as its content or as an object with flags.
fn token(value: &Value, key: &Key) -> Result<AddedToken, ModelError> {
    if let Some(content) = value.as_str() {
        return Ok(AddedToken::from(content, true));
    }
    let content = value["content"].as_str().ok_or_else(|| key.wrong(&format!("{value} where a token belongs")))?;
    let flag = |name: &str| match &value[name] {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(*flag)),
        other => Err(key.wrong(&format!("a token whose `{name}` is {other}"))),
    };
    let special = flag("special")?.unwrap_or(false);
    Ok(AddedToken {
        content: content.to_owned(),
        single_word: flag("single_word")?.unwrap_or(false),
        lstrip: flag("lstrip")?.unwrap_or(false),
        rstrip: flag("rstrip")?.unwrap_or(false),
        normalized: flag("normalized")?.unwrap_or(!special),
        special,
    })
}
