//! Claimed values, sent before anything is opened.

use obelysk_statement::Challenge;
use obelysk_statement::fiat_shamir::Label;
use obelysk_statement::plan::Committed;
use obelysk_statement::reduction::Grouped;

use crate::backend::{Backend, DeviceError, Evaluated};
use crate::messages::Messages;

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
