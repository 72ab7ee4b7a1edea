//! Sizes, fixed-point formats and bounds: the parts of a model's description.

use serde::{Deserialize, Serialize};

use crate::compile::padded_size;

/// Frequencies of rotary positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotary {
    /// Base of the frequencies.
    pub theta: u64,
    /// How low frequencies are stretched for longer contexts.
    pub scaling: Option<RotaryScaling>,
}

/// The `llama3` scaling of rotary frequencies: those with more than `high` turns over the `original` positions stay,
/// those with fewer than `low` turns are divided by `factor`, and those between are blended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotaryScaling {
    /// Divisor, with [`RotaryScaling::FRACTION`] fractional bits.
    pub factor: u64,
    /// Fewest turns of a blended frequency, with as many fractional bits.
    pub low: u64,
    /// Most turns of a blended frequency, with as many fractional bits.
    pub high: u64,
    /// Longest sequence before the stretch.
    pub original: u64,
}

impl RotaryScaling {
    /// Fractional bits of the parameters.
    pub const FRACTION: u32 = 16;
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

impl Shape {
    /// Layers of a statement: the model's, then idle ones up to a number with at most two set bits. The weights of an idle layer are zero, and
    /// nobody reads what leaves it: an axis of few tiles is worth more than the layers cost.
    #[must_use]
    pub fn padded_layers(&self) -> usize {
        padded_size(self.layers)
    }
}

/// The residual stream: the embedding, to which every layer adds two branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// Fractional bits.
    pub fraction: u32,
    /// How what leaves a layer is kept in a range; `None` where it never leaves it.
    pub clamp: Option<StreamClamp>,
    /// Output of the attention block.
    pub attention: Branch,
    /// Output of the feed-forward block.
    pub feed_forward: Branch,
}

/// The range of the residual stream between layers: its highest limb is clamped to the channel's entry of the weight
/// `stream_top` in magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamClamp {
    /// How far outside of its range a layer can bring a highest limb, in bits.
    pub excess_bits: u32,
}

/// Numbers in limbs: some low ones, which are not negative, and a signed high one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LowLimbs {
    /// How many low limbs; 0 where the high limb is the whole number.
    pub count: u32,
    /// Bits of each.
    pub bits: u32,
}

impl LowLimbs {
    /// Of numbers of one limb.
    pub const NONE: Self = Self { count: 0, bits: 0 };

    /// Bits of all low limbs together.
    #[must_use]
    pub fn total(self) -> u32 {
        self.count * self.bits
    }
}

/// The nearest integer to an accumulator divided by a power of two, halves upwards; then, if it may lie outside of the
/// output's range, its highest limb is clamped to what that limb may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounding {
    /// Logarithm of the divisor.
    pub shift: u32,
    /// Bits of the quotient's highest limb before it is clamped, signed; 0 where it never leaves its range.
    pub unclamped_bits: u32,
}

impl Rounding {
    /// A rounding whose output always fits.
    #[must_use]
    pub fn exact(shift: u32) -> Self {
        Self { shift, unclamped_bits: 0 }
    }

    /// Whether the output may have to be clamped.
    #[must_use]
    pub fn clamps(self) -> bool {
        self.unclamped_bits > 0
    }
}

/// The rounded accumulator of an output projection, `2^kept (2^low_bits high + low) + rest`.
///
/// An output projection reads numbers in limbs and sums each limb on its own, carries going up. Where the divisor
/// `2^shift` does not reach the sum of the high limbs, what it leaves of the low sums is `rest`, of `kept` bits, and only
/// the part above it is clamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// Of the whole accumulator.
    pub rounding: Rounding,
    /// Bits of the low limb, which is not negative.
    pub low_bits: u32,
    /// Bits of the high limb, signed.
    pub high_bits: u32,
}

impl Branch {
    /// Bits that the shift leaves of the sums of low limbs.
    #[must_use]
    pub fn kept(&self, limbs: LowLimbs) -> u32 {
        limbs.total().saturating_sub(self.rounding.shift)
    }

