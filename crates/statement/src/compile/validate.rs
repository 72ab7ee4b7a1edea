//! What the compiler accepts: everything that lies in these limits compiles without overflow.

use super::norm;
use crate::description::{
    BranchNorm, BranchNorms, HeadNorms, Inference, ModelDescription, Rotary, Rounding, SPECIFICATION, WeightBound,
};
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
        for BranchNorm { rounding, norm } in [attention, feed_forward] {
            norm::validate(norm)?;
            validate_rounding("the output of a block", *rounding)?;
            if norm.constant != description.hidden_norm.constant {
                return unsupported(format!("the norm of a block's output: {norm:?}"));
            }
        }
    }
    if description.windows.len() != shape.layers || description.windows.contains(&Some(0)) {
        return unsupported(format!("windows {:?} of {} layers", description.windows, shape.layers));
    }
    validate_rotary(&description.rotary)?;
    let residual = &description.residual;
    let attention = &description.attention;
    let feed_forward = &description.feed_forward;
    let roundings = [
        ("attention branch", residual.attention.rounding),
        ("feed-forward branch", residual.feed_forward.rounding),
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
        ("query rotary shift", attention.query_rotary_shift),
        ("key rotary shift", attention.key_rotary_shift),
        ("attention branch low bits", residual.attention.low_bits),
        ("attention branch high bits", residual.attention.high_bits),
        ("feed-forward branch low bits", residual.feed_forward.low_bits),
        ("feed-forward branch high bits", residual.feed_forward.high_bits),
        ("rotary fraction", attention.rotary_fraction),
        ("projected bits", attention.projected_bits),
        ("rotated bits", attention.rotated_bits),
        ("value bits", attention.value_bits),
        ("mean bits", attention.mean_bits),
        ("score bits", attention.score_bits),
        ("up bits", feed_forward.up_bits),
        ("hidden bits", feed_forward.hidden_bits.saturating_sub(feed_forward.hidden_low_bits)),
        ("gate fraction", feed_forward.gate_fraction),
    ];
    for (name, value) in bits {
        if !(1..=16).contains(&value) {
            return unsupported(format!("{name} = {value}; the limits are 1 to 16"));
        }
    }
    if feed_forward.hidden_low_bits > 12 {
        return unsupported(format!("hidden low bits = {}; the limits are 0 to 12", feed_forward.hidden_low_bits));
    }
    let steps = [attention.score_step, attention.score_cap.map_or(1, |cap| cap.step)];
    if steps.iter().any(|&step| step == 0 || step >> 48 != 0) {
        return unsupported("a zero or huge score step".into());
    }
    if attention.score_cap.is_some_and(|cap| !(1..1 << 15).contains(&cap.peak)) {
        return unsupported("a cap of scores that has not 16 bits".into());
    }
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

fn is_sound(bound: &WeightBound) -> bool {
    let WeightBound { magnitude, row_mass, row_norm } = bound;
    (0..1 << 30).contains(magnitude) && (0..1 << 31).contains(row_mass) && (0..1 << 31).contains(row_norm)
}

fn validate_rounding(name: &str, rounding: Rounding) -> Result<(), CompileError> {
    if (1..=16).contains(&rounding.shift) && rounding.excess_bits <= 28 {
        return Ok(());
    }
    Err(CompileError::Unsupported(format!("{name}: {rounding:?}; shifts are 1 to 16, excess bits at most 28")))
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
