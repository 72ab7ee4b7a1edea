//! The proof and its one encoding.

use p3_multi_stark::fractional_gkr::FractionGkrProof;
use p3_sumcheck::generic_degree::GenericDegreeProof;
use serde::{Deserialize, Serialize};

use obelysk_statement::transcript::{Opening, Root};
use obelysk_statement::{Challenge, Value};

use crate::VerifyError;

/// A sumcheck's messages.
pub type Sumcheck = GenericDegreeProof<Value, Challenge>;

/// Everything that the prover sends, in order of use.
#[derive(Serialize, Deserialize)]
pub struct Proof {
    /// Commitment to the witness.
    pub witness_root: Option<Root>,
    /// Grinding before the lookup challenges.
    pub grinding: Value,
    /// The lookup argument's tree.
    pub lookup: Option<FractionGkrProof<Challenge>>,
    /// One sumcheck per batch of products.
    pub products: Vec<Sumcheck>,
    /// One zerocheck per batch of row relations.
    pub zerochecks: Vec<Sumcheck>,
    /// Opening of the weights.
    pub weight_opening: Option<Opening>,
    /// Opening of the witness.
    pub witness_opening: Option<Opening>,
}

impl Proof {
    /// The bytes of a proof.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("a proof is plain data")
    }

    /// Read a proof. Only the bytes that [`Proof::encode`] gives are accepted.
    ///
    /// # Errors
    /// [`VerifyError::Encoding`].
    pub fn decode(bytes: &[u8]) -> Result<Self, VerifyError> {
        let (proof, rest) =
            postcard::take_from_bytes::<Self>(bytes).map_err(|error| VerifyError::Encoding(error.to_string()))?;
        if !rest.is_empty() {
            return Err(VerifyError::Encoding(format!("{} bytes are left over", rest.len())));
        }
        if proof.encode() != bytes {
            return Err(VerifyError::Encoding("it is not the canonical one".into()));
        }
        Ok(proof)
    }
}

/// The 32 bytes of a commitment, if it has exactly one root.
#[must_use]
pub fn root_bytes(root: &Root) -> Option<[u8; 32]> {
    match root.roots() {
        [root] => Some(*root),
        _ => None,
    }
}

/// A commitment from its 32 bytes.
#[must_use]
pub fn root_from_bytes(bytes: &[u8; 32]) -> Root {
    Root::new(vec![*bytes])
}
