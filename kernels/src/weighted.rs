//! Sums of a tensor's entries by weights.

use obelysk_prover::DeviceError;

use crate::device::Buffer;
use crate::extension::Extension;
use crate::kernels::Kernels;
use crate::sum::Places;
use crate::view::View;

/// Threads that keep a device busy.
const ITEMS: usize = 1 << 17;
/// Binary logarithm of the entries that a thread sums at least.
const LEAST: usize = 6;

/// Binary logarithm of the entries that a thread sums.
fn chunk(outputs: usize, summed: usize) -> usize {
    (0..=summed)
        .rev()
        .find(|&part| part <= LEAST || outputs << (summed - part) >= ITEMS)
        .expect("a chunk may be one entry")
}

/// Sums in part, of which there are none where a thread makes a whole sum.
pub(crate) fn parts(outputs: usize, summed: usize) -> usize {
    let part = chunk(outputs, summed);
    if part == summed { 0 } else { outputs << (summed - part) }
}

impl Kernels {
    /// For each of `outputs` indices the sum over all further `summed` bits of weight times entry.
    ///
    /// # Errors
    /// [`DeviceError`].
    ///
    /// # Panics
    /// If an entry has no weight, or a sum no place.
    pub fn weighted_sums(
        &self,
        view: &View,
        weights: &Buffer<Extension>,
        summed: usize,
        outputs: usize,
        sums: Places,
    ) -> Result<(), DeviceError> {
        assert!(
            weights.len() >= 1 << summed && sums.hold(outputs),
            "every entry has its weight, and every sum its place"
        );
        let part = chunk(outputs, summed);
        if part == summed {
            return self.weighted_parts(view, weights, summed, part, outputs, sums);
        }
        let mut parts = self.device.allocate(parts(outputs, summed))?;
        self.weighted_parts(view, weights, summed, part, outputs, Places::start_of(&mut parts))?;
        self.sum_columns(&parts, outputs, sums)
    }

    fn weighted_parts(
        &self,
        view: &View,
        weights: &Buffer<Extension>,
        summed: usize,
        part: usize,
        outputs: usize,
        sums: Places,
    ) -> Result<(), DeviceError> {
        let items = outputs << (summed - part);
        let (summed, part, outputs) = (summed as u32, part as u32, outputs as u64);
        let (first, stride) = (sums.first as u64, sums.stride as u64);
        let mut arguments = self.launch(&self.weighted_sums);
        arguments.arg(view).arg(self.given(weights)).arg(&summed).arg(&part).arg(&outputs);
        arguments.arg(self.given_mut(sums.elements)).arg(&first).arg(&stride);
        // SAFETY: `weighted_sums(View, const Extension*, uint32_t, uint32_t, uint64_t, Extension*, uint64_t, uint64_t)` reads entries of the
        // view, whose indices all lead to one, and `2^summed` weights; there are as many, and a place for every sum.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.weighted_sums, items, &mut arguments)
        }
    }
}
