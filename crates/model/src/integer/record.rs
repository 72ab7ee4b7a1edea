//! Collects the witness tensors while the engine runs; off during generation.

use super::Witness;

/// Appends what each layer computes to the tensor of its name.
pub(super) struct Recorder {
    tensors: Option<Witness>,
}

impl Recorder {
    pub(super) fn on() -> Self {
        Self { tensors: Some(Witness::new()) }
    }

    pub(super) fn off() -> Self {
        Self { tensors: None }
    }

    pub(super) fn is_on(&self) -> bool {
        self.tensors.is_some()
    }

    /// The layer axis leads every stacked tensor, so layers append in order.
    pub(super) fn record(&mut self, name: &str, values: &[i32]) {
        if let Some(tensors) = &mut self.tensors {
            match tensors.get_mut(name) {
                Some(tensor) => tensor.extend_from_slice(values),
                None => drop(tensors.insert(name.to_owned(), values.to_vec())),
            }
        }
    }

    pub(super) fn finish(self) -> Witness {
        self.tensors.unwrap_or_default()
    }
}
