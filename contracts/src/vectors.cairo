//! What vectors from Rust call: functions from a span of felts to an array of felts.
#[feature("bounded-int-utils")]
use core::internal::bounded_int::upcast;
use super::field::{M, Q};
use super::contract::{claim, count, header, parts, wide_words};
use super::plan::digest_of_parts;
use super::state::{pack, unpack};
use super::steps::{advance, opened};
use super::transcript::{TranscriptTrait, take};
use super::tree::digest;
use core::testing::get_available_gas;
use super::verifier::{begin_proof, claims, fact, opening, products, start, verify, zerochecks};
use super::words::{append_eight, append_fifteen, append_seven, two_challenges};
use super::{circle, field};

fn put(ref output: Array<felt252>, x: Q) {
    output.append(upcast(x.a));
    output.append(upcast(x.b));
    output.append(upcast(x.c));
    output.append(upcast(x.d));
}

fn put_word(ref output: Array<felt252>, x: M) {
    output.append(upcast(x));
}

/// Every operation on the challenges of the input, two a felt.
fn arithmetic(input: Span<felt252>) -> Array<felt252> {
    let mut input = input;
    let mut output = array![];
    let (v, w) = two_challenges(take(ref input));
    let (x, y) = two_challenges(take(ref input));
    let (z, _) = two_challenges(take(ref input));
    put(ref output, field::add(x, y));
    put(ref output, field::sub(x, y));
    put(ref output, field::mul(x, y));
    put(ref output, field::mul_add(x, y, z));
    put(ref output, field::mul_complement(x, y));
    put(ref output, field::eq_step(z, x, y));
    put(ref output, field::round2(v, w, x, y));
    put(ref output, field::layer_round(v, w, x, y, z));
    put(ref output, field::row_step(x, y, z.a));
    put(ref output, field::scale(x, z.b));
    put_word(ref output, field::base_mul(x.a, y.a));
    put_word(ref output, field::double_x(x.a));
    output
}

/// Felts as words of 31, 32 and 16 bits.
fn unpacking(input: Span<felt252>) -> Array<felt252> {
    let mut input = input;
    let mut words: Array<u32> = array![];
    append_eight(ref words, take(ref input));
    append_seven(ref words, take(ref input));
    append_fifteen(ref words, take(ref input));
    let mut output = array![];
    let mut words = words.span();
    while let Option::Some(word) = words.pop_front() {
        output.append((*word).into());
    }
    output
}

/// A label and words, in felts of seven, absorbed; the state and two challenges.
fn absorbing(input: Span<felt252>) -> Array<felt252> {
    let mut input = input;
    let mut transcript = TranscriptTrait::new();
    let mut output = array![];
    while input.len() != 0 {
        let length = count(ref input);
        let mut message: Array<u32> = array![];
        message.append_span(wide_words(ref input, length));
        transcript.absorb(message);
        output.append(digest(transcript.state));
        put(ref output, transcript.challenge());
        put(ref output, transcript.challenge());
    }
    output
}

/// Positions: how many, of how many bits, and the order of the drawn ones.
fn drawing(input: Span<felt252>) -> Array<felt252> {
    let mut input = input;
    let mut transcript = TranscriptTrait::new();
    let mut output = array![];
    while input.len() != 0 {
        let draws = count(ref input);
        let bits = count(ref input);
        let positions = transcript.positions(draws, bits, ref input);
        let mut positions = positions.span();
        while let Option::Some(position) = positions.pop_front() {
            output.append((*position).into());
        }
        output.append(digest(transcript.state));
    }
    output
}

/// Works: bits and witness of each; the state behind them.
fn working(input: Span<felt252>) -> Array<felt252> {
    let mut input = input;
    let mut transcript = TranscriptTrait::new();
    while input.len() != 0 {
        let bits = count(ref input);
        transcript.work(bits, ref input);
    }
    array![digest(transcript.state)]
}

/// Points of the circle: depth, then positions; the point of each, then the sixteen monomials of the last.
fn circling(input: Span<felt252>) -> Array<felt252> {
    let mut input = input;
    let domain = circle::domain(count(ref input));
    let mut output = array![];
    let mut last = circle::at(domain, 0);
    while input.len() != 0 {
        last = circle::at(domain, count(ref input));
        put_word(ref output, last.x);
        put_word(ref output, last.y);
    }
    let mut monomials = circle::monomials(last, 4);
    while let Option::Some(value) = monomials.pop_front() {
        put_word(ref output, *value);
    }
    output
}

/// The digest of a plan.
fn planning(input: Span<felt252>) -> Array<felt252> {
    let mut input = input;
    let (_, _, digest) = parts(ref input);
    array![digest]
}

/// A whole proof: the plan, the claim, the proof. The fact.
fn proving(input: Span<felt252>) -> Array<felt252> {
    let mut input = input;
    let (shape, programs, plan) = parts(ref input);
    let claim = claim(ref input, shape);
    let begun = verify(shape, programs, claim, input);
    array![fact(plan, begun)]
}

/// What each step of a whole proof costs, in gas: plan, claim, lookups, products, zerochecks, claims with equations, every opening.
fn costing(input: Span<felt252>) -> Array<felt252> {
    let mut input = input;
    let mut output = array![];
    let mut before = get_available_gas();
    let (shape, programs, _) = parts(ref input);
    mark(ref output, ref before);
    let claim = claim(ref input, shape);
    let transcript = start(claim);
    mark(ref output, ref before);
    let mut progress = begin_proof(shape, transcript, ref input);
    mark(ref output, ref before);
    products(shape, ref progress, ref input);
    mark(ref output, ref before);
    zerochecks(shape, ref progress, ref input);
    mark(ref output, ref before);
    let values = claims(shape, *programs.at(0), claim.public, ref progress, ref input);
    mark(ref output, ref before);
    let mut index = 0;
    while index != shape.openings.len() {
        let witness = *shape.openings.at(index).witness;
        let root = if witness {
            progress.witness_root
        } else {
            claim.weight_root
        };
        opening(shape, index, *programs.at(index + 1), root, *values.at(index), ref progress, ref input);
        mark(ref output, ref before);
        index += 1;
    }
    output
}

fn mark(ref output: Array<felt252>, ref before: u128) {
    let now = get_available_gas();
    output.append((before - now).into());
    before = get_available_gas();
}

/// A whole proof in calls of one step each: the plan, the claim, the steps, each with its length. Between two calls there is only the state.
/// The fact.
fn stepping(input: Span<felt252>) -> Array<felt252> {
    let (fact, _) = in_steps(input);
    array![fact]
}

/// The felts of the longest state between two steps.
fn longest_state(input: Span<felt252>) -> Array<felt252> {
    let (_, longest) = in_steps(input);
    array![longest.into()]
}

fn in_steps(input: Span<felt252>) -> (felt252, u32) {
    let mut input = input;
    let (shape, parts) = header(ref input);
    let claim = claim(ref input, shape);
    let mut state = pack(opened(parts, claim));
    let mut longest = state.len();
    loop {
        let length = count(ref input);
        let mut step = input.slice(0, length);
        input = input.slice(length, input.len() - length);
        let mut run = unpack(state.span());
        let done = advance(shape, ref run, ref step);
        assert(step.len() == 0, 'step too long');
        if done {
            assert(input.len() == 0, 'proof too long');
            break (fact(digest_of_parts(parts), run.begun), longest);
        }
        state = pack(run);
        if state.len() > longest {
            longest = state.len();
        }
    }
}
