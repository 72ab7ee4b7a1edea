//! The root that rows of a codeword and a proof's siblings lead to (docs/opening.md, section 4).
use core::blake::blake2s_finalize;
use core::box::BoxTrait;
use super::transcript::{State, hash, initial, take};
use super::words::seven;

/// The digest of a row is the first seven words of this state.
pub fn leaf(row: Array<u32>) -> State {
    hash(initial(0x6c65626f, 0x6661656c), row)
}

/// The first seven words as one felt.
pub fn digest(state: State) -> felt252 {
    let [a, b, c, d, e, f, g, _] = state.unbox();
    let low = a.into() + 0x100000000 * b.into() + 0x10000000000000000 * c.into() + 0x1000000000000000000000000 * d.into();
    low + 0x100000000000000000000000000000000 * (e.into() + 0x100000000 * f.into() + 0x10000000000000000 * g.into())
}

#[inline(never)]
fn join(node: State, left: State, right: State) -> State {
    let [a, b, c, d, e, f, g, _] = left.unbox();
    let [i, j, k, l, m, n, o, _] = right.unbox();
    blake2s_finalize(node, 56, BoxTrait::new([a, b, c, d, e, f, g, i, j, k, l, m, n, o, 0, 0]))
}

#[inline(never)]
fn join_with_right(node: State, left: State, right: felt252) -> State {
    let [a, b, c, d, e, f, g, _] = left.unbox();
    let [i, j, k, l, m, n, o] = seven(right);
    blake2s_finalize(node, 56, BoxTrait::new([a, b, c, d, e, f, g, i, j, k, l, m, n, o, 0, 0]))
}

#[inline(never)]
fn join_with_left(node: State, left: felt252, right: State) -> State {
    let [a, b, c, d, e, f, g] = seven(left);
    let [i, j, k, l, m, n, o, _] = right.unbox();
    blake2s_finalize(node, 56, BoxTrait::new([a, b, c, d, e, f, g, i, j, k, l, m, n, o, 0, 0]))
}

/// Whether the next position is the right neighbour of an even one.
#[inline(always)]
fn follows(positions: Span<u32>, index: u32) -> bool {
    match positions.get(0) {
        Option::Some(next) => {
            let next: felt252 = (*next.unbox()).into();
            next == index.into() + 1
        },
        Option::None => false,
    }
}

/// One level: a node whose sibling is not known takes it from the proof.
fn level(node: State, positions: Span<u32>, states: Span<State>, ref proof: Span<felt252>) -> (Array<u32>, Array<State>) {
    let mut positions = positions;
    let mut states = states;
    let mut above = array![];
    let mut joined = array![];
    while let Option::Some(index) = positions.pop_front() {
        let own = *states.pop_front().unwrap();
        let (half, bit) = DivRem::div_rem(*index, 2);
        above.append(half);
        if bit == 1 {
            joined.append(join_with_left(node, take(ref proof), own));
        } else if follows(positions, *index) {
            positions.pop_front().unwrap();
            joined.append(join(node, own, *states.pop_front().unwrap()));
        } else {
            joined.append(join_with_right(node, own, take(ref proof)));
        }
    }
    (above, joined)
}

/// The root of the tree of `depth` levels over leaves at sorted, distinct positions.
pub fn root(positions: Span<u32>, leaves: Span<State>, depth: u32, ref proof: Span<felt252>) -> felt252 {
    let node = initial(0x6c65626f, 0x65646f6e);
    let mut positions = positions;
    let mut states = leaves;
    let mut left = depth;
    while left != 0 {
        let (above, joined) = level(node, positions, states, ref proof);
        positions = above.span();
        states = joined.span();
        left -= 1;
    }
    digest(*states.at(0))
}
