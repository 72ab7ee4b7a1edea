//! A GPU that multiplies by a model's weights for the integer engine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use obelysk_kernels::ResidentWeights;
use obelysk_model::integer::{Matrix, Multiplier};
use obelysk_prover::DeviceError;

use crate::device::OpenGpu;

/// Products of weights that lie in a GPU's memory. After its first fault it answers zeros.
pub(super) struct GpuProducts<'a> {
    gpu: &'a OpenGpu,
    weights: &'a ResidentWeights,
    fault: OnceLock<DeviceError>,
}

/// What an engine computes by a GPU's products, unless the GPU gives up meanwhile. The engine asserts bounds that hold of any input, so an
/// assertion that fails is the GPU's fault.
pub(super) fn by_products<T>(
    gpu: &OpenGpu,
    weights: &ResidentWeights,
    compute: impl FnOnce(&GpuProducts) -> T,
) -> Result<T, DeviceError> {
    let products = GpuProducts { gpu, weights, fault: OnceLock::new() };
    let computed = catch_unwind(AssertUnwindSafe(|| compute(&products)));
    if let Some(fault) = products.fault.into_inner() {
        return Err(fault);
    }
    let reason = "its products are outside of the model's bounds".into();
    computed.map_err(|_| DeviceError::Lost { device: gpu.name.name.clone(), reason })
}

impl Multiplier for GpuProducts<'_> {
    fn project(&self, input: &[i32], matrix: Matrix) -> Vec<i32> {
        let Matrix { weight, first, channels, width } = matrix;
        let products = match self.fault.get() {
            None => self.gpu.cuda.project(self.weights, (weight, first), [channels, width], input),
            Some(fault) => Err(fault.clone()),
        };
        products.unwrap_or_else(|fault| {
            self.fault.get_or_init(|| fault);
            vec![0; input.len() / width * channels]
        })
    }

    fn fault(&self) -> Option<String> {
        self.fault.get().map(DeviceError::to_string)
    }
}
