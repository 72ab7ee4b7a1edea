//! The lookup argument: from a sum of fractions that is zero down to claims about its leaves (docs/protocol.md, section 5).
use super::equality::{assert_equal, is_zero};
use super::field::{Q, add_call, layer_round_call, mul_add_call, mul_call, sub_call};
use super::transcript::{CHLD, TREE, Transcript, TranscriptTrait, append, one_challenge, take};
use super::words::two_challenges;

/// Reads the tree over `2^variables` leaves; appends its point, the numerator and the denominator there.
pub fn verify(variables: u32, ref transcript: Transcript, ref proof: Span<felt252>, ref tape: Array<Q>) {
    let root = one_challenge(TREE, ref transcript, ref proof);
    // A sum of fractions with a denominator of zero says nothing.
    assert(!is_zero(root), 'zero denominator');
    let mut numerator = Q { a: 0, b: 0, c: 0, d: 0 };
    let mut denominator = root;
    let mut point: Span<Q> = array![].span();
    let mut layer = 0;
    while layer != variables {
        let lambda = transcript.challenge();
        let mut sum = mul_add_call(lambda, denominator, numerator);
        // The branch goes before the rounds, and is drawn after them.
        let mut rounds: Array<Q> = array![];
        while let Option::Some(coordinate) = point.pop_front() {
            let (linear, square) = two_challenges(take(ref proof));
            let challenge = transcript.fold(linear, square);
            sum = layer_round_call(sum, *coordinate, linear, square, challenge);
            rounds.append(challenge);
        }
        let (n0, d0) = two_challenges(take(ref proof));
        let (n1, d1) = two_challenges(take(ref proof));
        let mut message = array![CHLD];
        append(ref message, n0);
        append(ref message, d0);
        append(ref message, n1);
        append(ref message, d1);
        transcript.absorb(message);
        let cross = add_call(mul_call(n0, d1), mul_call(n1, d0));
        assert_equal(sum, mul_add_call(mul_call(lambda, d0), d1, cross), 'tree of fractions');
        let branch = transcript.challenge();
        numerator = mul_add_call(branch, sub_call(n1, n0), n0);
        denominator = mul_add_call(branch, sub_call(d1, d0), d0);
        let mut whole = array![branch];
        whole.append_span(rounds.span());
        point = whole.span();
        layer += 1;
    }
    tape.append_span(point);
    tape.append(numerator);
    tape.append(denominator);
}
