//! A proof step by step: `advance` checks the next step of a run from what a call brings for it. A call may check any number of them.
use core::poseidon::poseidon_hash_span;
use super::field::Q;
use super::plan::{Shape, part};
use super::program::run as run_program;
use super::state::Run;
use super::transcript::{EVAL, SUM, TranscriptTrait, challenges, one_challenge, take};
use super::verifier::{Claim, begin_proof, claims_weight, start};
use super::whir::{Walk, begin, conclude, finish, round};
use super::words::two_challenges;
use super::{sumcheck, tree};

const ZERO: Q = Q { a: 0, b: 0, c: 0, d: 0 };

fn no_walk() -> Walk {
    Walk { alpha: ZERO, sum: ZERO, root: 0, point: array![], queried: array![] }
}

/// A run before its first step.
pub fn opened(parts: Span<felt252>, claim: Claim) -> Run {
    let transcript = start(claim);
    Run {
        stage: 0,
        parts,
        begun: tree::digest(transcript.state),
        transcript,
        weight_root: claim.weight_root,
        witness_root: 0,
        public: claim.public,
        tape: array![],
        values: array![],
        walk: no_walk(),
    }
}

/// A part of the plan out of calldata: the number of its entries, that of its felts, and these.
fn program(parts: Span<felt252>, index: u32, ref input: Span<felt252>) -> Span<u32> {
    let entries: u32 = take(ref input).try_into().expect('plan');
    let length: u32 = take(ref input).try_into().expect('plan');
    let felts = input.slice(0, length);
    input = input.slice(length, input.len() - length);
    let (entries, digest) = part(felts, entries);
    assert(digest == *parts.at(index), 'plan');
    entries
}

/// Checks the next step. Whether it was the last one.
pub fn advance(shape: Shape, ref run: Run, ref input: Span<felt252>) -> bool {
    let stage = run.stage;
    run.stage = stage + 1;
    if stage == 0 {
        let begun = begin_proof(shape, run.transcript, ref input);
        run.transcript = begun.transcript;
        run.witness_root = begun.witness_root;
        run.tape = begun.tape;
        return false;
    }
    let mut transcript = run.transcript;
    let mut place = stage - 1;
    if place < shape.products.len() {
        let batch = *shape.products.at(place);
        let sum = one_challenge(SUM, ref transcript, ref input);
        run.tape.append(sum);
        let value = sumcheck::verify(batch.variables, batch.degree, sum, ref transcript, ref input, ref run.tape);
        run.tape.append(value);
        run.transcript = transcript;
        return false;
    }
    place -= shape.products.len();
    if place < shape.zerochecks.len() {
        let batch = *shape.zerochecks.at(place);
        let value = sumcheck::verify(batch.variables, batch.degree, ZERO, ref transcript, ref input, ref run.tape);
        run.tape.append(value);
        run.transcript = transcript;
        return false;
    }
    place -= shape.zerochecks.len();
    if place == 0 {
        claims(shape, ref run, ref input);
        return false;
    }
    place -= 1;
    let mut index = 0;
    // An opening has a round for every codeword, and a last one.
    while place > (*shape.openings.at(index)).codes.len() {
        place -= (*shape.openings.at(index)).codes.len() + 1;
        index += 1;
    }
    opening_round(shape, index, place, ref run, ref input);
    index + 1 == shape.openings.len() && place == (*shape.openings.at(index)).codes.len()
}

/// The equations' program, then all claimed values. Of these a run keeps digests.
fn claims(shape: Shape, ref run: Run, ref input: Span<felt252>) {
    let equations = program(run.parts, 1, ref input);
    let mut transcript = run.transcript;
    let mut tape: Array<Q> = array![];
    tape.append_span(run.tape.span());
    let mut openings = shape.openings;
    while let Option::Some(opening) = openings.pop_front() {
        let felts = (*opening.claims + 1) / 2;
        run.values.append(poseidon_hash_span(input.slice(0, felts)));
        challenges(EVAL, *opening.claims, ref transcript, ref input, ref tape);
    }
    run_program(equations, ref tape, run.public);
    run.public = array![].span();
    run.transcript = transcript;
}

/// A first round brings the claimed values once more, a last one the program of what they weigh.
fn opening_round(shape: Shape, index: u32, place: u32, ref run: Run, ref input: Span<felt252>) {
    let own = *shape.openings.at(index);
    let mut transcript = run.transcript;
    if place == 0 {
        let felts = (own.claims + 1) / 2;
        let mut sent = input.slice(0, felts);
        input = input.slice(felts, input.len() - felts);
        assert(poseidon_hash_span(sent) == *run.values.at(index), 'claimed values');
        let mut values = array![];
        while let Option::Some(felt) = sent.pop_front() {
            let (x, y) = two_challenges(*felt);
            values.append(x);
            values.append(y);
        }
        let root = if own.witness {
            run.witness_root
        } else {
            run.weight_root
        };
        run.walk = begin(own, root, values.span().slice(0, own.claims), ref transcript);
    }
    if place != own.codes.len() {
        round(own, place, ref run.walk, ref transcript, ref input);
    } else {
        let program = program(run.parts, index + 2, ref input);
        let last = finish(own, ref run.walk, ref transcript, ref input);
        let claims = claims_weight(program, run.tape.span(), @run.walk);
        conclude(own, @run.walk, claims, last);
        run.walk = no_walk();
    }
    run.transcript = transcript;
}
