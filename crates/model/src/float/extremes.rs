//! Largest magnitudes of what the engine computes, for the quantiser's formats.

use std::collections::BTreeMap;

/// Extremes by the name of the integer engine's tensor; off unless the quantiser asks.
#[derive(Clone, Debug)]
pub(crate) struct Extremes {
    on: bool,
    largest: BTreeMap<&'static str, f32>,
    /// Largest magnitude of each channel of the residual stream.
    stream: Vec<f32>,
    /// Queries and keys of each layer.
    heads: Vec<[Channels; 2]>,
    /// The residual stream before each block, if somebody asked for it.
    streams: Option<Vec<Vec<f32>>>,
}

/// Sizes of each channel of vectors.
#[derive(Clone, Debug)]
pub(crate) struct Channels {
    /// Largest magnitude.
    pub(crate) largest: Vec<f64>,
    /// Sum of squares.
    pub(crate) squares: Vec<f64>,
}

impl Channels {
    /// Of a single vector.
    pub(crate) fn of(vector: &[f64]) -> Self {
        Self {
            largest: vector.iter().map(|entry| entry.abs()).collect(),
            squares: vector.iter().map(|entry| entry * entry).collect(),
        }
    }

    fn see(&mut self, vectors: &[f32]) {
        for vector in vectors.chunks_exact(self.largest.len()) {
            for ((&entry, largest), squares) in vector.iter().zip(&mut self.largest).zip(&mut self.squares) {
                let entry = f64::from(entry);
                *largest = largest.max(entry.abs());
                *squares += entry * entry;
            }
        }
    }

    /// The largest magnitude when each channel is multiplied by a factor.
    pub(crate) fn largest_times(&self, factors: &[f64]) -> f64 {
        self.largest.iter().zip(factors).map(|(largest, factor)| largest * factor).fold(0.0, f64::max)
    }
}

impl Extremes {
    pub(crate) fn on() -> Self {
        Self { on: true, largest: BTreeMap::new(), stream: Vec::new(), heads: Vec::new(), streams: None }
    }

    pub(crate) fn off() -> Self {
        Self { on: false, ..Self::on() }
    }

    /// Keep the residual stream before each block, and nothing else.
    pub(super) fn of_streams() -> Self {
        Self { streams: Some(Vec::new()), ..Self::off() }
    }

    pub(super) fn into_streams(self) -> Vec<Vec<f32>> {
        self.streams.unwrap_or_default()
    }

    pub(super) fn see(&mut self, name: &'static str, values: &[f32]) {
        if self.on {
            let largest = self.largest.entry(name).or_default();
            *largest = values.iter().fold(*largest, |largest, value| largest.max(value.abs()));
        }
    }

    /// See vectors of the residual stream, as wide as `width`.
    pub(super) fn see_stream(&mut self, values: &[f32], width: usize) {
        if let Some(streams) = &mut self.streams {
            streams.push(values.to_vec());
        }
        if self.on {
            self.stream.resize(width, 0.0);
            for vector in values.chunks_exact(width) {
                vector.iter().zip(&mut self.stream).for_each(|(entry, largest)| *largest = largest.max(entry.abs()));
            }
        }
    }

    /// What follows is of the next layer, whose queries and keys are as wide as `widths`.
    pub(super) fn begin_layer(&mut self, widths: [usize; 2]) {
        self.heads.push(widths.map(|width| Channels::of(&vec![0.0; width])));
    }

    /// See queries and keys before their norm or rotation.
    pub(super) fn see_heads(&mut self, query: &[f32], key: &[f32]) {
        self.see("query", query);
        self.see("key", key);
        if let Some([queries, keys]) = self.heads.last_mut() {
            queries.see(query);
            keys.see(key);
        }
    }

    /// Largest magnitude of a tensor, zero if nothing of it was seen.
    pub(crate) fn largest(&self, name: &str) -> f64 {
        self.largest.get(name).copied().map_or(0.0, f64::from)
    }

    /// Largest magnitude of each channel of the residual stream.
    pub(crate) fn stream(&self) -> impl Iterator<Item = f64> + '_ {
        self.stream.iter().copied().map(f64::from)
    }

    /// Queries and keys of each layer.
    pub(crate) fn heads(&self) -> &[[Channels; 2]] {
        &self.heads
    }
}
