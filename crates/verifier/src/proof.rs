//! The proof and its one encoding.

use p3_multi_stark::fractional_gkr::FractionGkrProof;
use p3_sumcheck::generic_degree::GenericDegreeProof;
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use obelysk_statement::transcript::{Opening, Root};
use obelysk_statement::{Challenge, Value};

use crate::VerifyError;
use crate::bounded::{Bounded, Budget};

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

    /// Read a proof, in memory of at most four times its bytes: sequences hold what they count up to twice, as they grow.
    /// Only the bytes that [`Proof::encode`] gives are accepted.
    ///
    /// # Errors
    /// [`VerifyError::Encoding`].
    pub fn decode(bytes: &[u8]) -> Result<Self, VerifyError> {
        let budget = Budget::new(2 * bytes.len());
        let mut deserializer = postcard::Deserializer::from_bytes(bytes);
        let proof = Self::deserialize(Bounded::new(&mut deserializer, &budget)).map_err(|error| {
            VerifyError::Encoding(if budget.is_exceeded() {
                format!("its {} bytes would take more than twice as many in memory", bytes.len())
            } else {
                error.to_string()
            })
        })?;
        let rest = deserializer.finalize().map_err(|error| VerifyError::Encoding(error.to_string()))?;
        if !rest.is_empty() {
            return Err(VerifyError::Encoding(format!("{} bytes are left over", rest.len())));
        }
        if postcard::serialize_with_flavor(&proof, Expected(bytes)) != Ok(()) {
            return Err(VerifyError::Encoding("it is not the canonical one".into()));
        }
        Ok(proof)
    }
}

/// Bytes that an encoding must equal, without a copy of it.
struct Expected<'a>(&'a [u8]);

impl Flavor for Expected<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0 = self.0.strip_prefix(bytes).ok_or(postcard::Error::SerdeSerCustom)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(postcard::Error::SerdeSerCustom) }
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