    /// The rounding of the sum of high limbs and its carry.
    #[must_use]
    pub fn top_rounding(&self, limbs: LowLimbs) -> Rounding {
        Rounding { shift: self.rounding.shift.saturating_sub(limbs.total()), ..self.rounding }
    }
}

/// Root-mean-square norm of vectors given by two or three balanced limbs of `limb_bits` bits, the highest of
/// `highest_bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Norm {
    /// Number of limbs.
    pub limbs: u32,
    /// Bits of each limb but the highest, signed.
    pub limb_bits: u32,
    /// Bits of the highest limb, signed.
    pub highest_bits: u32,
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

/// Norms of query and key heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadNorms {
    /// Of each query head.
    pub query: Norm,
    /// Of each key head.
    pub key: Norm,
}

/// Norms of the outputs of both blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchNorms {
    /// Of the output of attention.
    pub attention: BranchNorm,
    /// Of the output of the feed-forward block.
    pub feed_forward: BranchNorm,
}

/// The norm of a block's output. The rounding of the block's [`Branch`] is then that of the product with the gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BranchNorm {
    /// The rounded accumulator, input of the norm.
    pub output: Branch,
    /// The norm; its constant is that of the hidden norm.
    pub norm: Norm,
}

/// Fixed-point formats of attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// Whether queries, keys and values have biases.
    pub biased: bool,
    /// Largest magnitude of queries and keys before the rotation, where no norm follows their projection.
    pub projected_end: u32,
    /// Of the query projection.
    pub query_rounding: Rounding,
    /// Of the key projection.
    pub key_rounding: Rounding,
    /// Fractional bits of cosines and sines.
    pub rotary_fraction: u32,
    /// Rounding shift after the rotation of queries.
    pub query_rotary_shift: u32,
    /// Rounding shift after the rotation of keys.
    pub key_rotary_shift: u32,
    /// Largest magnitude of rotated queries and keys.
    pub rotated_end: u32,
    /// Of the scores: never clamped where they have no cap, to 16 bits where they have one.
    pub score_rounding: Rounding,
    /// The cap of scores, where the model has one.
    pub score_cap: Option<ScoreCap>,
    /// What one unit of a score, capped if there is a cap, means in the exponent, in units of `2^-40`.
    pub score_step: u64,
    /// Of the value projection.
    pub value_rounding: Rounding,
    /// Bits of values, signed.
    pub value_bits: u32,
    /// Bits of weighted means of values, signed.
    pub mean_bits: u32,
    /// Low limbs of these means.
    pub mean_limbs: LowLimbs,
}

/// `round(peak tanh(step score))` of every 16-bit score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreCap {
    /// What one unit of a score means in the tangent's argument, in units of `2^-40`.
    pub step: u64,
    /// Largest capped score.
    pub peak: u32,
}

/// Activation functions of feed-forward blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `x sigmoid(x)`.
    Silu,
    /// GELU in its approximation by a hyperbolic tangent (Hendrycks and Gimpel, 2016).
    GeluTanh,
}

/// Fixed-point formats of the gated feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedForward {
    /// Applied to the gate.
    pub activation: Activation,
    /// Of the gate projection, 16 bits out.
    pub gate_rounding: Rounding,
    /// Fractional bits of the gate and of its activation.
    pub gate_fraction: u32,
    /// Of the up projection.
    pub up_rounding: Rounding,
    /// Bits of the up projection, signed.
    pub up_bits: u32,
    /// Of the product of activation and up projection.
    pub hidden_rounding: Rounding,
    /// Bits of that product, signed.
    pub hidden_bits: u32,
    /// Low limbs of that product.
    pub hidden_limbs: LowLimbs,
}

/// Certified bounds of a weight tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightBound {
    /// Largest absolute entry.
    pub magnitude: i64,
    /// Largest sum of absolute entries over the axes that its product sums.
    pub row_mass: i64,
    /// Largest Euclidean norm over the axes that its product sums, rounded up.
    pub row_norm: i64,
}
