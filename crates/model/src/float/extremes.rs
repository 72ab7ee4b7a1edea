//! Largest magnitudes of what the engine computes, for the quantiser's formats.

use std::collections::BTreeMap;

/// Extremes by the name of the integer engine's tensor; off unless the quantiser asks.
#[derive(Clone, Debug)]
pub(crate) struct Extremes {
    on: bool,
    largest: BTreeMap<&'static str, f32>,
    smallest_stream: f32,
}

impl Extremes {
    pub(crate) fn on() -> Self {
        Self { on: true, largest: BTreeMap::new(), smallest_stream: f32::INFINITY }
    }

    pub(crate) fn off() -> Self {
        Self { on: false, ..Self::on() }
    }

    pub(super) fn see(&mut self, name: &'static str, values: &[f32]) {
        if self.on {
            let largest = self.largest.entry(name).or_default();
            *largest = values.iter().fold(*largest, |largest, value| largest.max(value.abs()));
        }
    }

    /// See vectors of the residual stream, as wide as `width`.
    pub(super) fn see_stream(&mut self, values: &[f32], width: usize) {
        if self.on {
            let mean = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>() / width as f32;
            let means = values.chunks_exact(width).map(|row| mean(row).sqrt()).filter(|&mean| mean > 0.0);
            self.smallest_stream = means.fold(self.smallest_stream, f32::min);
        }
    }

    /// Largest magnitude of a tensor, zero if nothing of it was seen.
    pub(crate) fn largest(&self, name: &str) -> f64 {
        self.largest.get(name).copied().map_or(0.0, f64::from)
    }

    /// Smallest root mean square of a vector of the residual stream that is not zero.
    pub(crate) fn smallest_stream(&self) -> f64 {
        f64::from(self.smallest_stream)
    }
}
