//! What the compiler accepts: everything that lies in these limits compiles without overflow.

use super::norm;
use super::rounding::UNCLAMPED_BITS;
use super::scores::difference_end;
use super::two_limbs::RANGE_BITS;
use crate::description::{
    Branch, BranchNorm, BranchNorms, HeadNorms, Inference, LowLimbs, ModelDescription, Rotary, Rounding, SPECIFICATION,
    TABLE_BITS, WeightBound,
};
use crate::functions::STEP_FRACTION;
use crate::statement::CompileError;

/// Most inferences in one proof.
pub const ENTRIES_MAX: usize = 1000;

/// The limits of what a description and its inferences may say.
pub(super) fn validate(description: &ModelDescription, inferences: &[Inference]) -> Result<(), CompileError> {
    validate_description(description)?;
    if !(1..=ENTRIES_MAX).contains(&inferences.len()) {
        let reason = format!("{} inferences in one proof; the limits are 1 to {ENTRIES_MAX}", inferences.len());
        return Err(CompileError::Unsupported(reason));
    }
    inferences.iter().try_for_each(|inference| validate_inference(description, inference))
}

fn validate_inference(description: &ModelDescription, inference: &Inference) -> Result<(), CompileError> {
    let shape = &description.shape;
    let unsupported = |reason: String| Err(CompileError::Unsupported(reason));
    if inference.prompt_tokens.is_empty() || inference.output_tokens.is_empty() {
        return unsupported("an inference without prompt or output tokens".into());
    }
    let positions = inference.positions();
    if positions > shape.positions {
        return unsupported(format!("{positions} positions; the model has {}", shape.positions));
    }
    let mut tokens = inference.prompt_tokens.iter().chain(&inference.output_tokens);
    if let Some(token) = tokens.find(|&&token| token as usize >= shape.vocabulary) {
        return unsupported(format!("token {token}; the vocabulary has {}", shape.vocabulary));
    }
    Ok(())
}

/// The limits of what a description may say. Within them nothing that is computed from it overflows.
///
/// # Errors
/// [`CompileError::Unsupported`] with the first value that is outside.
pub fn validate_description(description: &ModelDescription) -> Result<(), CompileError> {
    let shape = &description.shape;
    let unsupported = |reason: String| Err(CompileError::Unsupported(reason));
    if description.specification != SPECIFICATION {
        return unsupported(format!("specification {}; this program knows {SPECIFICATION}", description.specification));
    }
    let sizes = [
        ("layers", shape.layers, 128),
        ("hidden", shape.hidden, 1 << 14),
        ("intermediate", shape.intermediate, 1 << 16),
        ("kv_heads", shape.kv_heads, 256),
        ("group", shape.group, 256),
        ("head_dim", shape.head_dim, 1 << 10),
        ("vocabulary", shape.vocabulary, 1 << 20),
        ("positions", shape.positions, 1 << 13),
    ];
    for (name, size, limit) in sizes {
        if size == 0 || size > limit {
            return unsupported(format!("{name} = {size}; the limits are 1 to {limit}"));
        }
    }
    if !shape.head_dim.is_multiple_of(2) {
        return unsupported(format!("head_dim = {}, an odd number", shape.head_dim));
    }
    norm::validate(&description.hidden_norm)?;
    if let Some(HeadNorms { query, key }) = &description.head_norms {
        norm::validate(query)?;
        norm::validate(key)?;
        if query.constant != key.constant {
            return unsupported("query and key norms with different constants".into());
        }
    }
    if let Some(BranchNorms { attention, feed_forward }) = &description.branch_norms {
        for BranchNorm { norm, .. } in [attention, feed_forward] {
            norm::validate(norm)?;
            if norm.constant != description.hidden_norm.constant {
                return unsupported(format!("the norm of a block's output: {norm:?}"));
            }
        }
    }
    if description.windows.len() != shape.layers {
        return unsupported(format!("{} windows of {} layers", description.windows.len(), shape.layers));
    }
    if description.windows.contains(&Some(0)) {
        return unsupported("a layer whose window is 0: it sees no position".into());
    }
    validate_rotary(&description.rotary)?;
    let attention = &description.attention;
    let feed_forward = &description.feed_forward;
    validate_residual(description)?;
    let roundings = [
        ("query", attention.query_rounding),
        ("key", attention.key_rounding),
        ("score", attention.score_rounding),
        ("value", attention.value_rounding),
        ("gate", feed_forward.gate_rounding),
        ("up", feed_forward.up_rounding),
        ("hidden", feed_forward.hidden_rounding),
    ];
    roundings.into_iter().try_for_each(|(name, rounding)| validate_rounding(name, rounding))?;
    let bits = [
        ("rotary fraction", attention.rotary_fraction),
        ("value bits", attention.value_bits),
        ("mean bits", attention.mean_bits.saturating_sub(attention.mean_limbs.total())),
        ("up bits", feed_forward.up_bits),
        ("hidden bits", feed_forward.hidden_bits.saturating_sub(feed_forward.hidden_limbs.total())),
        ("gate fraction", feed_forward.gate_fraction),
    ];
    for (name, value) in bits {
        if !(1..=16).contains(&value) {
            return unsupported(format!("{name} = {value}; the limits are 1 to 16"));
        }
    }
    let shifts = [attention.query_rotary_shift, attention.key_rotary_shift];
    if shifts.iter().any(|shift| !(1..=20).contains(shift)) {
        return unsupported(format!("rotary shifts = {shifts:?}; the limits are 1 to 20"));
    }
    for (name, end) in [("projected end", attention.projected_end), ("rotated end", attention.rotated_end)] {
        if !(1..1 << 15).contains(&end) {
            return unsupported(format!("{name} = {end}; the limits are 1 to 32767"));
        }
    }
    validate_scores(description)?;
    let weights = description.weight_shapes();
    for name in weights.keys() {
        match description.weights.get(*name) {
            Some(bound) if is_sound(bound) => {}
            Some(_) => return unsupported(format!("bounds of weight `{name}` out of range")),
            None => return unsupported(format!("weight `{name}` has no bounds")),
        }
    }
    if description.weights.len() != weights.len() {
        return unsupported("weights that belong to no operation".into());
    }
    Ok(())
}

