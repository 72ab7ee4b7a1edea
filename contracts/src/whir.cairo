//! The opening of a commitment (docs/opening.md, section 7), round by round.
#[feature("bounded-int-utils")]
use core::internal::bounded_int::upcast;
use super::circle::{Domain, at, domain, monomials};
use super::equality::assert_equal;
use super::field::{Point, Q, add_call, double_x_call, mul_add_call, mul_call, round2_call, row_step_call, sub_call};
use super::program::eq_table;
use super::rows::{Weights, of_challenges, of_elements, read, weighed};
use super::transcript::{OPEN, POLY, ROOT, State, Transcript, TranscriptTrait, challenges, initial, take};
use super::tree::root;
use super::words::{append_seven, two_challenges};

const ZERO: Q = Q { a: 0, b: 0, c: 0, d: 0 };
const ONE: Q = Q { a: 1, b: 0, c: 0, d: 0 };

/// One codeword of an opening, as a plan states it.
#[derive(Copy, Drop)]
pub struct Code {
    pub fold: u32,
    pub log_rows: u32,
    pub fold_grinding: u32,
    pub queries: u32,
    pub query_grinding: u32,
}

/// One opening, as a plan states it.
#[derive(Copy, Drop)]
pub struct Shape {
    pub witness: bool,
    pub claims: u32,
    pub variables: u32,
    pub codes: Span<Code>,
    pub last_variables: u32,
    pub last_grinding: u32,
}

/// What the rows of a codeword add to the weights.
#[derive(Copy, Drop)]
pub struct Queried {
    /// Variables that were folded before.
    pub folded: u32,
    /// Depth of the tree.
    pub log_rows: u32,
    pub gamma: Q,
    pub positions: Span<u32>,
}

/// An opening as far as it was read.
#[derive(Drop)]
pub struct Walk {
    /// What weighs the claims.
    pub alpha: Q,
    /// What is left to be shown: the sum of the weighted polynomial over all indices.
    pub sum: Q,
    /// The root of the last codeword.
    pub root: felt252,
    /// Challenges of the folds.
    pub point: Array<Q>,
    pub queried: Array<Queried>,
}

/// Begins the opening of claims whose values were absorbed, as was the root.
pub fn begin(shape: Shape, root: felt252, values: Span<Q>, ref transcript: Transcript) -> Walk {
    transcript.absorb(array![OPEN, shape.variables, shape.claims]);
    let alpha = transcript.challenge();
    let mut values = values;
    let mut sum = ZERO;
    while let Option::Some(value) = values.pop_back() {
        sum = mul_add_call(sum, alpha, *value);
    }
    Walk { alpha, sum, root, point: array![], queried: array![] }
}

/// Round `index`: from the second on, a codeword and the rows of the one before; then this one's folds.
pub fn round(shape: Shape, index: u32, ref walk: Walk, ref transcript: Transcript, ref proof: Span<felt252>) {
    let code = *shape.codes.at(index);
    if index > 0 {
        let root = read_root(ref transcript, ref proof);
        let before = *shape.codes.at(index - 1);
        let (positions, folds) = rows(before, index == 1, walk.root, walk.point.span(), ref transcript, ref proof);
        walk.root = root;
        let gamma = transcript.challenge();
        // sum over j, from 1, of gamma^j times the fold of row j.
        let mut folds = folds.span();
        let mut sum = ZERO;
        while let Option::Some(fold) = folds.pop_back() {
            sum = mul_call(add_call(sum, *fold), gamma);
        }
        walk.sum = add_call(walk.sum, sum);
        walk.queried.append(Queried { folded: walk.point.len(), log_rows: before.log_rows, gamma, positions });
    }
    folds(code.fold, code.fold_grinding, ref walk, ref transcript, ref proof);
}

/// The polynomial in clear, the rows of the last codeword, the last folds. `claims` gives the weight of the claims at the point.
pub fn finish(shape: Shape, ref walk: Walk, ref transcript: Transcript, ref proof: Span<felt252>) -> Span<Q> {
    let mut last = array![];
    let size = super::powers::power_of_two(shape.last_variables);
    challenges(POLY, size, ref transcript, ref proof, ref last);
    let index = shape.codes.len() - 1;
    let code = *shape.codes.at(index);
    let (positions, row_folds) = rows(code, index == 0, walk.root, walk.point.span(), ref transcript, ref proof);
    let weights = of_elements(last.span());
    let domain = domain(code.log_rows);
    let mut positions = positions;
    let mut row_folds = row_folds.span();
    while let Option::Some(position) = positions.pop_front() {
        let value = encoded(weights, domain, *position, shape.last_variables);
        assert_equal(value, *row_folds.pop_front().unwrap(), 'last polynomial');
    }
    folds(shape.last_variables, shape.last_grinding, ref walk, ref transcript, ref proof);
    last.span()
}

