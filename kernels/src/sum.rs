//! Sums of what blocks or threads have summed in part.

use obelysk_prover::DeviceError;
use obelysk_statement::Challenge;

use crate::device::Buffer;
use crate::extension::Extension;
use crate::kernels::{Kernel, Kernels, THREADS};

/// Rows from which on a block sums one column.
const LONG: usize = 32;

/// Elements of a buffer, from one on and each so far behind the one before.
pub struct Places<'a> {
    /// The buffer.
    pub elements: &'a mut Buffer<Extension>,
    /// The first place.
    pub first: usize,
    /// From a place to the next.
    pub stride: usize,
}

impl Places<'_> {
    /// The first elements.
    pub fn start_of(elements: &mut Buffer<Extension>) -> Places<'_> {
        Places { elements, first: 0, stride: 1 }
    }

    /// Whether there are so many places.
    pub(crate) fn hold(&self, count: usize) -> bool {
        self.first + (count - 1) * self.stride < self.elements.len()
    }
}

impl Kernels {
    /// Sum rows of `outputs` elements each.
    ///
    /// # Errors
    /// [`DeviceError`].
    ///
    /// # Panics
    /// If the last row is not complete, or a sum has no place.
    pub fn sum_columns(&self, rows: &Buffer<Extension>, outputs: usize, sums: Places) -> Result<(), DeviceError> {
        let count = rows.len() / outputs;
        assert!(count * outputs == rows.len() && sums.hold(outputs), "rows are whole, and every sum has its place");
        let (kernel, items) = if count < LONG {
            (&self.sum_short_columns, outputs)
        } else {
            (&self.sum_long_columns, outputs * THREADS as usize)
        };
        let (first, stride) = (sums.first as u64, sums.stride as u64);
        let (outputs, count) = (outputs as u64, count as u64);
        let mut arguments = self.launch(kernel);
        arguments.arg(self.given(rows)).arg(&outputs).arg(&count).arg(self.given_mut(sums.elements));
        arguments.arg(&first).arg(&stride);
        // SAFETY: both are `(const Extension*, uint64_t, uint64_t, Extension*, uint64_t, uint64_t)` and read `outputs * count` elements.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(kernel, items, &mut arguments)
        }
    }

    /// The sums of a round over so many items, of which every block of `kernel` gives `values`. `queue` launches it with the buffer for them.
    pub(crate) fn round(
        &self,
        kernel: &Kernel,
        items: usize,
        values: usize,
        queue: impl FnOnce(&mut Buffer<Extension>) -> Result<(), DeviceError>,
    ) -> Result<Vec<Challenge>, DeviceError> {
        let mut parts = self.device.allocate(kernel.blocks(items) * values)?;
        queue(&mut parts)?;
        let mut sums = self.device.allocate(values)?;
        self.sum_columns(&parts, values, Places::start_of(&mut sums))?;
        self.device.challenges(&sums)
    }
}
