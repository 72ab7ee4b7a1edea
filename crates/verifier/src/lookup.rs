//! The lookup argument: from a sum of fractions that is zero down to claims about its leaves.

use obelysk_statement::Challenge;
use obelysk_statement::fiat_shamir::Label;
use p3_field::PrimeCharacteristicRing;

use crate::VerifyError;
use crate::messages::Messages;

/// The fraction that the leaves must have at a point.
pub(crate) struct Leaves {
    pub(crate) point: Vec<Challenge>,
    pub(crate) numerator: Challenge,
    pub(crate) denominator: Challenge,
}

/// Read the tree over `2^variables` leaves.
pub(crate) fn verify(variables: usize, messages: &mut Messages) -> Result<Leaves, VerifyError> {
    let root = messages.challenges(Label::TREE, 1)?[0];
    // A sum of fractions with a denominator of zero says nothing.
    if root == Challenge::ZERO {
        return Err(VerifyError::ZeroDenominator);
    }
    let mut leaves = Leaves { point: Vec::new(), numerator: Challenge::ZERO, denominator: root };
    for _ in 0..variables {
        let lambda = messages.transcript.challenge();
        // sum over nodes of eq(point, node) (n0 d1 + n1 d0 + lambda d0 d1), the bound part of eq left out.
        let mut sum = leaves.numerator + lambda * leaves.denominator;
        let mut point = vec![Challenge::ZERO];
        for &coordinate in &leaves.point {
            // sum = (1 - coordinate) q(0) + coordinate q(1) for q = c_0 + c_1 X + c_2 X^2, of which c_0 follows.
            let sent = messages.challenges(Label::FOLD, 2)?;
            let constant = sum - coordinate * (sent[0] + sent[1]);
            let challenge = messages.transcript.challenge();
            sum = constant + challenge * (sent[0] + challenge * sent[1]);
            point.push(challenge);
        }
        let children = messages.challenges(Label::CHILDREN, 4)?;
        let [n0, d0, n1, d1] = [children[0], children[1], children[2], children[3]];
        if sum != n0 * d1 + n1 * d0 + lambda * d0 * d1 {
            return Err(VerifyError::Tree { layer: leaves.point.len() });
        }
        let branch = messages.transcript.challenge();
        point[0] = branch;
        leaves = Leaves { point, numerator: n0 + branch * (n1 - n0), denominator: d0 + branch * (d1 - d0) };
    }
    Ok(leaves)
}
