//! Values of a statement's tensors in a device's memory, and the ways in which relations read them.

use obelysk_prover::DeviceError;
use obelysk_statement::axis::{AxisId, AxisTile};
use obelysk_statement::layout::Tile;
use obelysk_statement::relation::{Access, Index};
use obelysk_statement::{PublicTensor, Statement, TensorId, TensorKind};
use obelysk_witness::Assignment;

use super::model::ResidentModel;
use crate::device::Device;
use crate::view::{Entries, Part, View};

/// Values of all tensors of a statement.
pub struct Tensors<'a> {
    pub(super) statement: &'a Statement,
    model: &'a ResidentModel,
    /// None for weights, which are the model's.
    values: Vec<Option<Entries>>,
}

impl<'a> Tensors<'a> {
    pub(super) fn new(
        device: &Device,
        statement: &'a Statement,
        model: &'a ResidentModel,
        mut witness: Assignment,
    ) -> Result<Self, DeviceError> {
        let mut values = Vec::with_capacity(statement.tensors.len());
        for (position, tensor) in statement.tensors.iter().enumerate() {
            let id = TensorId(u32::try_from(position).expect("few tensors"));
            values.push(match &tensor.kind {
                TensorKind::Weight => None,
                TensorKind::Witness => {
                    Some(Entries::Wide(device.upload(&witness.remove(&tensor.name).expect("values that fit"))?))
                }
                TensorKind::Public(PublicTensor::OneHot { columns, width, .. }) => {
                    Some(Entries::OneHot { columns: device.upload(columns)?, width: *width })
                }
                TensorKind::Public(public) => {
                    let shape = statement.shape(id);
                    let entry = |own| i32::try_from(own).expect("public entries have 32 bits");
                    Some(Entries::Wide(device.upload(&public.entries(&shape).map(entry).collect::<Vec<i32>>())?))
                }
            });
        }
        Ok(Self { statement, model, values })
    }

    pub(super) fn entries(&self, tensor: TensorId) -> &Entries {
        let own = self.values[tensor.0 as usize].as_ref();
        own.unwrap_or_else(|| self.model.entries(&self.statement.tensor(tensor).name))
    }

    /// An access along the bits of some axes: an axis that it lacks moves nothing, and there are zeros past the end of one that it has.
    pub(super) fn view(&self, device: &Device, access: &Access, axes: &[AxisId]) -> Result<View<'_>, DeviceError> {
        let (start, strides) = self.strides(access, axes);
        let part = |(&axis, stride): (&AxisId, usize)| {
            let axis_of = self.statement.axis(axis);
            let is_cut = access.index.contains(&Index::Axis(axis));
            // What the tensor holds past the end of an axis that is shorter is multiplied by zero.
            Part { size: if is_cut { axis_of.size } else { 1 << axis_of.bits() }, bits: axis_of.bits(), stride }
        };
        let parts: Vec<Part> = axes.iter().zip(strides).map(part).collect();
        View::new(device, self.entries(access.tensor), start, &parts)
    }

    /// An access along the bits of a tile of the box over `axes`.
    pub(super) fn view_of_box(
        &self,
        device: &Device,
        access: &Access,
        axes: &[AxisId],
        tile: &[AxisTile],
    ) -> Result<View<'_>, DeviceError> {
        let (mut start, strides) = self.strides(access, axes);
        let mut parts = Vec::with_capacity(tile.len());
        for (own, stride) in tile.iter().zip(strides) {
            start += own.offset * stride;
            parts.push(Part::whole(own.log_size, stride));
        }
        View::new(device, self.entries(access.tensor), start, &parts)
    }

    /// All `2^bits` entries of a tensor.
    pub(super) fn whole(&self, device: &Device, tensor: TensorId, bits: usize) -> Result<View<'_>, DeviceError> {
        View::new(device, self.entries(tensor), 0, &[Part::whole(bits, 1)])
    }

    /// Where an access begins, and how far each axis moves it.
    fn strides(&self, access: &Access, axes: &[AxisId]) -> (usize, Vec<usize>) {
        let (mut start, mut strides, mut stride) = (0, vec![0; axes.len()], 1);
        for (how, size) in access.index.iter().zip(self.statement.shape(access.tensor)).rev() {
            match how {
                Index::Axis(axis) | Index::First(axis) => {
                    let place = axes.iter().position(|own| own == axis).expect("a checked access uses known axes");
                    strides[place] += stride;
                }
                Index::Fixed(index) => start += stride * index,
                Index::Sum => unreachable!("only left sides of products sum, and no device reads them"),
            }
            stride *= size;
        }
        (start, strides)
    }
}

/// Where a tile of a tensor of this shape begins, and the parts of its index.
pub(super) fn tile_parts(shape: &[usize], tile: &Tile) -> (usize, Vec<Part>) {
    let (mut start, mut stride, mut parts) = (0, 1, Vec::with_capacity(tile.parts.len()));
    for (own, size) in tile.parts.iter().zip(shape).rev() {
        start += own.offset * stride;
        parts.push(Part::whole(own.log_size, stride));
        stride *= size;
    }
    parts.reverse();
    (start, parts)
}
