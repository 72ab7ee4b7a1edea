//! `model.json`: everything about a quantised model that a stranger needs to check a proof, without its weights.
//! Its canonical bytes, together with the root of the weight commitment, are the model's identity.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the integer semantics and of the proof protocol.
pub const SPECIFICATION: u32 = 1;

/// The quantised model: shapes, fixed-point formats and the certified bounds of its weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDescription {
    /// [`SPECIFICATION`].
    pub specification: u32,
    /// Which list of relations applies.
    pub architecture: Architecture,
    /// Sizes.
    pub shape: Shape,
    /// Base of the rotary frequencies.
    pub rotary_theta: u64,
    /// The residual stream.
    pub residual: Residual,
    /// Norms over the hidden axis, the last one included.
    pub hidden_norm: Norm,
    /// Norm of each query head.
    pub query_norm: Norm,
    /// Norm of each key head.
    pub key_norm: Norm,
    /// Attention.
    pub attention: Attention,
    /// Gated feed-forward block.
    pub feed_forward: FeedForward,
    /// Fractional bits of the head's weights: what a logit is worth. No relation depends on it.
    pub head_fraction: u32,
    /// Certified bounds of each weight tensor, by name. What the digest's recomputation checks.
    pub weights: BTreeMap<String, WeightBound>,
    /// BLAKE3 of the quantised weights, lower-case hex.
    pub weights_digest: String,
}

/// Families of decoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// RMSNorm before each block and on each query and key head, grouped-query attention, SwiGLU.
    Qwen3,
}

/// Sizes of the model's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the feed-forward block.
    pub intermediate: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Query heads per key head.
    pub group: usize,
    /// Width of a head, even.
    pub head_dim: usize,
    /// Number of tokens.
    pub vocabulary: usize,
    /// Longest sequence.
    pub positions: usize,
}

/// The residual stream: the embedding and two branches per layer, added without saturation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// Fractional bits.
    pub fraction: u32,
    /// Output of the attention block.
    pub attention: Branch,
    /// Output of the feed-forward block.
    pub feed_forward: Branch,
}

/// A branch output `2^low_bits high + low`, rounded from the accumulator of a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// Rounding shift of the accumulator.
    pub shift: u32,
    /// Bits of the low limb, which is not negative.
    pub low_bits: u32,
    /// Bits of the high limb, signed.
    pub high_bits: u32,
}

/// Root-mean-square norm of vectors given by two balanced limbs of `limb_bits` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Norm {
    /// Bits of each limb, signed.
    pub limb_bits: u32,
    /// Added to the sum of squares.
    pub epsilon: u64,
    /// Base-16 digits of the sum of squares.
    pub digits: u32,
    /// Lowest position that may count as the leading digit, 3 to 6.
    pub lowest: u32,
    /// Numerator of the reciprocal-root table.
    pub constant: u64,
    /// Rounding shift of the normalised product.
    pub shift: u32,
    /// Fractional bits of the output.
    pub fraction: u32,
    /// Bits of the output, signed.
    pub bits: u32,
}

/// Fixed-point formats of attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// Rounding shift of the query projection.
    pub query_shift: u32,
    /// Rounding shift of the key projection.
    pub key_shift: u32,
    /// Fractional bits of cosines and sines.
    pub rotary_fraction: u32,
    /// Rounding shift after the rotation of queries.
    pub query_rotary_shift: u32,
    /// Rounding shift after the rotation of keys.
    pub key_rotary_shift: u32,
    /// Bits of rotated queries and keys, signed.
    pub rotated_bits: u32,
    /// Rounding shift of the scores.
    pub score_shift: u32,
    /// What one unit of a score means in the exponent, in units of `2^-40`.
    pub score_step: u64,
    /// Rounding shift of the value projection.
    pub value_shift: u32,
    /// Bits of values and of their weighted means, signed.
    pub value_bits: u32,
}

/// Fixed-point formats of the gated feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedForward {
    /// Rounding shift of the gate projection, 16 bits out.
    pub gate_shift: u32,
    /// Fractional bits of the gate and of its activation.
    pub gate_fraction: u32,
    /// Rounding shift of the up projection.
    pub up_shift: u32,
    /// Bits of the up projection, signed.
    pub up_bits: u32,
    /// Rounding shift of the product of activation and up projection.
    pub hidden_shift: u32,
    /// Bits of that product, signed.
    pub hidden_bits: u32,
}

