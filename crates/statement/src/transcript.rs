//! The Fiat-Shamir transcript and the commitment scheme: BLAKE3 throughout.

use p3_blake3::Blake3;
use p3_challenger::{CanObserve, FieldChallenger, GrindingChallenger, HashChallenger, SerializingChallenger32};
use p3_merkle_tree::MerkleTreeMmcs;
use p3_sumcheck::layout::SuffixProver;
use p3_symmetric::{CompressionFunctionFromHasher, SerializingHasher};
use p3_whir::pcs::prover::WhirProver;

use crate::circle::CircleCode;
use crate::{Challenge, Statement, Value};

/// The transcript of both sides.
pub type Transcript = SerializingChallenger32<Value, HashChallenger<u8, Blake3, 32>>;
/// Merkle trees of commitments.
pub type Merkle =
    MerkleTreeMmcs<Value, u8, SerializingHasher<Blake3>, CompressionFunctionFromHasher<Blake3, 2, 32>, 2, 32>;
/// Commitment scheme: WHIR over the circle code (Arnon, Chiesa, Fenzi, Yogev, ePrint 2024/1586).
pub type Commitments = WhirProver<Challenge, Value, CircleCode, Merkle, Transcript, SuffixProver<Value, Challenge>>;
/// A commitment.
pub type Root = <Merkle as p3_commit::Mmcs<Value>>::Commitment;
/// An opening.
pub type Opening = p3_whir::PcsProof<Value, Challenge, Merkle>;

/// The Merkle tree scheme.
#[must_use]
pub fn merkle() -> Merkle {
    Merkle::new(SerializingHasher::new(Blake3), CompressionFunctionFromHasher::new(Blake3), 0)
}

/// A transcript that has absorbed the claim, the statement and the root of the weights.
#[must_use]
pub fn start(header: &[u8], statement: &Statement, weight_root: &[u8; 32]) -> Transcript {
    let mut hasher = blake3::Hasher::new_derive_key("obelysk 2026 transcript");
    hasher.update(&(header.len() as u64).to_le_bytes()).update(header);
    hasher.update(&statement.digest()).update(weight_root);
    Transcript::from_hasher(hasher.finalize().as_bytes().to_vec(), Blake3)
}

/// One challenge.
pub fn sample(transcript: &mut Transcript) -> Challenge {
    transcript.sample_algebra_element()
}

/// `count` challenges.
pub fn sample_many(transcript: &mut Transcript, count: usize) -> Vec<Challenge> {
    (0..count).map(|_| sample(transcript)).collect()
}

/// Absorb an element of the base field.
pub fn observe(transcript: &mut Transcript, value: Value) {
    transcript.observe(value);
}

/// Find a grinding witness of `bits` bits. Sequential, so every machine finds the same one.
pub fn grind(transcript: &mut Transcript, bits: usize) -> Value {
    transcript.grind(bits)
}

/// Check a grinding witness.
pub fn check_grinding(transcript: &mut Transcript, bits: usize, witness: Value) -> bool {
    transcript.check_witness(bits, witness)
}