/// What is left must be the weight of claims and rows times the last polynomial.
pub fn conclude(shape: Shape, walk: @Walk, claims: Q, last: Span<Q>) {
    let point = walk.point.span();
    let mut weight = claims;
    let mut queried = walk.queried.span();
    while let Option::Some(own) = queried.pop_front() {
        weight = add_call(weight, rows_weight(*own, point));
    }
    let folded = shape.variables - shape.last_variables;
    let value = evaluated(last, point.slice(folded, shape.last_variables));
    assert_equal(*walk.sum, mul_call(weight, value), 'claimed values');
}

pub fn read_root(ref transcript: Transcript, ref proof: Span<felt252>) -> felt252 {
    let root = take(ref proof);
    let mut message = array![ROOT];
    append_seven(ref message, root);
    transcript.absorb(message);
    root
}

/// Rounds of a sumcheck of degree two, whose messages lack the linear coefficient.
fn folds(count: u32, grinding: u32, ref walk: Walk, ref transcript: Transcript, ref proof: Span<felt252>) {
    let mut left = count;
    while left != 0 {
        let (constant, square) = two_challenges(take(ref proof));
        let challenge = if grinding == 0 {
            transcript.fold(constant, square)
        } else {
            transcript.absorb_fold(constant, square);
            transcript.work(grinding, ref proof);
            transcript.challenge()
        };
        walk.sum = round2_call(walk.sum, constant, square, challenge);
        walk.point.append(challenge);
        left -= 1;
    }
}

/// The queried rows of a codeword whose folds are done: sorted, distinct positions, and the fold of each.
fn rows(code: Code, first: bool, expected: felt252, point: Span<Q>, ref transcript: Transcript, ref proof: Span<felt252>) -> (Span<u32>, Array<Q>) {
    if code.query_grinding != 0 {
        transcript.work(code.query_grinding, ref proof);
    }
    let positions = transcript.positions(code.queries, code.log_rows, ref proof);
    let entries = eq_table(point.slice(point.len() - code.fold, code.fold));
    let (weights, felts): (Weights, u32) = if first {
        (of_elements(entries), entries.len() / 8)
    } else {
        (of_challenges(entries), entries.len() / 2)
    };
    let start = initial(0x6c65626f, 0x6661656c);
    let mut leaves: Array<State> = array![];
    let mut folds = array![];
    let mut left = positions.len();
    while left != 0 {
        let (leaf, fold) = read(start, felts, weights, ref proof);
        leaves.append(leaf);
        folds.append(fold);
        left -= 1;
    }
    assert(root(positions.span(), leaves.span(), code.log_rows, ref proof) == expected, 'root');
    (positions.span(), folds)
}

/// The codeword's entry at a position: the last polynomial's entries weighed by monomials of the coordinates.
fn encoded(weights: Weights, domain: Domain, position: u32, variables: u32) -> Q {
    let mut table = monomials(at(domain, position), variables);
    let mut words: Array<u32> = array![];
    while let Option::Some(value) = table.pop_front() {
        words.append(upcast(*value));
    }
    while words.len() % 16 != 0 {
        words.append(0);
    }
    weighed(words.span(), weights)
}

/// `sum over rows j of gamma^j * product of (1 + r (x - 1))` over the coordinates of the row.
fn rows_weight(queried: Queried, point: Span<Q>) -> Q {
    let domain = domain(queried.log_rows);
    let later = point.slice(queried.folded, point.len() - queried.folded);
    let mut positions = queried.positions;
    let mut sum = ZERO;
    while let Option::Some(position) = positions.pop_back() {
        let weight = row_weight(at(domain, *position), later);
        sum = mul_call(add_call(sum, weight), queried.gamma);
    }
    sum
}

/// The last challenge belongs to `y`, the one before to `x`, the others to its images under `x -> 2 x^2 - 1`.
#[inline(never)]
fn row_weight(point: Point, later: Span<Q>) -> Q {
    let mut later = later;
    let mut coordinate = point.y;
    let mut next = point.x;
    let mut value = ONE;
    while let Option::Some(r) = later.pop_back() {
        value = row_step_call(value, *r, coordinate);
        coordinate = next;
        next = double_x_call(next);
    }
    value
}

/// The multilinear extension of a table at a point.
fn evaluated(table: Span<Q>, point: Span<Q>) -> Q {
    let mut point = point;
    let mut table = table;
    while let Option::Some(coordinate) = point.pop_front() {
        let half = table.len() / 2;
        let mut low = table.slice(0, half);
        let mut high = table.slice(half, half);
        let mut left = array![];
        while let Option::Some(x) = low.pop_front() {
            let y = *high.pop_front().unwrap();
            left.append(mul_add_call(sub_call(y, *x), *coordinate, *x));
        }
        table = left.span();
    }
    let value = *table.at(0);
    value
}
