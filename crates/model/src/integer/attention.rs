//! Grouped-query attention: projections, scores, and means of the values.

use obelysk_statement::description::PROBABILITY_BITS;
use obelysk_statement::relation::Interval;

use super::IntegerModel;
use super::linear::{add_bias, dot, round};
use super::record::Recorder;
use super::rotary::Projection;
use super::rounding::{HighestLimb, Rounded};

/// Rotated keys and values of one layer, shape [positions, kv heads, head_dim].
#[derive(Clone, Default)]
pub(super) struct KeysAndValues {
    keys: Vec<i32>,
    values: Vec<i32>,
}

impl IntegerModel<'_> {
    /// What the output projection of attention reads, shape [rows, heads, head_dim]; `start` rows are in the cache.
    pub(super) fn attention(
        &self,
        layer: usize,
        start: usize,
        cache: &mut KeysAndValues,
        normed: &[i32],
        recorder: &mut Recorder,
    ) -> Vec<i32> {
        let shape = &self.description.shape;
        let format = &self.description.attention;
        let norms = self.description.head_norms.as_ref();
        let query = Projection {
            name: "query",
            rounding: format.query_rounding,
            rotary_shift: format.query_rotary_shift,
            norm: norms.map(|norms| &norms.query),
        };
        let query = self.rotated(layer, start, normed, &query, recorder);
        let key = Projection {
            name: "key",
            rounding: format.key_rounding,
            rotary_shift: format.key_rotary_shift,
            norm: norms.map(|norms| &norms.key),
        };
        let key = self.rotated(layer, start, normed, &key, recorder);
        let mut accumulators = self.project(normed, self.matrix("value_weight", layer, shape.hidden));
        if format.biased {
            add_bias(&mut accumulators, self.weight("value_bias", layer));
        }
        let rounding = (format.value_rounding, HighestLimb::whole(Interval::signed(format.value_bits)));
        let value = Rounded::all("value", &accumulators, rounding, recorder);
        recorder.record("value", &value);
        cache.keys.extend(key);
        cache.values.extend(value);
        self.mix(layer, start, &query, cache, recorder)
    }

    /// Softmax of the scores that each position sees and the weighted mean of values, shape [rows, heads, head_dim].
    fn mix(
        &self,
        layer: usize,
        start: usize,
        query: &[i32],
        cache: &KeysAndValues,
        recorder: &mut Recorder,
    ) -> Vec<i32> {
        let shape = &self.description.shape;
        let (dim, kv_heads, group) = (shape.head_dim, shape.kv_heads, shape.group);
        let heads = kv_heads * group;
        let rows = query.len() / (heads * dim);
        let keys = start + rows;
        let mut mean = vec![0; query.len()];
        let mut mean_remainder = vec![0; query.len()];
        let mut softmax = self.no_rows();
        for head in 0..heads {
            let kv_head = head / group;
            for row in 0..rows {
                let query = &query[(row * heads + head) * dim..][..dim];
                let end = start + row + 1;
                let first = self.window(layer).map_or(0, |window| end.saturating_sub(window));
                // Scores of unseen keys are part of the statement, behind its mask; generation has no need of them.
                let computed = if recorder.is_on() { 0..keys } else { first..end };
                let scores = computed.clone().map(|key| {
                    let key = &cache.keys[(key * kv_heads + kv_head) * dim..][..dim];
                    i64::from(dot(query, key))
                });
                let seen = first - computed.start..end - computed.start;
                let weights = softmax.row(self, scores, seen);
                let place = (row * heads + head) * dim;
                for channel in 0..dim {
                    let sum: i64 = computed
                        .clone()
                        .zip(weights)
                        .map(|(key, &weight)| {
                            i64::from(weight) * i64::from(cache.values[(key * kv_heads + kv_head) * dim + channel])
                        })
                        .sum();
                    (mean[place + channel], mean_remainder[place + channel]) = round(sum, PROBABILITY_BITS);
                }
                if !recorder.is_on() {
                    std::mem::replace(&mut softmax, self.no_rows()).record(self.description, recorder);
                }
            }
        }
        softmax.record(self.description, recorder);
        recorder.record("attention_mean.remainder", &mean_remainder);
        mean
    }
}
