//! What the blocks of every layer add to the residual stream, and the stream that holds it.

use obelysk_statement::description::{LowLimbs, Shape};

use super::RealWeights;
use super::feed_forward::Inner;
use super::formats::{Expected, Input, Output, Projection, Range, Scaled, power, project, share_bits, share_limbs};
use super::stream::{Accumulators, BranchBounds, Joining, StreamFormat};
use crate::config::ModelConfig;
use crate::error::ModelError;

/// Bits of weighted means of values that are one number, at most and at least.
const MEAN_BITS: std::ops::RangeInclusive<u32> = 12..=14;
/// Bits of weighted means of values in limbs.
const WIDE_MEAN_BITS: u32 = 16;

/// A model, and what is known of what its blocks compute.
#[derive(Clone, Copy)]
pub(super) struct Blocks<'a> {
    pub(super) config: &'a ModelConfig,
    pub(super) shape: &'a Shape,
    pub(super) real: &'a RealWeights<'a>,
    /// What blocks read.
    pub(super) normed: Input,
    /// What softmax weights sum to at most.
    pub(super) slack: f64,
    pub(super) expected: &'a Expected,
}

/// Formats from values and from the inside of feed-forward blocks to the stream.
pub(super) struct Branches<'a> {
    pub(super) value_bits: u32,
    pub(super) value: Projection<'a>,
    pub(super) mean_bits: u32,
    pub(super) mean_limbs: LowLimbs,
    pub(super) output: Scaled,
    pub(super) inner: Inner<'a>,
    pub(super) attention_output: BranchBounds,
    pub(super) feed_forward_output: BranchBounds,
    pub(super) stream: StreamFormat,
}

impl<'a> Branches<'a> {
    /// Accumulators as fine as a rounding can bring them to a scale of the stream. Small weights would make them finer, for
    /// nothing.
    pub(super) fn choose(blocks: Blocks<'a>) -> Result<Self, ModelError> {
        /// Fractional bits of accumulators, at most: the finest scale of the stream and the widest rounding, then less.
        const FINEST: std::ops::RangeInclusive<u32> = 18..=46;
        let mut refusal = None;
        for finest in FINEST.rev().step_by(4) {
            match Self::up_to(finest, blocks) {
                Err(ModelError::Unsupported(reason)) => refusal = refusal.or(Some(ModelError::Unsupported(reason))),
                chosen => return chosen,
            }
        }
        Err(refusal.expect("every scale was refused"))
    }

    /// With accumulators of at most `finest` fractional bits.
    fn up_to(finest: u32, blocks: Blocks<'a>) -> Result<Self, ModelError> {
        let Blocks { config, shape, real, normed, slack, expected } = blocks;
        let survey = real.output.survey()?;
        let (mean_bits, mean_limbs, output) = if expected.precision.limbs {
            let (limbs, output) = share_limbs("attention output", &survey, WIDE_MEAN_BITS)?;
            (WIDE_MEAN_BITS, limbs, output)
        } else {
            let (bits, output) = share_bits("attention output", &survey, MEAN_BITS)?;
            (bits, LowLimbs::NONE, output)
        };
        let mean_range = power(mean_bits - 1);
        let finest_value = finest.saturating_sub(output.fraction);
        let (value_bits, value) = project_values(real, normed, (mean_bits, slack), finest_value, expected)?;
        let inner = Inner::choose(shape, real, normed, finest, expected)?;

        let mean_largest = (value.largest * slack + 1.0).min(mean_range);
        let mass = |row: &[i32]| row.iter().map(|&weight| f64::from(weight).abs()).sum::<f64>();
        let attention = Accumulators {
            fraction: value.fraction + output.fraction,
            largest: real.output.groups_at(output.fraction, 1, |_, row| mass(row) * mean_largest)?,
            proven: Accumulators::proven(mean_limbs, mean_bits, output.bound.row_mass as f64),
            limbs: mean_limbs,
        };
        let feed_forward = inner.accumulators(shape, real)?;
        let [attention_gain, feed_forward_gain] = match &real.branch_gains {
            Some([attention, feed_forward]) => [Some(attention.as_slice()), Some(feed_forward.as_slice())],
            None => [None, None],
        };
        let bounds = |block: &str, accumulators, gain| {
            BranchBounds::choose(block, shape, accumulators, gain, config.rms_norm_eps, expected)
        };
        let attention_output = bounds("attention", attention, attention_gain)?;
        let feed_forward_output = bounds("feed_forward", feed_forward, feed_forward_gain)?;
        let joining = Joining {
            embedding: &real.embedding.largest_of_columns()?,
            attention: &attention_output,
            feed_forward: &feed_forward_output,
            expected,
            epsilon: config.rms_norm_eps,
        };
        let stream = StreamFormat::choose(shape, &joining)?;
        Ok(Self {
            value_bits,
            value,
            mean_bits,
            mean_limbs,
            output,
            inner,
            attention_output,
            feed_forward_output,
            stream,
        })
    }
}

/// The value projection and the bits of values. The weights of a mean sum to `slack` at most, which is less than two: a mean
/// of values that are never clamped has the bits of the values, if their bound leaves room for it; one of clamped values
/// has one more.
fn project_values<'a>(
    real: &'a RealWeights,
    normed: Input,
    (mean_bits, slack): (u32, f64),
    finest: u32,
    expected: &Expected,
) -> Result<(u32, Projection<'a>), ModelError> {
    let stack = (&real.value, &real.value.survey()?);
    let choose = |range: Range| {
        let loss = expected.precision.projection_loss;
        let output = Output { expected: expected.of("value"), range, finest, loss };
        project("value projection", stack, real.value_bias.as_deref(), normed, &output)
    };
    let range = Range::signed(mean_bits);
    let whole = choose(Range { limit: range.magnitude / slack - 2.0, ..range })?;
    if !whole.rounding.clamps() {
        return Ok((mean_bits, whole));
    }
    Ok((mean_bits - 1, choose(Range::signed(mean_bits - 1))?))
}
