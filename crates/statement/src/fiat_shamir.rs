//! The transcript of specification 2: one state of eight words for everything that a proof says, so that a contract
//! replays it with one compression per message.

use std::ops::Range;

use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use wide::u32x8;

use crate::blake2s::{BLOCK, LANES, Word, compress, hash_words, initial};
use crate::tree::Digest;
use crate::words::words_of;
use crate::{Challenge, MODULUS, Statement, Value};

/// Most bits that a proof of work asks for: one in `2^31 - 1` tries succeeds but for a chance below `2^-180`.
pub const MOST_GRINDING: usize = 24;

const PERSONAL: [u8; 8] = *b"obelysk2";
/// Further challenges from one state.
const NEXT: Label = Label(*b"next");
/// Further positions from one state.
const DRAW: Label = Label(*b"draw");
/// A proof of work.
const WORK: Label = Label(*b"work");

/// What a message says: four letters that are its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label([u8; 4]);

impl Label {
    /// A claim's header: its length in bytes, and the bytes, four a word.
    pub const HEADER: Self = Self(*b"head");
    /// Digest of the statement.
    pub const STATEMENT: Self = Self(*b"stmt");
    /// Public inputs.
    pub const PUBLIC: Self = Self(*b"publ");
    /// Root of the tree of fractions.
    pub const TREE: Self = Self(*b"tree");
    /// The two fractions that a layer of the tree ends with.
    pub const CHILDREN: Self = Self(*b"chld");
    /// The claimed sum of a sumcheck.
    pub const SUM: Self = Self(*b"sum ");
    /// Root of a tree.
    pub const ROOT: Self = Self(*b"root");
    /// An opening begins: its number of variables and of claims.
    pub const OPEN: Self = Self(*b"open");
    /// A round of a sumcheck.
    pub const FOLD: Self = Self(*b"fold");
    /// A polynomial in clear.
    pub const CLEAR: Self = Self(*b"poly");
    /// Claimed values.
    pub const CLAIMS: Self = Self(*b"eval");

    /// Its letters.
    #[must_use]
    pub fn name(self) -> String {
        self.0.iter().map(|&letter| char::from(letter)).collect()
    }

    fn word(self) -> u32 {
        u32::from_le_bytes(self.0)
    }
}

/// One step of a transcript: what was hashed and how many words followed the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Label.
    pub label: Label,
    /// Words.
    pub words: usize,
}

/// The transcript's state.
#[derive(Clone, Debug)]
pub struct FiatShamir {
    state: [u32; 8],
    /// Whether something was drawn from the state already.
    spent: bool,
    steps: Option<Vec<Step>>,
}

impl Default for FiatShamir {
    fn default() -> Self {
        Self { state: initial(PERSONAL), spent: true, steps: None }
    }
}

impl FiatShamir {
    /// The transcript of a proof: it has absorbed the claim, what is proven, its public inputs and the root of the weights.
    #[must_use]
    pub fn start(header: &[u8], statement: &Statement, weight_root: Digest) -> Self {
        let mut transcript = Self::default();
        let length = u32::try_from(header.len()).expect("a claim is shorter than 4 GiB");
        let bytes = header.chunks(4).map(|bytes| {
            let mut word = [0; 4];
            word[..bytes.len()].copy_from_slice(bytes);
            u32::from_le_bytes(word)
        });
        transcript.absorb(Label::HEADER, &std::iter::once(length).chain(bytes).collect::<Vec<u32>>());
        transcript.absorb(Label::STATEMENT, &statement.digest().0);
        transcript.absorb(Label::PUBLIC, &statement.public_inputs());
        transcript.absorb(Label::ROOT, &weight_root.0);
        transcript
    }

    /// A transcript that writes down its steps.
    #[must_use]
    pub fn recording() -> Self {
        Self { steps: Some(Vec::new()), ..Self::default() }
    }

