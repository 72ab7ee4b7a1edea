//! What goes from call to call: a proof as far as it was read, as felts, and back.
use core::box::BoxTrait;
#[feature("bounded-int-utils")]
use core::internal::bounded_int::upcast;
use super::field::Q;
use super::transcript::{Transcript, take};
use super::whir::{Queried, Walk};
use super::words::{append_seven, two_challenges};

/// A proof as far as it was read.
#[derive(Drop)]
pub struct Run {
    /// Steps that were checked.
    pub stage: u32,
    /// Digests of the plan's parts.
    pub parts: Span<felt252>,
    /// Digest of the transcript before the proof.
    pub begun: felt252,
    pub transcript: Transcript,
    pub weight_root: felt252,
    pub witness_root: felt252,
    /// Public words, until the equations are checked.
    pub public: Span<u32>,
    /// What has been shown: the inputs of every program.
    pub tape: Array<Q>,
    /// Per opening: the digest of its claimed values.
    pub values: Array<felt252>,
    /// The opening that is being read.
    pub walk: Walk,
}

fn number(ref felts: Span<felt252>) -> u32 {
    take(ref felts).try_into().expect('state')
}

fn pack_words(ref felts: Array<felt252>, words: Span<u32>) {
    felts.append(words.len().into());
    let mut words = words;
    while words.len() != 0 {
        let mut felt: felt252 = 0;
        let mut unit: felt252 = 1;
        let mut left: u32 = 7;
        while left != 0 {
            match words.pop_front() {
                Option::Some(word) => { felt += unit * (*word).into(); },
                Option::None => {},
            }
            unit = unit * 0x100000000;
            left -= 1;
        }
        felts.append(felt);
    }
}

fn unpack_words(ref felts: Span<felt252>) -> Span<u32> {
    let count = number(ref felts);
    let mut words: Array<u32> = array![];
    while words.len() < count {
        append_seven(ref words, take(ref felts));
    }
    words.span().slice(0, count)
}

/// Four words of 31 bits.
fn packed(x: Q) -> felt252 {
    upcast(x.a) + 0x80000000 * (upcast(x.b) + 0x80000000 * (upcast(x.c) + 0x80000000 * upcast(x.d)))
}

fn pack_challenges(ref felts: Array<felt252>, challenges: Span<Q>) {
    felts.append(challenges.len().into());
    let mut challenges = challenges;
    while let Option::Some(x) = challenges.pop_front() {
        let low = packed(*x);
        match challenges.pop_front() {
            Option::Some(y) => felts.append(low + 0x10000000000000000000000000000000 * packed(*y)),
            Option::None => felts.append(low),
        }
    }
}

fn unpack_challenges(ref felts: Span<felt252>) -> Array<Q> {
    let mut left = number(ref felts);
    let mut challenges = array![];
    while left > 1 {
        let (x, y) = two_challenges(take(ref felts));
        challenges.append(x);
        challenges.append(y);
        left -= 2;
    }
    if left == 1 {
        challenges.append(one(ref felts));
    }
    challenges
}

fn one(ref felts: Span<felt252>) -> Q {
    let (x, _) = two_challenges(take(ref felts));
    x
}

fn pack_felts(ref felts: Array<felt252>, own: Span<felt252>) {
    felts.append(own.len().into());
    felts.append_span(own);
}

fn unpack_felts(ref felts: Span<felt252>) -> Span<felt252> {
    let count = number(ref felts);
    let own = felts.slice(0, count);
    felts = felts.slice(count, felts.len() - count);
    own
}

pub fn pack(run: Run) -> Array<felt252> {
    let Run { stage, parts, begun, transcript, weight_root, witness_root, public, tape, values, walk } = run;
    let mut felts = array![stage.into()];
    pack_felts(ref felts, parts);
    felts.append(begun);
    let state = transcript.state.unbox();
    pack_words(ref felts, state.span());
    felts.append(if transcript.spent { 1 } else { 0 });
    felts.append(weight_root);
    felts.append(witness_root);
    pack_words(ref felts, public);
    pack_challenges(ref felts, tape.span());
    pack_felts(ref felts, values.span());
    felts.append(packed(walk.alpha));
    felts.append(packed(walk.sum));
    felts.append(walk.root);
    pack_challenges(ref felts, walk.point.span());
    felts.append(walk.queried.len().into());
    let mut queried = walk.queried.span();
    while let Option::Some(own) = queried.pop_front() {
        felts.append((*own.folded).into());
        felts.append((*own.log_rows).into());
        felts.append(packed(*own.gamma));
        pack_words(ref felts, *own.positions);
    }
    felts
}

/// The state of felts whose digest was kept.
pub fn unpack(felts: Span<felt252>) -> Run {
    let mut felts = felts;
    let stage = number(ref felts);
    let parts = unpack_felts(ref felts);
    let begun = take(ref felts);
    let mut words = unpack_words(ref felts);
    let state = *words.multi_pop_front::<8>().expect('state');
    let spent = take(ref felts) == 1;
    let weight_root = take(ref felts);
    let witness_root = take(ref felts);
    let public = unpack_words(ref felts);
    let tape = unpack_challenges(ref felts);
    let mut values: Array<felt252> = array![];
    values.append_span(unpack_felts(ref felts));
    let alpha = one(ref felts);
    let sum = one(ref felts);
    let root = take(ref felts);
    let point = unpack_challenges(ref felts);
    let mut left = number(ref felts);
    let mut queried = array![];
    while left != 0 {
        let folded = number(ref felts);
        let log_rows = number(ref felts);
        let gamma = one(ref felts);
        queried.append(Queried { folded, log_rows, gamma, positions: unpack_words(ref felts) });
        left -= 1;
    }
    let walk = Walk { alpha, sum, root, point, queried };
    Run { stage, parts, begun, transcript: Transcript { state, spent }, weight_root, witness_root, public, tape, values, walk }
}
