//! Largest magnitudes of what the engine computes, for the quantiser's formats.

use std::collections::BTreeMap;

/// Extremes by the name of the integer engine's tensor; off unless the quantiser asks.
#[derive(Clone, Debug)]
pub(crate) struct Extremes {
    on: bool,
    largest: BTreeMap<&'static str, f32>,
}

impl Extremes {
    pub(crate) fn on() -> Self {
        Self { on: true, largest: BTreeMap::new() }
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

    /// Largest magnitude of a tensor, zero if nothing of it was seen.
    pub(crate) fn largest(&self, name: &str) -> f64 {
        self.largest.get(name).copied().map_or(0.0, f64::from)
    }
}