fn validate_scores(description: &ModelDescription) -> Result<(), CompileError> {
    /// `2^-16`: a finer step would lead out of the exponential's table before its entries are zero.
    const FINEST_STEP: u64 = 1 << (STEP_FRACTION - TABLE_BITS);
    let unsupported = |reason: String| Err(CompileError::Unsupported(reason));
    let attention = &description.attention;
    let step = attention.score_step;
    let (dim, end) = (description.shape.head_dim as u64, u64::from(attention.rotated_end));
    if dim * end * end >= 1 << 30 {
        return unsupported(format!("rotated end = {end}: products over {dim} channels exceed 30 bits"));
    }
    if !(FINEST_STEP..1 << 48).contains(&step) {
        return unsupported(format!("score step = {step}; the limits are 2^24 to 2^48 - 1"));
    }
    match attention.score_cap {
        Some(cap) if cap.step == 0 || cap.step >> 48 != 0 || !(1..1 << 15).contains(&cap.peak) => {
            unsupported(format!("a cap of scores that has not 16 bits: {cap:?}"))
        }
        None if attention.score_rounding.clamps() => {
            unsupported(format!("score: {:?}; without a cap, scores are never clamped", attention.score_rounding))
        }
        None if difference_end(description).is_none() => {
            unsupported(format!("score step = {step}: differences of scores end before the exponential is zero"))
        }
        _ => Ok(()),
    }
}

fn is_sound(bound: &WeightBound) -> bool {
    let WeightBound { magnitude, row_mass, row_norm } = bound;
    (0..1 << 30).contains(magnitude) && (0..1 << 31).contains(row_mass) && (0..1 << 31).contains(row_norm)
}

/// The stream, and what joins it: branches from norms or from output projections, whose inputs have limbs.
fn validate_residual(description: &ModelDescription) -> Result<(), CompileError> {
    let unsupported = |reason: String| Err(CompileError::Unsupported(reason));
    let residual = &description.residual;
    if residual.clamp.is_some_and(|clamp| !(1..=RANGE_BITS).contains(&clamp.excess_bits)) {
        return unsupported(format!("the range of the residual stream: {:?}", residual.clamp));
    }
    let inputs = [description.attention.mean_limbs, description.feed_forward.hidden_limbs];
    for limbs in inputs {
        let few = (1..=4).contains(&limbs.count) && (1..=12).contains(&limbs.bits) && limbs.total() <= 24;
        if limbs != LowLimbs::NONE && !few {
            return unsupported(format!("{limbs:?}; the limits are four low limbs of 12 bits, of 24 together"));
        }
    }
    let branches = [residual.attention, residual.feed_forward];
    match &description.branch_norms {
        None => branches.iter().zip(inputs).try_for_each(|(branch, limbs)| validate_branch(branch, limbs)),
        Some(BranchNorms { attention, feed_forward }) => {
            branches.iter().try_for_each(|branch| validate_branch(branch, LowLimbs::NONE))?;
            [attention, feed_forward]
                .into_iter()
                .zip(inputs)
                .try_for_each(|(norm, limbs)| validate_branch(&norm.output, limbs))
        }
    }
}

fn validate_branch(branch: &Branch, limbs: LowLimbs) -> Result<(), CompileError> {
    let Branch { rounding, low_bits, high_bits } = *branch;
    // The divisor's last bit is among those of the highest low limb, or above all of them.
    let reaches = limbs.total().saturating_sub(limbs.bits) < rounding.shift && rounding.shift <= limbs.total() + 16;
    let sized = [low_bits, high_bits].iter().all(|bits| (1..=16).contains(bits));
    if reaches && sized && rounding.unclamped_bits <= UNCLAMPED_BITS {
        return Ok(());
    }
    Err(CompileError::Unsupported(format!("a branch of format {branch:?} from {limbs:?}")))
}

fn validate_rounding(name: &str, rounding: Rounding) -> Result<(), CompileError> {
    if (1..=16).contains(&rounding.shift) && rounding.unclamped_bits <= UNCLAMPED_BITS {
        return Ok(());
    }
    let limit = format!("shifts are 1 to 16, unclamped bits at most {UNCLAMPED_BITS}");
    Err(CompileError::Unsupported(format!("{name}: {rounding:?}; {limit}")))
}

fn validate_rotary(rotary: &Rotary) -> Result<(), CompileError> {
    /// 64, with the fractional bits of [`crate::description::RotaryScaling`].
    const MOST_TURNS: u64 = 64 << 16;
    let theta = (1..1 << 60).contains(&rotary.theta);
    let scaling = rotary.scaling.is_none_or(|scaling| {
        (1 << 16..1 << 40).contains(&scaling.factor)
            && scaling.low < scaling.high
            && scaling.high <= MOST_TURNS
            && (1..1 << 24).contains(&scaling.original)
    });
    if theta && scaling { Ok(()) } else { Err(CompileError::Unsupported(format!("rotary positions of {rotary:?}"))) }
}
