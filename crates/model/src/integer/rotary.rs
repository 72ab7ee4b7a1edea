//! Queries and keys: projected, normalised where the model does so, and rotated by their position.

use obelysk_statement::description::{Norm, Rounding};
use obelysk_statement::relation::Interval;

use super::IntegerModel;
use super::linear::{add_bias, round};
use super::norm::NormRow;
use super::record::Recorder;
use super::residual::record_limbs;
use super::rounding::{HighestLimb, Rounded};

/// Everything that differs between queries and keys.
pub(super) struct Projection<'a> {
    pub(super) name: &'a str,
    pub(super) rounding: Rounding,
    pub(super) rotary_shift: u32,
    pub(super) norm: Option<&'a Norm>,
}

impl IntegerModel<'_> {
    /// Project, normalise and scale by the gain where the model does so, and rotate by the position.
    pub(super) fn rotated(
        &self,
        layer: usize,
        start: usize,
        normed: &[i32],
        p: &Projection,
        recorder: &mut Recorder,
    ) -> Vec<i32> {
        let shape = &self.description.shape;
        let name = p.name;
        let mut accumulators = self.project(normed, self.matrix(&format!("{name}_weight"), layer, shape.hidden));
        if self.description.attention.biased {
            add_bias(&mut accumulators, self.weight(&format!("{name}_bias"), layer));
        }
        let end = i64::from(self.description.attention.projected_end);
        let highest = p.norm.map_or(HighestLimb::whole(Interval::new(-end, end)), HighestLimb::of_norm);
        let projected = Rounded::all(name, &accumulators, (p.rounding, highest), recorder);
        let (unit, gain) = match p.norm {
            Some(norm) => {
                record_limbs(name, &projected, norm, recorder);
                let row = NormRow { norm, width: shape.head_dim, roots: &self.head_roots };
                let unit = self.norm(&format!("{name}_norm"), &row, &projected, recorder);
                (unit, Some(self.weight(&format!("{name}_gain"), layer).load()))
            }
            None => {
                recorder.record(name, &projected);
                (projected, None)
            }
        };
        let gain = |channel: usize| gain.as_ref().map_or(1, |gain| i64::from(gain.get(channel)));

        let pairs = shape.head_dim / 2;
        let heads = unit.len() / (normed.len() / shape.hidden) / shape.head_dim;
        let mut output = vec![0; unit.len()];
        let mut remainders = vec![0; unit.len()];
        for (head, entries) in unit.chunks_exact(shape.head_dim).enumerate() {
            let position = start + head / heads;
            for pair in 0..pairs {
                let cosine = i64::from(self.cosine[position * pairs + pair]);
                let sine = i64::from(self.sine[position * pairs + pair]);
                let first = i64::from(entries[pair]) * gain(pair);
                let second = i64::from(entries[pairs + pair]) * gain(pairs + pair);
                let turned = [first * cosine - second * sine, second * cosine + first * sine];
                for (half, accumulator) in turned.into_iter().enumerate() {
                    let place = head * shape.head_dim + half * pairs + pair;
                    (output[place], remainders[place]) = round(accumulator, p.rotary_shift);
                }
            }
        }
        recorder.record(&format!("{name}_rotated"), &output);
        recorder.record_wide(&format!("{name}_rotated.remainder"), &remainders, p.rotary_shift);
        output
    }
}