/// Certified bounds of a weight tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightBound {
    /// Largest absolute entry.
    pub magnitude: i64,
    /// Largest sum of absolute entries over the axes that its product sums.
    pub row_mass: i64,
}

/// Fractional bits of softmax numerators and weights.
pub const PROBABILITY_BITS: u32 = 14;
/// Address bits of the exponential, logarithm, reciprocal-root and activation tables.
pub const TABLE_BITS: u32 = 16;

impl ModelDescription {
    /// Canonical JSON: fields in declaration order, no white space.
    #[must_use]
    pub fn canonical_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a description is plain data")
    }

    /// `D_core`: the identity of everything but the weight commitment.
    #[must_use]
    pub fn core_digest(&self) -> [u8; 32] {
        *blake3::Hasher::new_derive_key("obelysk 2026 model core").update(&self.canonical_json()).finalize().as_bytes()
    }

    /// `D`: the identity of the model under a hash profile, from the root of its weight commitment.
    #[must_use]
    pub fn digest(&self, profile: Profile, root: &[u8; 32]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("obelysk 2026 model");
        hasher.update(&self.core_digest()).update(profile.name().as_bytes()).update(root);
        *hasher.finalize().as_bytes()
    }
}

/// Hash function of commitments and transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// BLAKE3 everywhere.
    Blake3,
}

impl Profile {
    /// Name in files and digests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
        }
    }
}

/// What kind of artefact a proof is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// One proof of everything.
    Gkr,
}

impl Mode {
    /// Name in files and digests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gkr => "gkr",
        }
    }
}

/// `statement.json`: the claim that one proof makes about a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Claim {
    /// [`SPECIFICATION`].
    pub specification: u32,
    /// Kind of artefact.
    pub mode: Mode,
    /// Hash profile.
    pub profile: Profile,
    /// 32 bytes chosen by whoever wants a fresh proof, lower-case hex.
    pub nonce: String,
    /// The model's digest, lower-case hex.
    pub model_digest: String,
    /// Root of the weight commitment, lower-case hex.
    pub weight_root: String,
    /// Prompt token ids, at least one.
    pub prompt_tokens: Vec<u32>,
    /// Output token ids, at least one.
    pub output_tokens: Vec<u32>,
}

/// One captured inference: the tokens that went in and those that came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inference {
    /// Prompt token ids, at least one.
    pub prompt_tokens: Vec<u32>,
    /// Output token ids, at least one.
    pub output_tokens: Vec<u32>,
}

impl Inference {
    /// Number of positions that are evaluated: the last output token is never fed back.
    #[must_use]
    pub fn positions(&self) -> usize {
        self.prompt_tokens.len() + self.output_tokens.len() - 1
    }

    /// The tokens that the decoder reads, one per position.
    #[must_use]
    pub fn inputs(&self) -> Vec<u32> {
        let fed_back = &self.output_tokens[..self.output_tokens.len() - 1];
        self.prompt_tokens.iter().chain(fed_back).copied().collect()
    }
}

impl Claim {
    /// The inference that is claimed.
    #[must_use]
    pub fn inference(&self) -> Inference {
        Inference { prompt_tokens: self.prompt_tokens.clone(), output_tokens: self.output_tokens.clone() }
    }

    /// What the transcript absorbs before anything else: every field, length-prefixed, so that no two claims share bytes.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut field = |content: &[u8]| {
            bytes.extend((content.len() as u64).to_le_bytes());
            bytes.extend(content);
        };
        let tokens = |ids: &[u32]| ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>();
        field(b"obelysk proof of inference");
        field(&self.specification.to_le_bytes());
        field(self.mode.name().as_bytes());
        field(self.profile.name().as_bytes());
        field(self.nonce.as_bytes());
        field(self.model_digest.as_bytes());
        field(self.weight_root.as_bytes());
        field(&tokens(&self.prompt_tokens));
        field(&tokens(&self.output_tokens));
        bytes
    }
}
