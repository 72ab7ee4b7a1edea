//! Collects the witness tensors while the engine runs; off during generation.

use obelysk_statement::compile::{LIMB_BITS, RANGE_BITS};

use obelysk_witness::Assignment;

use super::linear::two_limbs;

/// Appends what each layer computes of each entry to the tensor of its name.
pub(super) struct Recorder {
    tensors: Option<Assignment>,
    /// Roundings that were clamped, and all of them.
    clamped: [usize; 2],
    /// The residual stream before each block, if somebody asked for it.
    streams: Option<Vec<Vec<i32>>>,
}

impl Recorder {
    pub(super) fn on() -> Self {
        Self { tensors: Some(Assignment::new()), ..Self::off() }
    }

    pub(super) fn off() -> Self {
        Self { tensors: None, clamped: [0; 2], streams: None }
    }

    /// Keep the residual stream before each block, and nothing else.
    pub(super) fn of_streams() -> Self {
        Self { streams: Some(Vec::new()), ..Self::off() }
    }

    pub(super) fn see_stream(&mut self, stream: &[i32]) {
        if let Some(streams) = &mut self.streams {
            streams.push(stream.to_vec());
        }
    }

    pub(super) fn into_streams(self) -> Vec<Vec<i32>> {
        self.streams.unwrap_or_default()
    }

    pub(super) fn is_on(&self) -> bool {
        self.tensors.is_some()
    }

    /// The layer axis leads every stacked tensor and the entry axis follows, so layers append in order, and entries in each.
    pub(super) fn record(&mut self, name: &str, values: &[i32]) {
        if let Some(tensors) = &mut self.tensors {
            match tensors.get_mut(name) {
                Some(tensor) => tensor.extend_from_slice(values),
                None => drop(tensors.insert(name.to_owned(), values.to_vec())),
            }
        }
    }

    /// Record `2^low_bits high + low`, the low limb not negative.
    pub(super) fn record_limbs<T: Copy + Into<i64>>(&mut self, name: &str, values: &[T], low_bits: u32) {
        if self.is_on() {
            let [low, high] = two_limbs(values, low_bits);
            self.record(&format!("{name}.low"), &low);
            self.record(&format!("{name}.high"), &high);
        }
    }

    /// Record numbers of `bits` bits, in limbs where they are wider than a range check.
    pub(super) fn record_wide<T: Copy + Into<i64>>(&mut self, name: &str, values: &[T], bits: u32) {
        if bits > RANGE_BITS {
            self.record_limbs(name, values, LIMB_BITS);
        } else if self.is_on() {
            let values: Vec<i32> = values.iter().map(|&value| value.into() as i32).collect();
            self.record(name, &values);
        }
    }

    /// Count roundings and those of them that were clamped, on or off.
    pub(super) fn count(&mut self, clamped: usize, all: usize) {
        self.clamped[0] += clamped;
        self.clamped[1] += all;
    }

    /// Share of the roundings so far that were clamped.
    pub(super) fn saturation_rate(&self) -> f64 {
        self.clamped[0] as f64 / self.clamped[1].max(1) as f64
    }

    pub(super) fn finish(self) -> Assignment {
        self.tensors.unwrap_or_default()
    }
}
