//! Causal attention with shared key heads, over all positions or over a window of the last ones.

use super::linear::dot;
use super::{Decoder, Extremes, Layer};

/// Turned keys and values of one layer, shape [positions, kv heads, head_dim].
#[derive(Clone, Default)]
pub(super) struct KeysAndValues {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Decoder {
    /// The attention branch of `normed`, shape [rows, hidden]; `start` positions are in the cache.
    pub(super) fn attention(
        &self,
        layer: &Layer,
        start: usize,
        cache: &mut KeysAndValues,
        normed: &[f32],
        extremes: &mut Extremes,
    ) -> Vec<f32> {
        let (dim, heads, kv_heads) = (self.config.head_dim, self.config.heads, self.config.kv_heads);
        let mut query = layer.query.apply(normed);
        let mut key = layer.key.apply(normed);
        let value = layer.value.apply(normed);
        extremes.see_heads(&query, &key);
        extremes.see("value", &value);
        if let Some([query_norm, key_norm]) = &layer.head_norms {
            query = query_norm.apply(&query);
            key = key_norm.apply(&key);
        }
        for (index, head) in query.chunks_exact_mut(dim).enumerate() {
            self.rotary.turn(head, start + index / heads);
        }
        for (index, head) in key.chunks_exact_mut(dim).enumerate() {
            self.rotary.turn(head, start + index / kv_heads);
        }
        cache.keys.extend(key);
        cache.values.extend(value);

        let scale = self.config.score_scale as f32;
        let cap = self.config.score_cap.map(|cap| cap as f32);
        let mut mixed = vec![0.0; query.len()];
        for (index, (query, mixed)) in query.chunks_exact(dim).zip(mixed.chunks_exact_mut(dim)).enumerate() {
            let (row, kv_head) = (index / heads, index % heads / (heads / kv_heads));
            let place = |position: usize| (position * kv_heads + kv_head) * dim;
            let end = start + row + 1;
            let first = layer.window.map_or(0, |window| end.saturating_sub(window));
            let mut scores: Vec<f32> =
                (first..end).map(|position| dot(query, &cache.keys[place(position)..][..dim]) * scale).collect();
            extremes.see("score", &scores);
            if let Some(cap) = cap {
                scores.iter_mut().for_each(|score| *score = cap * libm::tanhf(*score / cap));
            }
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weights: Vec<f32> = scores.iter().map(|score| libm::expf(score - largest)).collect();
            let total: f32 = weights.iter().sum();
            for (position, weight) in (first..end).zip(&weights) {
                for (sum, value) in mixed.iter_mut().zip(&cache.values[place(position)..][..dim]) {
                    *sum += weight / total * value;
                }
            }
        }
        layer.output.apply(&mixed)
    }
}
