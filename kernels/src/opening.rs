//! Rounds of openings.

use obelysk_prover::DeviceError;
use obelysk_statement::words::word;
use obelysk_statement::{Challenge, Value};

use crate::device::Buffer;
use crate::extension::{Extension, extensions};
use crate::kernels::Kernels;

impl Kernels {
    /// A round of an inner product: the constant coefficient and that of the square.
    pub(crate) fn inner_product_round(
        &self,
        left: &Buffer<Extension>,
        right: &Buffer<Extension>,
    ) -> Result<[Challenge; 2], DeviceError> {
        let half = left.len() / 2;
        assert!(2 * half == left.len() && left.len() == right.len(), "both sides have the same variables");
        let kernel = &self.inner_product_round;
        let sums = self.round(kernel, half, 2, |sums| {
            let count = half as u64;
            let mut arguments = self.launch(kernel);
            arguments.arg(self.given(left)).arg(self.given(right)).arg(&count).arg(self.given_mut(sums));
            // SAFETY: `inner_product_round(const Extension*, const Extension*, uint64_t, Extension*)` reads twice `count` elements of both and
            // writes two sums for each block.
            #[allow(unsafe_code)]
            unsafe {
                self.queue(kernel, half, &mut arguments)
            }
        })?;
        Ok([sums[0], sums[1]])
    }

    /// Add `factor` times a table to elements from `first` on.
    pub(crate) fn add_scaled(
        &self,
        target: &mut Buffer<Extension>,
        first: usize,
        factor: Challenge,
        table: &Buffer<Extension>,
    ) -> Result<(), DeviceError> {
        let items = table.len();
        assert!(first + items <= target.len(), "the table lies in the target");
        let (first, count, factor) = (first as u64, items as u64, Extension::from(factor));
        let mut arguments = self.launch(&self.add_scaled);
        arguments.arg(self.given_mut(target)).arg(&first).arg(&count).arg(&factor).arg(self.given(table));
        // SAFETY: `add_scaled(Extension*, uint64_t, uint64_t, Extension, const Extension*)` touches `count` elements of each.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.add_scaled, items, &mut arguments)
        }
    }

    /// Add the weights of queried rows, given by their coordinates, each by its factor.
    pub(crate) fn weigh_rows(
        &self,
        weights: &mut Buffer<Extension>,
        rows: &[Vec<Value>],
        factors: &[Challenge],
    ) -> Result<(), DeviceError> {
        assert!(rows.len() == factors.len(), "every row has its factor");
        assert!(rows.iter().all(|row| 1 << row.len() == weights.len()), "an index has a bit for every coordinate");
        let variables = rows[0].len();
        let inner_bits = variables / 2;
        let (outer, inner): (Vec<&[Value]>, Vec<&[Value]>) =
            rows.iter().map(|row| row.split_at(variables - inner_bits)).unzip();
        let (outer, inner) = (self.coordinate_products(&outer)?, self.coordinate_products(&inner)?);
        let factors = self.device.upload(&extensions(factors))?;
        let items = weights.len();
        let (count, row_count, inner_bits) = (items as u64, rows.len() as u64, inner_bits as u32);
        let mut arguments = self.launch(&self.weigh_rows);
        arguments.arg(self.given_mut(weights)).arg(&count).arg(self.given(&factors)).arg(&row_count);
        arguments.arg(self.given(&outer)).arg(self.given(&inner)).arg(&inner_bits);
        // SAFETY: `weigh_rows(Extension*, uint64_t, const Extension*, uint64_t, const uint32_t*, const uint32_t*, uint32_t)` touches all weights
        // and reads a product of each half of an index for every row.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.weigh_rows, items, &mut arguments)
        }
    }

    /// The products of coordinates at which an index has a one: a table for every point, all of as many coordinates.
    fn coordinate_products(&self, points: &[&[Value]]) -> Result<Buffer<u32>, DeviceError> {
        let variables = points[0].len();
        let items = points.len() << variables;
        // A point without coordinates has one product, of nothing, and a buffer is not empty.
        let mut words: Vec<u32> = points.iter().flat_map(|point| point.iter().map(|&value| word(value))).collect();
        words.push(0);
        let (coordinates, mut products) = (self.device.upload(&words)?, self.device.allocate(items)?);
        let (count, bits) = (points.len() as u64, variables as u32);
        let mut arguments = self.launch(&self.coordinate_products);
        arguments.arg(self.given(&coordinates)).arg(&count).arg(&bits).arg(self.given_mut(&mut products));
        // SAFETY: `coordinate_products(const uint32_t*, uint64_t, uint32_t, uint32_t*)` reads the coordinates of `count` points and writes a table
        // for each.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.coordinate_products, items, &mut arguments)?;
        }
        Ok(products)
    }
}
