//! The root that rows of a codeword and a proof's siblings lead to.

use obelysk_statement::tree::{Digest, siblings};

/// How many siblings a proof holds for rows at these sorted, distinct positions.
#[must_use]
pub fn sibling_count(positions: &[usize], depth: usize) -> usize {
    siblings(positions, depth).len()
}

/// The root of the tree of `depth` levels that has `leaves` at sorted, distinct positions; `None` if the number of
/// siblings is not the one that the positions call for.
#[must_use]
pub fn root(positions: &[usize], leaves: &[Digest], proof: &[Digest], depth: usize) -> Option<Digest> {
    let mut known: Vec<(usize, Digest)> = positions.iter().copied().zip(leaves.iter().copied()).collect();
    let mut proof = proof.iter().copied();
    for _ in 0..depth {
        let mut above: Vec<(usize, Digest)> = Vec::with_capacity(known.len());
        let mut rest = known.as_slice();
        while let [(index, digest), tail @ ..] = rest {
            let (parent, tail) = match tail.first() {
                Some((next, right)) if index % 2 == 0 && *next == index + 1 => {
                    (Digest::of_children(*digest, *right), &tail[1..])
                }
                _ if index % 2 == 0 => (Digest::of_children(*digest, proof.next()?), tail),
                _ => (Digest::of_children(proof.next()?, *digest), tail),
            };
            above.push((index / 2, parent));
            rest = tail;
        }
        known = above;
    }
    match (known.as_slice(), proof.next()) {
        ([(0, root)], None) => Some(*root),
        _ => None,
    }
}
