//! The lookup argument: a tree of fractions from their sum, which is zero, down to the leaves (Haböck, ePrint 2022/1530; Papini and Haböck,
//! ePrint 2023/1284).

use obelysk_statement::Challenge;
use obelysk_statement::fiat_shamir::Label;
use p3_field::{Field, PrimeCharacteristicRing};

use crate::backend::{DeviceError, Fractions};
use crate::messages::Messages;

/// Prove that the fractions of `2^variables` leaves sum to zero. The point of the leaves where the argument ends.
pub(crate) fn prove(
    variables: usize,
    fractions: &mut dyn Fractions,
    messages: &mut Messages,
) -> Result<Vec<Challenge>, DeviceError> {
    let root = fractions.root();
    messages.challenges(Label::TREE, &[root]);
    let mut point: Vec<Challenge> = Vec::new();
    let (mut numerator, mut denominator) = (Challenge::ZERO, root);
    for _ in 0..variables {
        let lambda = messages.transcript.challenge();
        let mut layer = fractions.layer(lambda, &point)?;
        let mut sum = numerator + lambda * denominator;
        let mut inner = vec![Challenge::ZERO];
        for &coordinate in &point {
            let [linear, leading, constant] = quadratic(layer.polynomial()?, sum, coordinate);
            messages.challenges(Label::FOLD, &[linear, leading]);
            let challenge = messages.transcript.challenge();
            layer.fold(challenge)?;
            sum = constant + challenge * (linear + challenge * leading);
            inner.push(challenge);
        }
        let children = layer.children()?;
        messages.challenges(Label::CHILDREN, &children);
        let [n0, d0, n1, d1] = children;
        let branch = messages.transcript.challenge();
        numerator = n0 + branch * (n1 - n0);
        denominator = d0 + branch * (d1 - d0);
        inner[0] = branch;
        point = inner;
    }
    Ok(point)
}

/// Linear, leading and constant coefficient of the quadratic `q` with this value at 0 and this leading coefficient: the linear one follows
/// from the sum `(1 - coordinate) q(0) + coordinate q(1)`.
///
/// # Panics
/// If the coordinate is zero, which a challenge is with a chance of `2^-124`.
pub(crate) fn quadratic([constant, leading]: [Challenge; 2], sum: Challenge, coordinate: Challenge) -> [Challenge; 3] {
    [(sum - constant) * coordinate.inverse() - leading, leading, constant]
}
