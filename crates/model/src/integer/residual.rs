//! The residual stream: the embedding, to which every layer adds two branches; what leaves a layer is clamped to its range.

use obelysk_statement::compile::{limb_names, limb_range};
use obelysk_statement::description::{Branch, BranchNorm, LowLimbs, Norm};
use obelysk_statement::relation::Interval;

use super::IntegerModel;
use super::linear::balanced_limbs;
use super::output_projection::OutputProjection;
use super::record::Recorder;
use super::rounding::{HighestLimb, Rounded};

/// A block of every layer, as far as the stream is concerned.
pub(super) struct Block<'a> {
    pub(super) name: &'a str,
    pub(super) format: &'a Branch,
    pub(super) norm: Option<&'a BranchNorm>,
    /// Name and limbs of what the output projection reads.
    pub(super) input: (&'a str, LowLimbs),
    /// Name of the output projection's matrix, and how many entries a row has.
    pub(super) weight: (&'a str, usize),
}

impl IntegerModel<'_> {
    /// Embeddings of `tokens`, shape [tokens, hidden].
    pub(super) fn embed(&self, tokens: &[u32]) -> Vec<i32> {
        let hidden = self.description.shape.hidden;
        let embedding = self.weights["embedding"].as_ref();
        let row = |token: usize| embedding.slice(token * hidden..(token + 1) * hidden).iter();
        tokens.iter().flat_map(|&token| row(token as usize)).collect()
    }

    /// Project what a block computed, normalise and scale it where the model does so, and add it to the stream.
    pub(super) fn add_branch(
        &self,
        block: &Block,
        layer: usize,
        stream: &mut [i32],
        input: &[i32],
        recorder: &mut Recorder,
    ) {
        let Block { name, format, norm, input: (input_name, limbs), weight: (weight, width) } = *block;
        let branch_name = format!("{name}_branch");
        let projection = OutputProjection { input: input_name, limbs, matrix: self.matrix(weight, layer, width) };
        let mass = self.description.weights[weight].row_mass;
        let branch = match norm {
            None => projection.apply(self, &branch_name, input, format, mass, recorder),
            Some(BranchNorm { output, norm }) => {
                let output_name = format!("{name}_output");
                let output = projection.apply(self, &output_name, input, output, mass, recorder);
                record_limbs(&format!("{output_name}_norm.input"), &output, norm, recorder);
                let unit = self.norm(&format!("{output_name}_norm"), &self.over_hidden(norm), &output, recorder);
                let gain: Vec<i32> = self.weight(&format!("{output_name}_gain"), layer).iter().collect();
                let scaled: Vec<i32> = unit.iter().zip(gain.iter().cycle()).map(|(unit, gain)| unit * gain).collect();
                let highest = HighestLimb::above(format.low_bits, format.high_bits);
                let branch = Rounded::all(&branch_name, &scaled, (format.rounding, highest), recorder);
                recorder.record_limbs(&branch_name, &branch, format.low_bits);
                branch
            }
        };
        for (entry, added) in stream.iter_mut().zip(&branch) {
            *entry += added;
        }
    }

    /// Clamp the highest limb of what enters a norm from the layer before, each channel to its range, and record it as `name`.
    pub(super) fn enter(&self, name: &str, stream: &mut [i32], recorder: &mut Recorder) {
        let norm = &self.description.hidden_norm;
        if self.description.residual.clamp.is_some() {
            let limb = HighestLimb::of_norm(norm);
            let tops = self.weights["stream_top"].iter().map(i64::from);
            let channels: Vec<HighestLimb> = tops.map(|top| limb.within(Interval::new(-top, top))).collect();
            let mut excess: [Vec<i32>; 2] = [Vec::new(), Vec::new()];
            let mut clamped = 0;
            for (entry, channel) in stream.iter_mut().zip(channels.iter().cycle()) {
                let (unclamped, value) = channel.clamp(*entry);
                clamped += usize::from(value != *entry);
                *entry = value;
                if recorder.is_on() {
                    let outside = unclamped - channel.clamp(value).0;
                    excess[0].push(outside.max(0));
                    excess[1].push((-outside).max(0));
                }
            }
            recorder.count(clamped, stream.len());
            for (side, excess) in ["above", "below"].iter().zip(&excess) {
                recorder.record(&format!("{name}.{side}"), excess);
            }
        }
        record_limbs(name, stream, norm, recorder);
    }

    /// Record the limbs of the stream between the blocks of a layer.
    pub(super) fn record_middle(&self, name: &str, stream: &[i32], recorder: &mut Recorder) {
        record_limbs(name, stream, &self.description.hidden_norm, recorder);
    }
}

/// Record `values` as the balanced limbs that a norm reads.
pub(super) fn record_limbs(name: &str, values: &[i32], norm: &Norm, recorder: &mut Recorder) {
    let range = limb_range(norm);
    assert!(
        values.iter().all(|&value| (range.low..=range.high).contains(&i64::from(value))),
        "{name} stays within its limbs"
    );
    if recorder.is_on() {
        let names = limb_names(norm.limbs);
        let mut limbs: Vec<Vec<i32>> = vec![Vec::with_capacity(values.len()); names.len()];
        for &value in values {
            let parts = balanced_limbs(value, norm.limb_bits, norm.limbs);
            limbs.iter_mut().zip(parts).for_each(|(limb, part)| limb.push(part));
        }
        for (limb, values) in names.iter().zip(&limbs) {
            recorder.record(&format!("{name}.{limb}"), values);
        }
    }
}
