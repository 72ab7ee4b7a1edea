//! The three files that a stranger gets: read within bounds, then checked against each other and against what the
//! stranger expects.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use obelysk_statement::tree::Digest;
use obelysk_statement::{Claim, Inference, ModelDescription, SPECIFICATION, SecurityReport, compile};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::verify;

/// The model's description.
const MODEL: &str = "model.json";
/// The claim.
const STATEMENT: &str = "statement.json";
/// The proof.
const PROOF: &str = "proof.bin";

/// Longest description that is read: the largest many times over.
const MODEL_BYTES_MAX: u64 = 1 << 20;
/// Longest claim that is read: 1,000 inferences of 1,024 positions.
const STATEMENT_BYTES_MAX: u64 = 16 << 20;
/// Longest proof that is read. Proofs are below 2 MB at any size of model.
const PROOF_BYTES_MAX: u64 = 16 << 20;

/// The content of a proof folder. Nothing in it is checked by reading it.
#[derive(Clone, Debug)]
pub struct ProofFolder {
    /// `model.json`.
    pub description: ModelDescription,
    /// `statement.json`.
    pub claim: Claim,
    /// `proof.bin`.
    pub proof: Vec<u8>,
}

/// What the one who checks knows better than the folder. What is absent is taken from the folder.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// The model's digest, lower-case hex.
    pub model_digest: Option<String>,
    /// Prompt token ids.
    pub prompt_tokens: Option<Vec<u32>>,
    /// Output token ids.
    pub output_tokens: Option<Vec<u32>>,
    /// The nonce, lower-case hex.
    pub nonce: Option<String>,
}

/// Why a folder proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file is missing, too long or not what its name says.
    #[error("cannot read {file}: {reason}")]
    Unreadable {
        /// Name of the file.
        file: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder is of another version of the proof system: it may well hold, but this program cannot tell.
    #[error("{file} is of specification {found}; this program knows {SPECIFICATION}")]
    OtherSpecification {
        /// Name of the file.
        file: &'static str,
        /// What it states.
        found: u64,
    },
    /// The files were read and do not prove the claim.
    #[error("{0}")]
    Invalid(String),
}

impl ProofFolder {
    /// Read the three files.
    ///
    /// # Errors
    /// [`FolderError::Unreadable`] and [`FolderError::OtherSpecification`] name the file.
    pub fn read(folder: &Path) -> Result<Self, FolderError> {
        Ok(Self {
            description: read_json(folder, MODEL, MODEL_BYTES_MAX)?,
            claim: read_json(folder, STATEMENT, STATEMENT_BYTES_MAX)?,
            proof: read_bounded(folder, PROOF, PROOF_BYTES_MAX)?,
        })
    }

    /// Check the claim: the model's digest is recomputed, the statement is compiled again, the proof must prove it.
    ///
    /// # Errors
    /// [`FolderError::Invalid`] says what does not hold, [`FolderError::OtherSpecification`] that nothing can be said.
    pub fn check(&self, expected: &Expectations) -> Result<SecurityReport, FolderError> {
        let claim = &self.claim;
        differs("model digest", expected.model_digest.as_ref(), &claim.model_digest)?;
        let inferences = claim.inferences();
        expect_inference(&inferences, expected)?;
        differs("nonce", expected.nonce.as_ref(), &claim.nonce)?;
        if claim.specification != SPECIFICATION {
            return Err(FolderError::OtherSpecification { file: STATEMENT, found: claim.specification.into() });
        }
        bytes::<32>("nonce", &claim.nonce)?;
        let root = Digest::from_bytes(bytes("weight root", &claim.weight_root)?);
        let digest = hex::encode(self.description.digest(claim.profile, root));
        differs("model digest", Some(&digest), &claim.model_digest)?;
        let statement =
            compile(&self.description, &inferences).map_err(|error| FolderError::Invalid(error.to_string()))?;
        verify(&statement, &claim.header(), root, &self.proof)
            .map_err(|error| FolderError::Invalid(format!("the proof does not hold: {error}")))
    }
}

/// One inference of the claim must have the tokens that are expected.
fn expect_inference(inferences: &[Inference], expected: &Expectations) -> Result<(), FolderError> {
    let (prompt, output) = (expected.prompt_tokens.as_ref(), expected.output_tokens.as_ref());
    let has = |expected: Option<&Vec<u32>>, claimed: &Vec<u32>| expected.is_none_or(|expected| expected == claimed);
    let asked = inferences.iter().find(|inference| has(prompt, &inference.prompt_tokens)).unwrap_or(&inferences[0]);
    differs("prompt tokens", prompt, &asked.prompt_tokens)?;
    let whole = |inference: &&Inference| has(prompt, &inference.prompt_tokens) && has(output, &inference.output_tokens);
    let answer = inferences.iter().find(whole).unwrap_or(asked);
    differs("output tokens", output, &answer.output_tokens)
}

fn differs<T: PartialEq + std::fmt::Debug>(what: &str, expected: Option<&T>, claimed: &T) -> Result<(), FolderError> {
    match expected {
        Some(expected) if expected != claimed => {
            invalid(format!("the {what} should be {expected:?}; the statement says {claimed:?}"))
        }
        _ => Ok(()),
    }
}

/// Exactly one spelling is accepted, because the spelling is what the transcript absorbs.
fn bytes<const N: usize>(what: &str, text: &str) -> Result<[u8; N], FolderError> {
    let mut bytes = [0; N];
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) if hex::encode(bytes) == text => Ok(bytes),
        _ => invalid(format!("the {what} is not {N} bytes in lower-case hex")),
    }
}

fn invalid<T>(reason: String) -> Result<T, FolderError> {
    Err(FolderError::Invalid(reason))
}

/// What every version of a file states.
#[derive(Deserialize)]
struct Specified {
    specification: u64,
}

fn read_json<T: DeserializeOwned>(folder: &Path, file: &'static str, limit: u64) -> Result<T, FolderError> {
    let text = read_bounded(folder, file, limit)?;
    // Files of another version may have other fields: they are not damaged for that.
    match serde_json::from_slice(&text) {
        Ok(Specified { specification }) if specification != u64::from(SPECIFICATION) => {
            Err(FolderError::OtherSpecification { file, found: specification })
        }
        _ => serde_json::from_slice(&text).map_err(|error| FolderError::Unreadable { file, reason: error.to_string() }),
    }
}

/// Only regular files are read: opening a named pipe would wait for a writer. The bound holds while reading: a file's
/// stated length may lie.
fn read_bounded(folder: &Path, file: &'static str, limit: u64) -> Result<Vec<u8>, FolderError> {
    let unreadable = |reason: String| FolderError::Unreadable { file, reason };
    let path = folder.join(file);
    if !fs::metadata(&path).map_err(|error| unreadable(error.to_string()))?.is_file() {
        return Err(unreadable("it is not a regular file".into()));
    }
    let source = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut content = Vec::new();
    source.take(limit + 1).read_to_end(&mut content).map_err(|error| unreadable(error.to_string()))?;
    if content.len() as u64 > limit {
        return Err(unreadable(format!("it has more than {limit} bytes")));
    }
    Ok(content)
}
