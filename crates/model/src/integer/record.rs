//! Collects the witness tensors while the engine runs; off during generation.

use super::Witness;

/// Appends what each layer computes of each entry to the tensor of its name.
pub(super) struct Recorder {
    tensors: Option<Witness>,
    /// Roundings that were clamped, and all of them.
    clamped: [usize; 2],
}

impl Recorder {
    pub(super) fn on() -> Self {
        Self { tensors: Some(Witness::new()), clamped: [0; 2] }
    }

    pub(super) fn off() -> Self {
        Self { tensors: None, clamped: [0; 2] }
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
    pub(super) fn record_limbs(&mut self, name: &str, values: &[i32], low_bits: u32) {
        if self.is_on() {
            let mask = (1 << low_bits) - 1;
            let low: Vec<i32> = values.iter().map(|value| value & mask).collect();
            self.record(&format!("{name}.low"), &low);
            let high: Vec<i32> = values.iter().map(|value| value >> low_bits).collect();
            self.record(&format!("{name}.high"), &high);
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

    pub(super) fn finish(self) -> Witness {
        self.tensors.unwrap_or_default()
    }
}
