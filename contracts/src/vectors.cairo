//! What vectors from Rust call: functions from a span of felts to an array of felts.
#[feature("bounded-int-utils")]
use core::internal::bounded_int::upcast;
use super::field::{M, Q};
use super::plan::{Shape, digest_of_parts, part, shape};
use super::transcript::{Transcript, TranscriptTrait, hash, initial, take};
use super::tree::digest;
use super::verifier::{Claim, fact, verify};
use super::words::{append_eight, append_fifteen, append_seven, two_challenges};
use super::{circle, field};

fn count(ref input: Span<felt252>) -> u32 {
    take(ref input).try_into().unwrap()
}

fn span(ref input: Span<felt252>) -> Span<felt252> {
    let length = count(ref input);
    let own = input.slice(0, length);
    input = input.slice(length, input.len() - length);
    own
}

/// `length` words out of felts of seven.
fn wide_words(ref input: Span<felt252>, length: u32) -> Span<u32> {
    let mut words: Array<u32> = array![];
    while words.len() < length {
        append_seven(ref words, take(ref input));
    }
    words.span().slice(0, length)
}

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

/// Parts of a plan, each with its number of entries.
fn parts(ref input: Span<felt252>) -> (Shape, Span<Span<u32>>, felt252) {
    let mut left = count(ref input);
    let mut digests = array![];
    let mut read: Array<Span<u32>> = array![];
    while left != 0 {
        let entries = count(ref input);
        let felts = span(ref input);
        let (entries, digest) = part(felts, entries);
        read.append(entries);
        digests.append(digest);
        left -= 1;
    }
    let read = read.span();
    (shape(*read.at(0)), read.slice(1, read.len() - 1), digest_of_parts(digests.span()))
}

fn claim(ref input: Span<felt252>, shape: Shape) -> Claim {
    let bytes = count(ref input);
    let header = wide_words(ref input, (bytes + 3) / 4);
    let statement = take(ref input);
    let public = wide_words(ref input, shape.public_words);
    let weight_root = take(ref input);
    Claim { bytes, header, statement, public, weight_root }
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
