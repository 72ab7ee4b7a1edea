//! One file of a proof folder replaced by any bytes: the verifier must not panic, and must accept none but the honest file.

use std::fs;
use std::io;
use std::path::Path;

use obelysk_statement::description::{Claim, ModelDescription};
use obelysk_statement::tree::Digest;
use obelysk_statement::{Statement, compile};
use obelysk_verifier::folder::{Expectations, ProofFolder};
use obelysk_verifier::verify;

/// The file that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `model.json`.
    Model,
    /// `statement.json`.
    Statement,
    /// `proof.bin`.
    Proof,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Model, Self::Statement, Self::Proof];

    /// Name on the command line and of the folder of known inputs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Statement => "statement",
            Self::Proof => "proof",
        }
    }

    /// Name of the file.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Model => "model.json",
            Self::Statement => "statement.json",
            Self::Proof => "proof.bin",
        }
    }
}

/// A proof folder and the file of it that is replaced.
pub struct Fuzzed {
    target: Target,
    folder: ProofFolder,
    statement: Statement,
    weight_root: Digest,
}

impl Fuzzed {
    /// Read a folder, whose model and claim fit each other.
    ///
    /// # Errors
    /// A file cannot be read, or is not what its name says.
    pub fn new(folder: &Path, target: Target) -> io::Result<Self> {
        let folder = ProofFolder::read(folder).map_err(io::Error::other)?;
        let statement = compile(&folder.description, &folder.claim.inferences()).map_err(io::Error::other)?;
        let mut weight_root = [0; 28];
        hex::decode_to_slice(&folder.claim.weight_root, &mut weight_root).map_err(io::Error::other)?;
        let weight_root = Digest::from_bytes(weight_root);
        Ok(Self { target, folder, statement, weight_root })
    }

    /// Check the folder with these bytes in place of the file.
    ///
    /// # Panics
    /// If the verifier does, or if it accepts what is not the honest file.
    pub fn check(&self, bytes: &[u8]) {
        match self.target {
            Target::Model => {
                if let Ok(description) = serde_json::from_slice::<ModelDescription>(bytes) {
                    self.check_folder(ProofFolder { description, ..self.folder.clone() });
                }
            }
            Target::Statement => {
                if let Ok(claim) = serde_json::from_slice::<Claim>(bytes) {
                    self.check_folder(ProofFolder { claim, ..self.folder.clone() });
                }
            }
            Target::Proof => {
                let verdict = verify(&self.statement, &self.folder.claim.header(), self.weight_root, bytes);
                assert!(
                    verdict.is_err() || bytes == self.folder.proof,
                    "the verifier accepts a proof that was made up"
                );
            }
        }
    }

    /// The claim names the digest of whatever the model is, so that a false one is not all that is ever noticed.
    fn check_folder(&self, mut folder: ProofFolder) {
        let digest = folder.description.digest(folder.claim.profile, self.weight_root);
        folder.claim.model_digest = hex::encode(digest);
        let honest = folder.description == self.folder.description && folder.claim == self.folder.claim;
        let verdict = folder.check(&Expectations::default());
        assert!(verdict.is_err() || honest, "the verifier accepts a {} that was made up", self.target.file());
    }
}

/// The inputs of a folder, by the path of each.
///
/// # Errors
/// One cannot be read.
pub fn inputs(folder: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let files = fs::read_dir(folder)?.map(|file| file.map(|file| file.path()));
    files.map(|path| path.and_then(|path| Ok((path.display().to_string(), fs::read(path)?)))).collect()
}
