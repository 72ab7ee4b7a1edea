//! The transcript of specification 2 (docs/opening.md, section 3): one state of eight words, Blake2s over whole words.
use core::blake::{blake2s_compress, blake2s_finalize};
use core::box::BoxTrait;
#[feature("bounded-int-utils")]
use core::internal::bounded_int::upcast;
use super::field::{Q, residue};
use super::powers::{power, power_of_two};
use super::words::{append_fifteen, two_challenges};

pub type State = Box<[u32; 8]>;

// Labels: four letters, the lowest byte first.
pub const HEAD: u32 = 0x64616568;
pub const STMT: u32 = 0x746d7473;
pub const PUBL: u32 = 0x6c627570;
pub const TREE: u32 = 0x65657274;
pub const CHLD: u32 = 0x646c6863;
pub const SUM: u32 = 0x206d7573;
pub const ROOT: u32 = 0x746f6f72;
pub const OPEN: u32 = 0x6e65706f;
pub const FOLD: u32 = 0x646c6f66;
pub const POLY: u32 = 0x796c6f70;
pub const EVAL: u32 = 0x6c617665;
const NEXT: u32 = 0x7478656e;
const DRAW: u32 = 0x77617264;
const WORK: u32 = 0x6b726f77;

/// The state before the first block of a hash of 32 bytes: its last two words take the personalisation.
pub fn initial(first: u32, second: u32) -> State {
    BoxTrait::new([0x6b08e647, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab ^ first, 0x5be0cd19 ^ second])
}

/// The hash of whole words from a state on: the message is padded with zeros to whole blocks, and at least one.
pub fn hash(state: State, words: Array<u32>) -> State {
    let count = words.len();
    let mut words = words;
    let mut state = state;
    let mut filled = count % 16;
    if filled != 0 || count == 0 {
        while filled != 16 {
            words.append(0);
            filled += 1;
        }
    }
    let mut rest = words.span();
    let mut bytes: u32 = 64;
    while rest.len() != 16 {
        state = blake2s_compress(state, bytes, *rest.multi_pop_front::<16>().unwrap());
        bytes += 64;
    }
    blake2s_finalize(state, 4 * count, *rest.multi_pop_front::<16>().unwrap())
}

/// As [`hash`], of words that are not the caller's to pad.
pub fn hash_span(state: State, words: Span<u32>) -> State {
    let count = words.len();
    let mut words = words;
    let mut state = state;
    let mut bytes: u32 = 64;
    while words.len() > 16 {
        state = blake2s_compress(state, bytes, *words.multi_pop_front::<16>().unwrap());
        bytes += 64;
    }
    let mut last: Array<u32> = array![];
    last.append_span(words);
    while last.len() != 16 {
        last.append(0);
    }
    let mut last = last.span();
    blake2s_finalize(state, 4 * count, *last.multi_pop_front::<16>().unwrap())
}

/// What was hashed so far, and whether something was drawn from it already.
#[derive(Copy, Drop)]
pub struct Transcript {
    pub state: State,
    pub spent: bool,
}

/// The next felt of calldata.
#[inline(always)]
pub fn take(ref proof: Span<felt252>) -> felt252 {
    match proof.pop_front() {
        Option::Some(felt) => *felt,
        Option::None => core::panic_with_felt252('proof too short'),
    }
}

