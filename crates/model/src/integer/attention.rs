//! Grouped-query attention; the compiler's file of the same name explains the softmax.

use obelysk_statement::compile::denominator_shift;
use obelysk_statement::description::{Norm, PROBABILITY_BITS};

use super::IntegerModel;
use super::linear::{dot, project, round, round_all};
use super::record::Recorder;
use super::residual::record_limbs;

/// Rotated keys and values of one layer, shape [positions, kv heads, head_dim].
#[derive(Clone, Default)]
pub(super) struct KeysAndValues {
    keys: Vec<i32>,
    values: Vec<i32>,
}

impl IntegerModel<'_> {
    /// Accumulators of the attention branch, shape [rows, hidden]; `start` rows are in the cache.
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
        let query = self.rotated(
            "query",
            layer,
            start,
            normed,
            (format.query_shift, format.query_rotary_shift, &self.description.query_norm),
            recorder,
        );
        let key = self.rotated(
            "key",
            layer,
            start,
            normed,
            (format.key_shift, format.key_rotary_shift, &self.description.key_norm),
            recorder,
        );
        let accumulators = project(normed, self.weight("value_weight", layer), shape.hidden);
        let (value, remainder) = round_all(&accumulators, format.value_shift);
        recorder.record("value", &value);
        recorder.record("value.remainder", &remainder);
        cache.keys.extend(key);
        cache.values.extend(value);
        let mean = self.mix(start, &query, cache, recorder);
        project(&mean, self.weight("output_weight", layer), shape.kv_heads * shape.group * shape.head_dim)
    }

    /// Queries or keys: projected, normalised per head, scaled and rotated by their position.
    fn rotated(
        &self,
        name: &str,
        layer: usize,
        start: usize,
        normed: &[i32],
        (shift, rotary_shift, norm): (u32, u32, &Norm),
        recorder: &mut Recorder,
    ) -> Vec<i32> {
        let shape = &self.description.shape;
        let accumulators = project(normed, self.weight(&format!("{name}_weight"), layer), shape.hidden);
        let (projected, remainder) = round_all(&accumulators, shift);
        record_limbs(name, &projected, norm.limb_bits, recorder);
        recorder.record(&format!("{name}.remainder"), &remainder);
        let unit = self.norm(&format!("{name}_norm"), norm, &projected, recorder);

        let gain = self.weight(&format!("{name}_gain"), layer);
        let pairs = shape.head_dim / 2;
        let heads = projected.len() / (normed.len() / shape.hidden) / shape.head_dim;
        let mut output = vec![0; unit.len()];
        let mut remainders = vec![0; unit.len()];
        for (head, entries) in unit.chunks_exact(shape.head_dim).enumerate() {
            let position = start + head / heads;
            for pair in 0..pairs {
                let cosine = i64::from(self.cosine[position * pairs + pair]);
                let sine = i64::from(self.sine[position * pairs + pair]);
                let first = i64::from(entries[pair]) * i64::from(gain[pair]);
                let second = i64::from(entries[pairs + pair]) * i64::from(gain[pairs + pair]);
                let turned = [first * cosine - second * sine, second * cosine + first * sine];
                for (half, accumulator) in turned.into_iter().enumerate() {
                    let place = head * shape.head_dim + half * pairs + pair;
                    (output[place], remainders[place]) = round(accumulator, rotary_shift);
                }
            }
        }
        recorder.record(&format!("{name}_rotated"), &output);
        recorder.record(&format!("{name}_rotated.remainder"), &remainders);
        output
    }

    /// Causal softmax of the scores and the weighted mean of values, shape [rows, heads, head_dim].
    fn mix(&self, start: usize, query: &[i32], cache: &KeysAndValues, recorder: &mut Recorder) -> Vec<i32> {
        let shape = &self.description.shape;
        let (dim, kv_heads, group) = (shape.head_dim, shape.kv_heads, shape.group);
        let heads = kv_heads * group;
        let rows = query.len() / (heads * dim);
        let keys = start + rows;
        let mut mean = vec![0; query.len()];
        let mut mean_remainder = vec![0; query.len()];
        let mut softmax = Softmax::default();
        for head in 0..heads {
            let kv_head = head / group;
            for row in 0..rows {
                let query = &query[(row * heads + head) * dim..][..dim];
                // Future scores are part of the statement, behind its mask; generation has no need of them.
                let visible = start + row + 1;
                let count = if recorder.is_on() { keys } else { visible };
                let scores = (0..count).map(|key| {
                    let key = &cache.keys[(key * kv_heads + kv_head) * dim..][..dim];
                    round(i64::from(dot(query, key)), self.description.attention.score_shift)
                });
                let weights = softmax.row(self, scores, visible);
                let place = (row * heads + head) * dim;
                for channel in 0..dim {
                    let sum: i64 = weights
                        .iter()
                        .enumerate()
                        .map(|(key, &weight)| {
                            i64::from(weight) * i64::from(cache.values[(key * kv_heads + kv_head) * dim + channel])
                        })
                        .sum();
                    (mean[place + channel], mean_remainder[place + channel]) = round(sum, PROBABILITY_BITS);
                }
                if !recorder.is_on() {
                    softmax = Softmax::default();
                }
            }
        }
        softmax.record(recorder);
        recorder.record("attention_mean", &mean);
        recorder.record("attention_mean.remainder", &mean_remainder);
        mean
    }
}

