//! The one round check: the polynomial's linear coefficient follows from the sum, so a message leaves it out and cannot contradict it.

use obelysk_statement::Challenge;
use obelysk_statement::fiat_shamir::Label;
use p3_field::PrimeCharacteristicRing;

use crate::VerifyError;
use crate::messages::Messages;

/// Where a sumcheck ends, and the value that the polynomial must have there.
pub(crate) struct End {
    pub(crate) point: Vec<Challenge>,
    pub(crate) value: Challenge,
}

/// Read a sumcheck of `variables` rounds whose polynomials have this degree.
pub(crate) fn verify(
    variables: usize,
    degree: usize,
    sum: Challenge,
    messages: &mut Messages,
) -> Result<End, VerifyError> {
    let mut end = End { point: Vec::with_capacity(variables), value: sum };
    for _ in 0..variables {
        // c_0, c_2, c_3, .. and, from p(0) + p(1) = sum, c_1.
        let sent = messages.challenges(Label::FOLD, degree)?;
        let linear = end.value - sent[0] - sent.iter().copied().sum::<Challenge>();
        let challenge = messages.transcript.challenge();
        let higher =
            sent[1..].iter().rev().fold(Challenge::ZERO, |value, &coefficient| value * challenge + coefficient);
        end.value = sent[0] + challenge * (linear + challenge * higher);
        end.point.push(challenge);
    }
    Ok(end)
}
