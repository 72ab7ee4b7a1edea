//! Largest magnitudes of what the engine computes, for the quantiser's formats.

use std::collections::BTreeMap;

/// Extremes by the name of the integer engine's tensor; off unless the quantiser asks.
#[derive(Clone, Debug)]
pub(crate) struct Extremes {
    on: bool,
    largest: BTreeMap<&'static str, f32>,
    smallest_stream: f32,
    /// Root mean squares of what output projections of feed-forward blocks read, one of each layer and position.
    hidden_means: Vec<f32>,
    /// The residual stream before each block, if somebody asked for it.
    streams: Option<Vec<Vec<f32>>>,
}

impl Extremes {
    pub(crate) fn on() -> Self {
        Self {
            on: true,
            largest: BTreeMap::new(),
            smallest_stream: f32::INFINITY,
            hidden_means: Vec::new(),
            streams: None,
        }
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
            let means = root_means(values, width).filter(|&mean| mean > 0.0);
            self.smallest_stream = means.fold(self.smallest_stream, f32::min);
        }
    }

    /// See what the output projection of a feed-forward block reads, vectors as wide as `width`.
    pub(super) fn see_hidden(&mut self, values: &[f32], width: usize) {
        if self.on {
            self.see("feed_forward_hidden", values);
            self.hidden_means.extend(root_means(values, width));
        }
    }

    /// Largest magnitude of a tensor, zero if nothing of it was seen.
    pub(crate) fn largest(&self, name: &str) -> f64 {
        self.largest.get(name).copied().map_or(0.0, f64::from)
    }

    /// A root mean square that nine in ten vectors inside of feed-forward blocks exceed.
    pub(crate) fn small_hidden(&self) -> f64 {
        let mut means = self.hidden_means.clone();
        means.sort_by(f32::total_cmp);
        means.get(means.len() / 10).copied().map_or(0.0, f64::from)
    }

    /// Smallest root mean square of a vector of the residual stream that is not zero.
    pub(crate) fn smallest_stream(&self) -> f64 {
        f64::from(self.smallest_stream)
    }
}

fn root_means(values: &[f32], width: usize) -> impl Iterator<Item = f32> {
    values.chunks_exact(width).map(move |row| (row.iter().map(|x| x * x).sum::<f32>() / width as f32).sqrt())
}
