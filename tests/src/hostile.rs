//! Folders that nobody honest made: an honest model and claim with some values changed, under the digest of what they became.

use std::fs;
use std::path::Path;

use obelysk_statement::SecurityReport;
use obelysk_statement::description::{Claim, Inference, Mode, ModelDescription, Profile, SPECIFICATION};
use obelysk_statement::tree::Digest;
use obelysk_verifier::folder::{Expectations, FolderError, ProofFolder};
use serde_json::Value;

use crate::subject::{fixture, quantized};

/// `model.json` and `statement.json`.
#[derive(Clone, Debug)]
pub struct Files {
    /// The model's description.
    pub model: Value,
    /// The claim.
    pub claim: Value,
}

impl Files {
    /// The description of a fixture and a claim of two inferences of it, neither of which it would answer like this.
    ///
    /// # Panics
    /// If there is no such fixture.
    #[must_use]
    pub fn of_fixture(name: &str) -> Self {
        let claim = Claim {
            specification: SPECIFICATION,
            mode: Mode::Gkr,
            profile: Profile::Blake2s,
            nonce: "00".repeat(32),
            model_digest: String::new(),
            weight_root: "00".repeat(28),
            prompt_tokens: vec![5, 6],
            output_tokens: vec![7],
            further: vec![Inference { prompt_tokens: vec![8], output_tokens: vec![9, 10] }],
        };
        let model = quantized(&fixture(name), None).description;
        let json = |value: serde_json::Result<Value>| value.expect("plain data");
        Self { model: json(serde_json::to_value(model)), claim: json(serde_json::to_value(claim)) }
    }

    /// Write a proof folder, whose claim names the digest of whatever its model is.
    ///
    /// # Panics
    /// If there is no room for it.
    pub fn write(&self, folder: &Path, proof: &[u8]) {
        let mut claim = self.claim.clone();
        if let Ok(description) = serde_json::from_value::<ModelDescription>(self.model.clone())
            && claim.is_object()
        {
            let digest = description.digest(Profile::Blake2s, Digest::default());
            claim["modelDigest"] = digest.map(|byte| format!("{byte:02x}")).concat().into();
        }
        write(folder, [self.model.to_string().as_bytes(), claim.to_string().as_bytes(), proof]);
    }

    /// What the verifier says about these files and a proof.
    ///
    /// # Errors
    /// Why they prove nothing.
    pub fn check(&self, proof: &[u8]) -> Result<SecurityReport, FolderError> {
        in_a_folder(|folder| self.write(folder, proof))
    }
}

/// What the verifier says about the contents of `model.json`, `statement.json` and `proof.bin`.
///
/// # Errors
/// Why they prove nothing.
pub fn check(contents: [&[u8]; 3]) -> Result<SecurityReport, FolderError> {
    in_a_folder(|folder| write(folder, contents))
}

/// What the verifier says about a folder.
///
/// # Errors
/// Why it proves nothing.
pub fn check_folder(folder: &Path) -> Result<SecurityReport, FolderError> {
    ProofFolder::read(folder)?.check(&Expectations::default())
}

fn in_a_folder(fill: impl FnOnce(&Path)) -> Result<SecurityReport, FolderError> {
    let folder = tempfile::tempdir().expect("a folder for a test");
    fill(folder.path());
    check_folder(folder.path())
}

fn write(folder: &Path, contents: [&[u8]; 3]) {
    for (file, content) in ["model.json", "statement.json", "proof.bin"].into_iter().zip(contents) {
        fs::write(folder.join(file), content).expect("a folder for a test");
    }
}

/// Pointers to every value in a document that holds no others.
#[must_use]
pub fn leaves(document: &Value) -> Vec<String> {
    let below = |key: String, value: &Value| leaves(value).into_iter().map(move |rest| format!("/{key}{rest}"));
    match document {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().flat_map(|(key, value)| below(key.clone(), value)).collect()
        }
        Value::Array(values) if !values.is_empty() => {
            values.iter().enumerate().flat_map(|(place, value)| below(place.to_string(), value)).collect()
        }
        _ => vec![String::new()],
    }
}
