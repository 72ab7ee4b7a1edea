//! Sums of entries by `eq` of a point, made on the device that has the entries and brought to the one that asks: the sums are fewer.

use obelysk_prover::DeviceError;
use obelysk_statement::Challenge;
use p3_field::PrimeCharacteristicRing;

use super::devices::Devices;
use super::tensors::Located;
use crate::device::Buffer;
use crate::extension::Extension;
use crate::kernels::Kernels;
use crate::sum::Places;

/// A table of `eq` on the devices that need it.
pub(super) struct EqTables<'a> {
    devices: &'a Devices,
    point: &'a [Challenge],
    tables: Vec<Option<Buffer<Extension>>>,
}

impl<'a> EqTables<'a> {
    pub(super) fn new(devices: &'a Devices, point: &'a [Challenge]) -> Self {
        Self { devices, point, tables: devices.all().iter().map(|_| None).collect() }
    }

    /// For each of `outputs` indices the sum over all further `summed` bits of weight times entry, on the device `at`.
    pub(super) fn sum(
        &mut self,
        at: usize,
        entries: &Located,
        summed: usize,
        outputs: usize,
        sums: Places,
    ) -> Result<(), DeviceError> {
        let kernels: &Kernels = &self.devices.all()[entries.device];
        let table = match &mut self.tables[entries.device] {
            Some(table) => table,
            none => none.insert(kernels.eq_table(self.point)?),
        };
        if entries.device == at {
            return kernels.weighted_sums(&entries.view, table, summed, outputs, sums);
        }
        let mut own = kernels.device.allocate(outputs)?;
        kernels.weighted_sums(&entries.view, table, summed, outputs, Places::start_of(&mut own))?;
        let kernels = &self.devices.all()[at];
        let own = kernels.device.bring(&own)?;
        let one = kernels.device.upload(&[Extension::from(Challenge::ONE)])?;
        kernels.outer_product(&own, &one, 1, sums)
    }
}

/// The same with all coordinates of a point summed out.
pub(super) fn weighted_sums(
    devices: &Devices,
    at: usize,
    entries: &Located,
    point: &[Challenge],
    outputs: usize,
    sums: Places,
) -> Result<(), DeviceError> {
    EqTables::new(devices, point).sum(at, entries, point.len(), outputs, sums)
}