    /// The steps so far, if it writes them down.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        self.steps.as_deref().unwrap_or_default()
    }

    /// The state, for test vectors and for a proof that is checked in several parts.
    #[must_use]
    pub fn state(&self) -> [u32; 8] {
        self.state
    }

    /// Hash a message: the label and its words, from the present state instead of the hash's initial one.
    pub fn absorb(&mut self, label: Label, words: &[u32]) {
        self.state = hash_words(self.state, std::iter::once(label.word()).chain(words.iter().copied()));
        self.spent = false;
        if let Some(steps) = &mut self.steps {
            steps.push(Step { label, words: words.len() });
        }
    }

    /// Hash a message of challenges.
    pub fn absorb_challenges(&mut self, label: Label, challenges: &[Challenge]) {
        self.absorb(label, &words_of(challenges));
    }

    /// One challenge. The first after a message costs nothing, each further one a compression.
    pub fn challenge(&mut self) -> Challenge {
        if self.spent {
            self.absorb(NEXT, &[]);
        }
        self.spent = true;
        let coordinate = |index: usize| {
            let wide = u64::from(self.state[index]) | u64::from(self.state[index + 4]) << 32;
            Value::from_u32((wide % MODULUS.unsigned_abs()) as u32)
        };
        Challenge::from_basis_coefficients_fn(coordinate)
    }

    /// `count` challenges.
    pub fn challenges(&mut self, count: usize) -> Vec<Challenge> {
        (0..count).map(|_| self.challenge()).collect()
    }

    /// `count` independent positions below `2^bits`, sorted, each once; all of them, without a draw, if there are no
    /// more than `count`.
    pub fn positions(&mut self, count: usize, bits: usize) -> Vec<usize> {
        if count >= 1 << bits {
            return (0..1 << bits).collect();
        }
        let mut positions = self.draws(count, bits);
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// `count` independent numbers below `2^bits`, in the order in which they are drawn.
    pub fn draws(&mut self, count: usize, bits: usize) -> Vec<usize> {
        assert!(bits <= 32, "a position is drawn from one word");
        let mut positions = Vec::with_capacity(count);
        while positions.len() < count {
            self.absorb(DRAW, &[]);
            let left = count - positions.len();
            let mask = (1u64 << bits) - 1;
            positions.extend(self.state.iter().take(left).map(|&word| (u64::from(word) & mask) as usize));
        }
        self.spent = true;
        positions
    }

    /// Hash a proof of work and say whether it is one: `bits` low bits of the new state are zero.
    #[must_use]
    pub fn check(&mut self, witness: u32, bits: usize) -> bool {
        assert!(bits <= MOST_GRINDING, "more than {MOST_GRINDING} bits of work may have no witness");
        if bits == 0 {
            return witness == 0;
        }
        self.absorb(WORK, &[bits as u32, witness]);
        self.spent = true;
        self.state[0] & ((1 << bits) - 1) == 0
    }

    /// The smallest witness of `bits` bits of work in a range whose length is a multiple of [`LANES`].
    #[must_use]
    pub fn smallest_witness(&self, bits: usize, range: Range<u32>) -> Option<u32> {
        let mut block = [u32x8::repeated(0); BLOCK];
        block[0] = u32x8::repeated(WORK.word());
        block[1] = u32x8::repeated(bits as u32);
        range.step_by(LANES).find_map(|first| {
            let mut states = self.state.map(u32x8::repeated);
            block[2] = u32x8::from(std::array::from_fn::<u32, LANES, _>(|lane| first + lane as u32));
            compress(&mut states, &block, 12, true);
            let found = states[0].to_array().iter().position(|word| word & ((1 << bits) - 1) == 0)?;
            Some(first + found as u32)
        })
    }

    /// Find the smallest witness of `bits` bits of work and hash it; zero, unhashed, for no work.
    pub fn grind(&mut self, bits: usize) -> u32 {
        self.grind_with(bits, |transcript, range| transcript.smallest_witness(bits, range))
    }

    /// [`FiatShamir::grind`] with a search of the caller's, who may use several threads. It returns the smallest witness
    /// in a range of candidates.
    pub fn grind_with(&mut self, bits: usize, search: impl Fn(&Self, Range<u32>) -> Option<u32>) -> u32 {
        if bits == 0 {
            return 0;
        }
        let stride = 1 << 16;
        let witness = (0..1 << 31)
            .step_by(stride)
            .find_map(|first| search(self, first..first + stride as u32))
            .filter(|&witness| i64::from(witness) < MODULUS)
            .expect("the field has a witness for as little work as this");
        assert!(self.check(witness, bits), "a search returns witnesses");
        witness
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.label.name(), self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::words;

    fn transcript() -> FiatShamir {
        let mut transcript = FiatShamir::recording();
        transcript.absorb(Label::ROOT, &[1, 2, 3, 4, 5, 6, 7]);
        transcript
    }

    #[test]
    fn the_first_message_is_hashed_by_standard_blake2s() {
        let mut bytes = b"root".to_vec();
        bytes.extend((1..=7u32).flat_map(u32::to_le_bytes));
        let expected = blake2s_simd::Params::new().hash_length(32).personal(b"obelysk2").hash(&bytes);
        let state: Vec<u8> = transcript().state().iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(state, expected.as_bytes());
    }

    #[test]
    fn every_part_of_a_message_changes_the_challenge() {
        let challenge = |label, words: &[u32]| {
            let mut transcript = transcript();
            transcript.absorb(label, words);
            transcript.challenge()
        };
        let honest = challenge(Label::FOLD, &[1, 2]);
        assert_ne!(challenge(Label::ROOT, &[1, 2]), honest);
        assert_ne!(challenge(Label::FOLD, &[1, 3]), honest);
        assert_ne!(challenge(Label::FOLD, &[1, 2, 0]), honest);
        let mut two = transcript();
        two.absorb(Label::FOLD, &[1]);
        two.absorb(Label::FOLD, &[2]);
        assert_ne!(two.challenge(), honest);
        let mut long = transcript();
        long.absorb(Label::FOLD, &[0; 40]);
        let long = long.challenge();
        assert_ne!(challenge(Label::FOLD, &[0; 39]), long);
    }

    #[test]
    fn challenges_and_positions_never_repeat_a_state() {
        let mut transcript = transcript();
        let challenges = transcript.challenges(3);
        assert!(challenges[0] != challenges[1] && challenges[1] != challenges[2]);
        let positions = transcript.positions(9, 20);
        let after = transcript.challenge();
        assert_eq!(positions.len(), 9);
        assert!(!challenges.contains(&after));
        let names: Vec<String> = transcript.steps().iter().map(Step::to_string).collect();
        assert_eq!(names, ["root 7", "next 0", "next 0", "draw 0", "draw 0", "next 0"]);
    }

    #[test]
    fn positions_are_sorted_distinct_and_in_range() {
        let mut transcript = transcript();
        let positions = transcript.positions(60, 6);
        assert!(positions.len() < 60, "sixty draws of sixty-four repeat some");
        assert!(positions.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(positions.iter().all(|&position| position < 64));
        let before = transcript.state();
        assert_eq!(transcript.positions(64, 6), (0..64).collect::<Vec<_>>());
        assert_eq!(transcript.state(), before);
    }

    #[test]
    fn the_smallest_witness_is_found_and_no_other_work_passes() {
        let mut prover = transcript();
        let witness = prover.grind(10);
        assert!((0..witness).all(|smaller| !transcript().check(smaller, 10)));
        let mut verifier = transcript();
        assert!(verifier.check(witness, 10));
        assert_eq!(verifier.challenge(), prover.challenge());
        assert!(!transcript().check(witness, 11) || !transcript().check(witness, 12));
        assert_eq!(transcript().grind(0), 0);
        assert!(!transcript().check(1, 0));
    }

    #[test]
    fn a_word_equal_to_the_modulus_is_zero_in_a_challenge() {
        let mut transcript = transcript();
        transcript.state = [MODULUS as u32, 0, u32::MAX, 5, 0, 1, u32::MAX, 0];
        // 2^32 is 2 and 2^64 - 1 is 3 in the field.
        assert_eq!(words(transcript.challenge()), [0, 2, 3, 5]);
    }
}
