//! Claimed values, sent before anything is opened, and the openings.

use obelysk_statement::Challenge;
use obelysk_statement::fiat_shamir::Label;
use obelysk_statement::plan::Committed;
use obelysk_statement::reduction::Grouped;

use crate::backend::{Backend, DeviceError, Opened};
use crate::messages::Messages;
use crate::whir::{self, Coordinates, Evaluated, OpenedRows};

/// Evaluate and send what is claimed of a commitment.
pub(crate) fn claim<B: Backend>(
    backend: &B,
    committed: &Committed,
    values: &B::Values<'_>,
    claims: Grouped,
    messages: &mut Messages,
) -> Result<Evaluated, DeviceError> {
    let evaluated = backend.evaluate(committed, values, claims.groups)?;
    let sent: Vec<Challenge> = evaluated.groups.iter().flat_map(|group| &group.values).copied().collect();
    messages.challenges(Label::CLAIMS, &sent);
    Ok(evaluated)
}

/// A commitment on a device.
pub(crate) struct OnDevice<'a, 'v, B: Backend> {
    pub(crate) backend: &'a B,
    pub(crate) committed: &'a Committed,
    pub(crate) opened: Opened<'a, B>,
    pub(crate) values: &'a B::Values<'v>,
}

impl<B: Backend> whir::Committed for OnDevice<'_, '_, B> {
    fn folded(&self, weights: &[Challenge]) -> Result<Coordinates, DeviceError> {
        self.backend.folded(self.committed, self.values, weights)
    }

    fn open(&self, positions: &[usize]) -> Result<OpenedRows, DeviceError> {
        self.backend.rows(self.committed, self.opened, self.values, positions)
    }
}

/// Open a commitment at claims whose values were sent.
pub(crate) fn open<B: Backend>(
    on_device: &OnDevice<B>,
    claims: &Evaluated,
    messages: &mut Messages,
) -> Result<(), DeviceError> {
    let opening = whir::open(&on_device.committed.opening, on_device, claims, &mut messages.transcript)?;
    messages.words.extend(opening.words());
    Ok(())
}
