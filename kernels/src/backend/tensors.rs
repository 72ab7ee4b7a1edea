//! Values of a statement's tensors in a device's memory, and the ways in which relations read them.

use obelysk_prover::DeviceError;
use obelysk_statement::axis::{AxisId, AxisTile};
use obelysk_statement::layout::Tile;
use obelysk_statement::relation::{Access, Index};
use obelysk_statement::{PublicTensor, Statement, TensorId, TensorKind};
use obelysk_witness::Assignment;

use super::devices::{Devices, Share};
use super::model::ResidentModel;
use crate::view::{Entries, Part, View, fixed};

/// Values of all tensors of a statement.
pub struct Tensors<'a> {
    pub(super) statement: &'a Statement,
    model: &'a ResidentModel,
    /// Of every device that shares work. None for weights, which are the model's.
    values: Vec<Vec<Option<Entries>>>,
}

/// Where the entries of a tensor are: on one device, or on each of those that share work.
#[derive(Clone)]
pub(super) struct Held<'a>(Vec<(usize, &'a Entries)>);

impl<'a> Held<'a> {
    pub(super) fn on_one(device: usize, entries: &'a Entries) -> Self {
        Self(vec![(device, entries)])
    }

    /// The device itself if it has them, else one that does.
    pub(super) fn nearest(&self, device: usize) -> (usize, &'a Entries) {
        *self.0.iter().find(|(own, _)| *own == device).unwrap_or(&self.0[0])
    }
}

/// The entries that a device asks for, on the device that has them.
pub(super) struct Located<'a> {
    pub(super) device: usize,
    pub(super) view: View<'a>,
}

impl<'a> Tensors<'a> {
    pub(super) fn new(
        devices: &Devices,
        statement: &'a Statement,
        model: &'a ResidentModel,
        mut witness: Assignment,
    ) -> Result<Self, DeviceError> {
        let sharing = devices.shares(usize::MAX);
        let mut values: Vec<Vec<Option<Entries>>> = sharing.iter().map(|_| Vec::new()).collect();
        for (position, tensor) in statement.tensors.iter().enumerate() {
            let id = TensorId(u32::try_from(position).expect("few tensors"));
            let wide: Vec<i32> = match &tensor.kind {
                TensorKind::Witness => witness.remove(&tensor.name).expect("values that fit"),
                TensorKind::Weight | TensorKind::Public(PublicTensor::OneHot { .. }) => Vec::new(),
                TensorKind::Public(public) => {
                    let entry = |own| i32::try_from(own).expect("public entries have 32 bits");
                    public.entries(&statement.shape(id)).map(entry).collect()
                }
            };
            for (values, (kernels, _)) in values.iter_mut().zip(&sharing) {
                let device = &kernels.device;
                values.push(match &tensor.kind {
                    TensorKind::Weight => None,
                    TensorKind::Public(PublicTensor::OneHot { columns, width, .. }) => {
                        Some(Entries::OneHot { columns: device.upload(columns)?, width: *width })
                    }
                    TensorKind::Witness | TensorKind::Public(_) => Some(Entries::Wide(device.upload(&wide)?)),
                });
            }
        }
        Ok(Self { statement, model, values })
    }

    pub(super) fn held(&self, tensor: TensorId) -> Held<'_> {
        let own = self.values.iter().map(|own| own[tensor.0 as usize].as_ref()).enumerate();
        let own: Option<Vec<_>> = own.map(|(device, entries)| Some((device, entries?))).collect();
        own.map_or_else(|| self.model.held(&self.statement.tensor(tensor).name), Held)
    }

    /// An access along the bits of some axes, those of a share of them, then along the bits of others: an axis that it lacks moves nothing,
    /// and there are zeros past the end of one that it has.
    pub(super) fn view(
        &self,
        devices: &Devices,
        (at, share): (usize, Share),
        access: &Access,
        axes: &[AxisId],
        others: &[AxisId],
    ) -> Result<Located<'_>, DeviceError> {
        let (start, strides) = self.strides(access, &[axes, others].concat());
        let part = |(&axis, &stride): (&AxisId, &usize)| {
            let axis_of = self.statement.axis(axis);
            let is_cut = access.index.contains(&Index::Axis(axis));
            // What the tensor holds past the end of an axis that is shorter is multiplied by zero.
            Part { size: if is_cut { axis_of.size } else { 1 << axis_of.bits() }, bits: axis_of.bits(), stride }
        };
        let parts = |axes: &[AxisId], strides: &[usize]| -> Vec<Part> { axes.iter().zip(strides).map(part).collect() };
        let (own, mut shared) = fixed(&parts(axes, &strides[..axes.len()]), share.bits, share.value);
        shared.extend(parts(others, &strides[axes.len()..]));
        self.located(devices, at, access.tensor, start + own, &shared)
    }

    /// A share of an access along the bits of a tile of the box over `axes`.
    pub(super) fn view_of_box(
        &self,
        devices: &Devices,
        (at, share): (usize, Share),
        access: &Access,
        axes: &[AxisId],
        tile: &[AxisTile],
    ) -> Result<Located<'_>, DeviceError> {
        let (mut start, strides) = self.strides(access, axes);
        let mut parts = Vec::with_capacity(tile.len());
        for (own, stride) in tile.iter().zip(strides) {
            start += own.offset * stride;
            parts.push(Part::whole(own.log_size, stride));
        }
        let (own, parts) = fixed(&parts, share.bits, share.value);
        self.located(devices, at, access.tensor, start + own, &parts)
    }

    /// A share of all `2^bits` entries of a tensor.
    pub(super) fn whole(
        &self,
        devices: &Devices,
        (at, share): (usize, Share),
        tensor: TensorId,
        bits: usize,
    ) -> Result<Located<'_>, DeviceError> {
        let (start, parts) = fixed(&[Part::whole(bits, 1)], share.bits, share.value);
        self.located(devices, at, tensor, start, &parts)
    }

    fn located(
        &self,
        devices: &Devices,
        at: usize,
        tensor: TensorId,
        start: usize,
        parts: &[Part],
    ) -> Result<Located<'_>, DeviceError> {
        let (device, entries) = self.held(tensor).nearest(at);
        Ok(Located { device, view: View::new(&devices.all()[device].device, entries, start, parts)? })
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
