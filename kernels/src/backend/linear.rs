//! Products of a model's weights for the processor, which computes all else of the integers that a proof is about.

use obelysk_prover::DeviceError;

use super::Cuda;
use super::model::ResidentWeights;

impl Cuda {
    /// `input [rows, width]` times the transpose of the matrix `[channels, width]` that begins at entry `first` of a weight: products of
    /// shape [rows, channels], modulo 2^32.
    ///
    /// # Errors
    /// [`DeviceError`].
    ///
    /// # Panics
    /// If the matrix is not inside of the weight, or the input has no whole rows.
    pub fn project(
        &self,
        weights: &ResidentWeights,
        (name, first): (&str, usize),
        matrix: [usize; 2],
        input: &[i32],
    ) -> Result<Vec<i32>, DeviceError> {
        let (place, entries) = weights.held(name).nearest(0);
        let kernels = &self.devices.all()[place];
        let products = kernels.project(entries, first, matrix, &kernels.device.upload(input)?)?;
        kernels.device.download(&products)
    }
}
