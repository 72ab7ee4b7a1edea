//! The one round check (docs/protocol.md, sections 4 and 5): the linear coefficient follows from the sum, so a message leaves it out.
use super::field::{Q, add, mul_add, round2, sub};
use super::transcript::{FOLD, Transcript, TranscriptTrait, append, take};
use super::words::two_challenges;

/// Reads a sumcheck; appends the point where it ends, and returns the value that the polynomial must have there.
pub fn verify(variables: u32, degree: u32, sum: Q, ref transcript: Transcript, ref proof: Span<felt252>, ref point: Array<Q>) -> Q {
    let mut value = sum;
    let mut left = variables;
    while left != 0 {
        let (constant, square) = two_challenges(take(ref proof));
        if degree == 2 {
            let challenge = transcript.fold(constant, square);
            value = round2(value, constant, square, challenge);
            point.append(challenge);
        } else {
            let (cube, fourth) = two_challenges(take(ref proof));
            let mut message = array![FOLD];
            append(ref message, constant);
            append(ref message, square);
            append(ref message, cube);
            if degree == 4 {
                append(ref message, fourth);
            }
            transcript.absorb(message);
            let challenge = transcript.challenge();
            point.append(challenge);
            // c1 = sum - 2 c0 - c2 - c3 - c4.
            let linear = sub(sub(sub(value, add(constant, constant)), square), cube);
            if degree == 4 {
                let linear = sub(linear, fourth);
                let higher = mul_add(fourth, challenge, cube);
                value = with_lower(higher, square, linear, constant, challenge);
            } else {
                value = with_lower(cube, square, linear, constant, challenge);
            }
        }
        left -= 1;
    }
    value
}

#[inline(never)]
fn with_lower(higher: Q, square: Q, linear: Q, constant: Q, challenge: Q) -> Q {
    mul_add(mul_add(mul_add(higher, challenge, square), challenge, linear), challenge, constant)
}
