//! Rotary settings in every spelling that `config.json` has had: `rope_scaling` with `type` or `rope_type`, `rope_parameters`,
//! and `rope_theta` beside them or in them.

use super::keys::Keys;
use super::{Architecture, LARGEST_SIZE, RotaryConfig, RotaryScaling};
use crate::error::ModelError;

/// The base where no key names one.
const USUAL_THETA: f64 = 10_000.0;

pub(super) fn read(keys: Keys, architecture: Architecture, max_positions: usize) -> Result<RotaryConfig, ModelError> {
    // The older key wins where both are there, as whoever adds it by hand expects.
    let older = keys.object("rope_scaling")?.filter(|rope| !rope.is_empty());
    let rope = match older {
        Some(rope) => Some(rope),
        None => keys.object("rope_parameters")?,
    };
    if let Some(rope) = rope
        && ["full_attention", "sliding_attention"].into_iter().any(|kind| rope.has(kind))
    {
        return Err(keys.unsupported("rotary settings of their own for each type of layer"));
    }
    let within = |name: &str| rope.map_or(Ok(None), |rope| rope.number(name));
    let theta = match within("rope_theta")? {
        Some(theta) => theta,
        None => keys.number("rope_theta")?.unwrap_or(USUAL_THETA),
    };
    if !(theta.is_finite() && theta >= 1.0) {
        return Err(keys.corrupt(format!("`rope_theta` is {theta}")));
    }
    let partial = match within("partial_rotary_factor")? {
        Some(factor) => Some(factor),
        None => keys.number("partial_rotary_factor")?,
    };
    if partial.is_some_and(|factor| factor != 1.0) {
        return Err(keys.unsupported("rotary positions on a part of each head"));
    }
    let kind = match rope {
        Some(rope) => rope.text("rope_type")?.or(rope.text("type")?),
        None => None,
    };
    let scaling = match (kind.unwrap_or("default"), rope) {
        ("default", _) | (_, None) => None,
        ("llama3", Some(rope)) if architecture != Architecture::Phi3 => Some(llama3(keys, rope, max_positions)?),
        (kind, Some(_)) => return Err(keys.unsupported(&format!("rotary scaling of type {kind}"))),
    };
    Ok(RotaryConfig { theta, scaling })
}

fn llama3(keys: Keys, rope: Keys, max_positions: usize) -> Result<RotaryScaling, ModelError> {
    let number =
        |name: &str| rope.number(name)?.ok_or_else(|| keys.corrupt(format!("llama3 rotary scaling without `{name}`")));
    let scaling = RotaryScaling {
        factor: number("factor")?,
        low: number("low_freq_factor")?,
        high: number("high_freq_factor")?,
        original: rope.size("original_max_position_embeddings")?.unwrap_or(max_positions),
    };
    let sane = (1.0..=1e4).contains(&scaling.factor)
        && (0.01..=1e4).contains(&scaling.low)
        && scaling.low < scaling.high
        && scaling.high <= 1e4
        && (1..=LARGEST_SIZE).contains(&scaling.original);
    if !sane {
        return Err(keys.corrupt(format!("llama3 rotary scaling out of range: {scaling:?}")));
    }
    Ok(scaling)
}