#[inline(always)]
fn block_of_one(word: u32) -> Box<[u32; 16]> {
    BoxTrait::new([word, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

#[generate_trait]
pub impl TranscriptImpl of TranscriptTrait {
    /// Before anything is said.
    fn new() -> Transcript {
        Transcript { state: initial(0x6c65626f, 0x326b7379), spent: true }
    }

    /// A label and the words of its message.
    fn absorb(ref self: Transcript, message: Array<u32>) {
        self.state = hash(self.state, message);
        self.spent = false;
    }

    /// Two challenges under `fold`, and the challenge that answers them.
    fn fold(ref self: Transcript, x: Q, y: Q) -> Q {
        self.absorb_fold(x, y);
        self.challenge()
    }

    /// Two challenges under `fold`.
    fn absorb_fold(ref self: Transcript, x: Q, y: Q) {
        let block = BoxTrait::new([
            FOLD, upcast(x.a), upcast(x.b), upcast(x.c), upcast(x.d), upcast(y.a), upcast(y.b), upcast(y.c), upcast(y.d), 0, 0, 0, 0,
            0, 0, 0,
        ]);
        self.state = blake2s_finalize(self.state, 36, block);
        self.spent = false;
    }

    fn challenge(ref self: Transcript) -> Q {
        if self.spent {
            self.state = blake2s_finalize(self.state, 4, block_of_one(NEXT));
        }
        self.spent = true;
        let [a, b, c, d, e, f, g, h] = self.state.unbox();
        Q {
            a: residue(upcast(a), upcast(e)),
            b: residue(upcast(b), upcast(f)),
            c: residue(upcast(c), upcast(g)),
            d: residue(upcast(d), upcast(h)),
        }
    }

    /// A proof of work, hashed and checked.
    fn work(ref self: Transcript, bits: u32, ref proof: Span<felt252>) {
        let witness: u32 = take(ref proof).try_into().expect('work');
        self.state = blake2s_finalize(
            self.state, 12, BoxTrait::new([WORK, bits, witness, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        );
        self.spent = true;
        let [low, _, _, _, _, _, _, _] = self.state.unbox();
        let unit: NonZero<u32> = power_of_two(bits).try_into().unwrap();
        let (_, rest) = DivRem::div_rem(low, unit);
        assert(rest == 0, 'work');
    }

    /// Sorted, distinct positions below `2^bits`, drawn `count` times. The proof says in which order the drawn ones are sorted: as
    /// many different places as draws, for the sum of as many powers of two has all bits set only if they are all different.
    fn positions(ref self: Transcript, count: u32, bits: u32, ref proof: Span<felt252>) -> Array<u32> {
        let size = power_of_two(bits);
        let mut positions = array![];
        if count >= size {
            let mut position = 0;
            while position != size {
                positions.append(position);
                position += 1;
            }
            return positions;
        }
        let unit: NonZero<u32> = size.try_into().unwrap();
        let mut drawn: Array<u32> = array![];
        while drawn.len() < count {
            self.state = blake2s_finalize(self.state, 4, block_of_one(DRAW));
            let [a, b, c, d, e, f, g, h] = self.state.unbox();
            let mut words = array![a, b, c, d, e, f, g, h].span();
            while let Option::Some(word) = words.pop_front() {
                let (_, position) = DivRem::div_rem(*word, unit);
                drawn.append(position);
            }
        }
        self.spent = true;
        let mut order: Array<u32> = array![];
        while order.len() < count {
            append_fifteen(ref order, take(ref proof));
        }
        let mut powers: Array<felt252> = array![];
        let mut next: felt252 = 1;
        while powers.len() != count {
            powers.append(next);
            next = next + next;
        }
        let mut order = order.span().slice(0, count);
        let drawn = drawn.span();
        let powers = powers.span();
        let mut seen: felt252 = 0;
        let mut least: u32 = 0;
        while let Option::Some(place) = order.pop_front() {
            seen += *powers.at(*place);
            let position = *drawn.at(*place);
            assert(position >= least, 'order of positions');
            if position != least || positions.len() == 0 {
                positions.append(position);
            }
            least = position;
        }
        assert(seen == power(2, count) - 1, 'order of positions');
        positions
    }
}

/// Challenges of one message, which is absorbed under a label.
pub fn challenges(label: u32, count: u32, ref transcript: Transcript, ref proof: Span<felt252>, ref values: Array<Q>) {
    let mut message = array![label];
    let mut left = count;
    while left > 1 {
        let (x, y) = two_challenges(take(ref proof));
        append(ref message, x);
        append(ref message, y);
        values.append(x);
        values.append(y);
        left -= 2;
    }
    if left == 1 {
        let (x, _) = two_challenges(take(ref proof));
        append(ref message, x);
        values.append(x);
    }
    transcript.absorb(message);
}

/// One challenge of a message of one.
pub fn one_challenge(label: u32, ref transcript: Transcript, ref proof: Span<felt252>) -> Q {
    let (x, _) = two_challenges(take(ref proof));
    let mut message = array![label];
    append(ref message, x);
    transcript.absorb(message);
    x
}

#[inline(always)]
pub fn append(ref words: Array<u32>, x: Q) {
    words.append(upcast(x.a));
    words.append(upcast(x.b));
    words.append(upcast(x.c));
    words.append(upcast(x.d));
}
