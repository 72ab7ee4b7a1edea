//! Products of weights for the integers that a proof is about.

use obelysk_prover::DeviceError;

use crate::device::Buffer;
use crate::kernels::Kernels;
use crate::view::Entries;

/// Threads that share sums: `LANES` in `native/linear.cu`.
const LANES: usize = 32;
/// Sums of such a group: `CHANNELS` and `ROWS` in `native/linear.cu`.
const TILE: (usize, usize) = (4, 8);

impl Kernels {
    /// `input [rows, width]` times the transpose of the matrix `[channels, width]` that begins at entry `first` of a weight: products of
    /// shape [rows, channels], modulo 2^32.
    ///
    /// # Errors
    /// [`DeviceError`].
    ///
    /// # Panics
    /// If the matrix is not inside of the weight, the input has no whole rows, or the weight is a rule.
    pub fn project(
        &self,
        weight: &Entries,
        first: usize,
        [channels, width]: [usize; 2],
        input: &Buffer<i32>,
    ) -> Result<Buffer<i32>, DeviceError> {
        let rows = input.len() / width;
        assert_eq!(rows * width, input.len(), "rows are whole");
        let items = rows.div_ceil(TILE.1) * channels.div_ceil(TILE.0) * LANES;
        let mut products = self.device.allocate(rows * channels)?;
        let (rows, columns, end) = (rows as u64, width as u64, first + channels * width);
        let (start, outputs) = (first as u64, channels as u64);
        let (kernel, address, len) = match weight {
            Entries::Narrow(weight) => (&self.project_narrow, weight.address(), weight.of(&self.device).len()),
            Entries::Wide(weight) => (&self.project_wide, weight.address(), weight.of(&self.device).len()),
            Entries::OneHot { .. } => panic!("a weight has entries of its own"),
        };
        assert!(end <= len, "a matrix is inside of its weight");
        let mut arguments = self.launch(kernel);
        arguments.arg(&address);
        arguments.arg(&start).arg(self.given(input)).arg(&rows).arg(&outputs).arg(&columns);
        arguments.arg(self.given_mut(&mut products));
        // SAFETY: both are `(const Weight*, uint64_t, const int32_t*, uint64_t, uint64_t, uint64_t, int32_t*)` and read `channels * width`
        // entries from the first on, and `rows * width` of the input; there is a place for every product.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(kernel, items, &mut arguments)?;
        }
        Ok(products)
    }
}
