//! Claimed values, sent before anything is opened.

use obelysk_statement::fiat_shamir::Label;
use obelysk_statement::plan::Committed;
use obelysk_statement::reduction::Grouped;

use crate::backend::{Backend, DeviceError};
use crate::messages::Messages;

/// Evaluate and send what is claimed of a commitment.
pub(crate) fn claim<B: Backend>(
    backend: &B,
    committed: &Committed,
    values: &B::Values<'_>,
    claims: &mut Grouped,
    messages: &mut Messages,
) -> Result<(), DeviceError> {
    let mut evaluations = Vec::new();
    for group in &claims.groups {
        let tiles: Vec<usize> = group.claims.iter().map(|&(tile, _)| tile).collect();
        evaluations.extend(backend.evaluate(committed, values, &group.point, &tiles)?);
    }
    messages.challenges(Label::CLAIMS, &evaluations);
    claims.fill(&evaluations);
    Ok(())
}
