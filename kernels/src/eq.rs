//! Tables of eq and of other products.

use obelysk_prover::DeviceError;
use obelysk_statement::Challenge;
use obelysk_statement::eq::eq_table;

use crate::device::Buffer;
use crate::extension::{Extension, extensions};
use crate::kernels::Kernels;
use crate::sum::Places;

/// A table of eq, as a product of two: that of the first coordinates and that of the others.
pub(crate) struct EqFactors {
    pub(crate) high: Buffer<Extension>,
    pub(crate) low: Buffer<Extension>,
}

impl Kernels {
    /// `eq` of a point's halves. Each has a square root of the entries of the table, and is made where the challenges are.
    pub(crate) fn eq_factors(&self, point: &[Challenge]) -> Result<EqFactors, DeviceError> {
        let (high, low) = point.split_at(point.len() / 2);
        let [high, low] = [high, low].map(|half| self.device.upload(&extensions(&eq_table(half))));
        Ok(EqFactors { high: high?, low: low? })
    }

    /// All values of `eq(point, .)`.
    pub(crate) fn eq_table(&self, point: &[Challenge]) -> Result<Buffer<Extension>, DeviceError> {
        let EqFactors { high, low } = self.eq_factors(point)?;
        let mut table = self.device.allocate(1 << point.len())?;
        self.outer_product(&high, &low, low.len(), Places::start_of(&mut table))?;
        Ok(table)
    }

    /// Products of all elements of `high` with all of `low`, which is followed by zeros up to `low_count`.
    pub(crate) fn outer_product(
        &self,
        high: &Buffer<Extension>,
        low: &Buffer<Extension>,
        low_count: usize,
        products: Places,
    ) -> Result<(), DeviceError> {
        let items = high.len() * low_count;
        assert!(products.hold(items), "every product has its place");
        let (first, stride) = (products.first as u64, products.stride as u64);
        let (low_count, low_size, count) = (low_count as u64, low.len() as u64, items as u64);
        let mut arguments = self.launch(&self.outer_product);
        arguments.arg(self.given(high)).arg(self.given(low)).arg(&low_count).arg(&low_size).arg(&count);
        arguments.arg(self.given_mut(products.elements)).arg(&first).arg(&stride);
        // SAFETY: `outer_product(const Extension*, const Extension*, uint64_t, uint64_t, uint64_t, Extension*, uint64_t, uint64_t)` reads
        // `low_size` elements of the second and a `low_count`-th of `count` elements of the first.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.outer_product, items, &mut arguments)
        }
    }

    /// Forget the most significant variable of a table of eq.
    pub(crate) fn halve_table(&self, table: &mut Buffer<Extension>) -> Result<(), DeviceError> {
        let half = table.len() / 2;
        let count = half as u64;
        let mut arguments = self.launch(&self.halve_table);
        arguments.arg(self.given_mut(table)).arg(&count);
        // SAFETY: `halve_table(Extension*, uint64_t)` touches twice `count` elements.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.halve_table, half, &mut arguments)?;
        }
        table.truncate(half);
        Ok(())
    }
}