/// Softmax rows of one layer, in the order of the statement: kv head, group, position, key position.
#[derive(Default)]
struct Softmax {
    score: Vec<i32>,
    remainder: Vec<i32>,
    maximum: Vec<i32>,
    is_maximum: Vec<i32>,
    numerator: Vec<i32>,
    denominator: Vec<i32>,
    denominator_low: Vec<i32>,
    log_denominator: Vec<i32>,
    probability: Vec<i32>,
    total: Vec<i32>,
}

impl Softmax {
    /// Append one row and return its weights; those from `visible` on are zero.
    fn row(&mut self, model: &IntegerModel, scores: impl Iterator<Item = (i32, i32)>, visible: usize) -> &[i32] {
        let first = self.score.len();
        for (score, remainder) in scores {
            self.score.push(score);
            self.remainder.push(remainder);
        }
        let scores = &self.score[first..];
        let count = scores.len();
        let maximum = *scores[..visible].iter().max().expect("a position sees itself");
        let place = scores.iter().position(|&score| score == maximum).expect("the maximum is one of them");
        self.is_maximum.extend((0..count).map(|key| i32::from(key == place)));
        let exponential = |moved: i32, key: usize| {
            if key < visible { model.exponential[(maximum - scores[key] + moved) as usize] } else { 0 }
        };
        self.numerator.extend((0..count).map(|key| exponential(0, key)));
        let sum: i32 = self.numerator[first..].iter().sum();
        let shift = denominator_shift(model.description.shape.positions);
        let log_denominator = model.logarithm[(sum >> shift) as usize];
        self.probability.extend((0..count).map(|key| exponential(log_denominator, key)));
        self.total.push(self.probability[first..].iter().sum());
        self.maximum.push(maximum);
        self.denominator.push(sum >> shift);
        self.denominator_low.push(sum & ((1 << shift) - 1));
        self.log_denominator.push(log_denominator);
        &self.probability[first..]
    }

    fn record(self, recorder: &mut Recorder) {
        recorder.record("score", &self.score);
        recorder.record("score.remainder", &self.remainder);
        recorder.record("maximum", &self.maximum);
        recorder.record("is_maximum", &self.is_maximum);
        recorder.record("numerator", &self.numerator);
        recorder.record("denominator", &self.denominator);
        recorder.record("denominator.low", &self.denominator_low);
        recorder.record("log_denominator", &self.log_denominator);
        recorder.record("probability", &self.probability);
        recorder.record("total_probability", &self.total);
    }
}
