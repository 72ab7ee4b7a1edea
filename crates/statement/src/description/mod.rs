//! `model.json`: everything about a quantised model that a stranger needs to check a proof, without its weights.
//! Its canonical bytes, together with the root of the weight commitment, are the model's identity.

mod claim;
mod formats;
mod unique_keys;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tree::Digest;

pub use claim::{Claim, Inference, Mode, Profile};
pub use formats::{
    Activation, Attention, Branch, BranchNorm, BranchNorms, FeedForward, HeadNorms, LowLimbs, Norm, Residual, Rotary,
    RotaryScaling, Rounding, ScoreCap, Shape, StreamClamp, WeightBound,
};

/// Version of the integer semantics and of the proof protocol.
pub const SPECIFICATION: u32 = 2;

/// The quantised model: shapes, operations, fixed-point formats and the certified bounds of its weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDescription {
    /// [`SPECIFICATION`].
    pub specification: u32,
    /// Name of the architecture, for readers. What is computed follows from the other fields.
    pub architecture: String,
    /// Sizes.
    pub shape: Shape,
    /// Frequencies of rotary positions.
    pub rotary: Rotary,
    /// How many positions each layer sees, its own included; `None` sees all.
    pub windows: Vec<Option<usize>>,
    /// The residual stream.
    pub residual: Residual,
    /// Norms over the hidden axis, the last one included.
    pub hidden_norm: Norm,
    /// Norms of query and key heads, where the model has them.
    pub head_norms: Option<HeadNorms>,
    /// Norms of the outputs of both blocks, where the model has them.
    pub branch_norms: Option<BranchNorms>,
    /// Attention.
    pub attention: Attention,
    /// Gated feed-forward block.
    pub feed_forward: FeedForward,
    /// Fractional bits of the head's weights: what a logit is worth. No relation depends on it.
    pub head_fraction: u32,
    /// Certified bounds of each weight tensor, by name. What the digest's recomputation checks.
    #[serde(deserialize_with = "unique_keys::deserialize")]
    pub weights: BTreeMap<String, WeightBound>,
    /// BLAKE3 of the quantised weights, lower-case hex.
    pub weights_digest: String,
}

/// Fractional bits of softmax numerators and weights.
pub const PROBABILITY_BITS: u32 = 14;
/// Address bits of the exponential, logarithm, reciprocal-root and activation tables.
pub const TABLE_BITS: u32 = 16;

impl ModelDescription {
    /// Name and shape of every weight tensor, in order of the names. Axes are those of the statement, with
    /// neighbours merged.
    #[must_use]
    pub fn weight_shapes(&self) -> BTreeMap<&'static str, Vec<usize>> {
        let Shape { hidden, intermediate, kv_heads, group, head_dim, vocabulary, .. } = self.shape;
        let layers = self.shape.padded_layers();
        let (queries, keys) = (kv_heads * group * head_dim, kv_heads * head_dim);
        let mut shapes = BTreeMap::from([
            ("embedding", vec![vocabulary, hidden]),
            ("query_weight", vec![layers, queries, hidden]),
            ("key_weight", vec![layers, keys, hidden]),
            ("value_weight", vec![layers, keys, hidden]),
            ("output_weight", vec![layers, hidden, queries]),
            ("gate_weight", vec![layers, intermediate, hidden]),
            ("up_weight", vec![layers, intermediate, hidden]),
            ("down_weight", vec![layers, hidden, intermediate]),
            ("head_weight", vec![vocabulary, hidden]),
        ]);
        if self.residual.clamp.is_some() {
            shapes.insert("stream_top", vec![hidden]);
        }
        if self.head_norms.is_some() {
            shapes.extend([("query_gain", vec![layers, head_dim]), ("key_gain", vec![layers, head_dim])]);
        }
        if self.attention.biased {
            let biases = [("query_bias", queries), ("key_bias", keys), ("value_bias", keys)];
            shapes.extend(biases.map(|(name, width)| (name, vec![layers, width])));
        }
        if self.branch_norms.is_some() {
            let gains = ["attention_output_gain", "feed_forward_output_gain"];
            shapes.extend(gains.map(|name| (name, vec![layers, hidden])));
        }
        shapes
    }

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
    pub fn digest(&self, profile: Profile, root: Digest) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("obelysk 2026 model");
        hasher.update(&self.core_digest()).update(profile.name().as_bytes()).update(&root.to_bytes());
        *hasher.finalize().as_bytes()
    }
}
