//! The one round loop: a polynomial, its absorption, a challenge, a fold.

use obelysk_statement::Challenge;
use obelysk_statement::fiat_shamir::Label;
use p3_field::{Field, PrimeCharacteristicRing};

use crate::backend::{DeviceError, Rounds};
use crate::messages::Messages;

/// Run a sumcheck of `variables` rounds whose polynomials have this degree. The point where it ends.
pub(crate) fn prove(
    rounds: &mut dyn Rounds,
    variables: usize,
    degree: usize,
    sum: Challenge,
    messages: &mut Messages,
) -> Result<Vec<Challenge>, DeviceError> {
    let mut sum = sum;
    let mut point = Vec::with_capacity(variables);
    for _ in 0..variables {
        let coefficients = coefficients(&rounds.polynomial()?, sum);
        assert_eq!(
            coefficients.len(),
            degree + 1,
            "a polynomial of degree d has d values besides the one that follows"
        );
        let sent: Vec<Challenge> = [&coefficients[..1], &coefficients[2..]].concat();
        messages.challenges(Label::FOLD, &sent);
        let challenge = messages.transcript.challenge();
        rounds.fold(challenge)?;
        sum = coefficients.iter().rev().fold(Challenge::ZERO, |value, &own| value * challenge + own);
        point.push(challenge);
    }
    Ok(point)
}

/// Coefficients of the polynomial with these values at 0, 2, 3, .. whose values at 0 and 1 have this sum.
fn coefficients(values: &[Challenge], sum: Challenge) -> Vec<Challenge> {
    // Newton's divided differences at 0, 1, 2, ..
    let mut differences: Vec<Challenge> = vec![values[0], sum - values[0]];
    differences.extend(&values[1..]);
    let count = differences.len();
    for order in 1..count {
        let step = Challenge::from_usize(order).inverse();
        for place in (order..count).rev() {
            differences[place] = (differences[place] - differences[place - 1]) * step;
        }
    }
    // Horner over the nodes, from the last difference down: result = difference + (X - node) * result.
    let mut result = vec![Challenge::ZERO; count];
    for node in (0..count).rev() {
        let shift = Challenge::from_usize(node);
        for place in (1..count).rev() {
            result[place] = result[place - 1] - shift * result[place];
        }
        result[0] = differences[node] - shift * result[0];
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_are_those_of_the_polynomial_with_these_values() {
        let expected: Vec<Challenge> = [7, 11, 5, 900, 3].map(Challenge::from_u32).into();
        for degree in 1..=4 {
            let at = |x: u32| {
                let polynomial = expected[..=degree].iter().rev();
                polynomial.fold(Challenge::ZERO, |value, &own| value * Challenge::from_u32(x) + own)
            };
            let values: Vec<Challenge> = (0..=degree as u32).filter(|&x| x != 1).map(at).collect();
            assert_eq!(coefficients(&values, at(0) + at(1)), expected[..=degree]);
            assert_eq!(at(1), expected[..=degree].iter().copied().sum());
        }
    }
}
