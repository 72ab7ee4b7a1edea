//! An opened row: its words out of felts, its leaf, and its fold with the weights `eq(challenges, .)`.
//!
//! A weight of a word is two felts, each holding two coordinates 2^128 apart, so that one product of felts multiplies two coordinates
//! by a word. A coordinate is below 2^33, a word below 2^31: 2^64 products have room.
use core::blake::{blake2s_compress, blake2s_finalize};
use core::box::BoxTrait;
#[feature("bounded-int-utils")]
use core::internal::bounded_int::upcast;
use super::field::Q;
use super::transcript::{State, take};
use super::words::{append_eight, residues};

const SHIFT: felt252 = 0x100000000000000000000000000000000;
const P: felt252 = 2147483647;

/// Weights of words: the first two coordinates, and the last two.
#[derive(Copy, Drop)]
pub struct Weights {
    pub low: Span<felt252>,
    pub high: Span<felt252>,
}

/// Weights of rows of the base field: one word an entry.
pub fn of_elements(entries: Span<Q>) -> Weights {
    let mut entries = entries;
    let mut low = array![];
    let mut high = array![];
    while let Option::Some(entry) = entries.pop_front() {
        let Q { a, b, c, d } = *entry;
        low.append(upcast(a) + SHIFT * upcast(b));
        high.append(upcast(c) + SHIFT * upcast(d));
    }
    padded(low, high)
}

/// Weights of rows of challenges: a word is a coordinate, so its weight is that of the entry times 1, i, u or i u.
pub fn of_challenges(entries: Span<Q>) -> Weights {
    let mut entries = entries;
    let mut low = array![];
    let mut high = array![];
    while let Option::Some(entry) = entries.pop_front() {
        let Q { a, b, c, d } = *entry;
        let (a, b, c, d): (felt252, felt252, felt252, felt252) = (upcast(a), upcast(b), upcast(c), upcast(d));
        low.append(a + SHIFT * b);
        high.append(c + SHIFT * d);
        low.append(P - b + SHIFT * a);
        high.append(P - d + SHIFT * c);
        // (c + i d) u^2 = (2 c - d) + i (c + 2 d).
        let real = c + c + P - d;
        let imaginary = c + d + d;
        low.append(real + SHIFT * imaginary);
        high.append(a + SHIFT * b);
        low.append(4 * P - imaginary + SHIFT * real);
        high.append(P - b + SHIFT * a);
    }
    padded(low, high)
}

/// Rows of eight words are half a block.
fn padded(low: Array<felt252>, high: Array<felt252>) -> Weights {
    let mut low = low;
    let mut high = high;
    while low.len() % 16 != 0 {
        low.append(0);
        high.append(0);
    }
    Weights { low: low.span(), high: high.span() }
}

#[inline(always)]
fn f(x: u32) -> felt252 {
    x.into()
}

/// Adds `word * weight` over one block.
#[inline(always)]
fn block_sum(block: Box<[u32; 16]>, low: Box<[felt252; 16]>, high: Box<[felt252; 16]>, x: felt252, y: felt252) -> (felt252, felt252) {
    let [w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15] = block.unbox();
    let [l0, l1, l2, l3, l4, l5, l6, l7, l8, l9, l10, l11, l12, l13, l14, l15] = low.unbox();
    let [h0, h1, h2, h3, h4, h5, h6, h7, h8, h9, h10, h11, h12, h13, h14, h15] = high.unbox();
    let x = x + f(w0) * l0 + f(w1) * l1 + f(w2) * l2 + f(w3) * l3 + f(w4) * l4 + f(w5) * l5 + f(w6) * l6 + f(w7) * l7
        + f(w8) * l8 + f(w9) * l9 + f(w10) * l10 + f(w11) * l11 + f(w12) * l12 + f(w13) * l13 + f(w14) * l14 + f(w15) * l15;
    let y = y + f(w0) * h0 + f(w1) * h1 + f(w2) * h2 + f(w3) * h3 + f(w4) * h4 + f(w5) * h5 + f(w6) * h6 + f(w7) * h7
        + f(w8) * h8 + f(w9) * h9 + f(w10) * h10 + f(w11) * h11 + f(w12) * h12 + f(w13) * h13 + f(w14) * h14 + f(w15) * h15;
    (x, y)
}

#[inline(always)]
fn folded(x: felt252, y: felt252) -> Q {
    let (a, b) = residues(x);
    let (c, d) = residues(y);
    Q { a, b, c, d }
}

/// The leaf of a row of `felts` felts of eight words, and its fold.
pub fn read(initial: State, felts: u32, weights: Weights, ref proof: Span<felt252>) -> (State, Q) {
    let mut words = array![];
    let mut left = felts;
    while left != 0 {
        append_eight(ref words, take(ref proof));
        left -= 1;
    }
    if felts % 2 == 1 {
        let mut zeros: u32 = 0;
        while zeros != 8 {
            words.append(0);
            zeros += 1;
        }
    }
    let mut low = weights.low;
    let mut high = weights.high;
    let mut rest = words.span();
    let mut state = initial;
    let mut bytes: u32 = 64;
    let mut x = 0;
    let mut y = 0;
    while rest.len() != 16 {
        let block = *rest.multi_pop_front::<16>().unwrap();
        let (next_x, next_y) = block_sum(block, *low.multi_pop_front::<16>().unwrap(), *high.multi_pop_front::<16>().unwrap(), x, y);
        x = next_x;
        y = next_y;
        state = blake2s_compress(state, bytes, block);
        bytes += 64;
    }
    let block = *rest.multi_pop_front::<16>().unwrap();
    let (x, y) = block_sum(block, *low.multi_pop_front::<16>().unwrap(), *high.multi_pop_front::<16>().unwrap(), x, y);
    (blake2s_finalize(state, 32 * felts, block), folded(x, y))
}

/// The sum of words with their weights, as many as there are weights.
pub fn weighed(words: Span<u32>, weights: Weights) -> Q {
    let mut rest = words;
    let mut low = weights.low;
    let mut high = weights.high;
    let mut x = 0;
    let mut y = 0;
    while let Option::Some(block) = rest.multi_pop_front::<16>() {
        let (next_x, next_y) = block_sum(*block, *low.multi_pop_front::<16>().unwrap(), *high.multi_pop_front::<16>().unwrap(), x, y);
        x = next_x;
        y = next_y;
    }
    folded(x, y)
}
