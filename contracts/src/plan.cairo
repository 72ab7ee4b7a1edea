//! The parts of a plan: their digests, and the shape of a proof out of the first.
use super::transcript::{State, hash, hash_span, initial};
use super::tree::digest;
use super::whir::{Code, Shape as Opening};
use super::words::{append_fifteen, seven};

/// The encoding that this contract reads.
const VERSION: u32 = 1;

/// A sumcheck.
#[derive(Copy, Drop)]
pub struct Sumcheck {
    pub variables: u32,
    pub degree: u32,
}

/// The shape of a proof, in the order in which it is read.
#[derive(Copy, Drop)]
pub struct Shape {
    pub public_words: u32,
    pub log_leaves: u32,
    pub lookup_grinding: u32,
    pub axis_challenges: u32,
    pub products: Span<Sumcheck>,
    pub zerochecks: Span<Sumcheck>,
    pub openings: Span<Opening>,
}

/// The entries of a part, fifteen a felt, and its digest.
pub fn part(felts: Span<felt252>, count: u32) -> (Span<u32>, felt252) {
    let mut felts = felts;
    let mut entries: Array<u32> = array![];
    while let Option::Some(felt) = felts.pop_front() {
        append_fifteen(ref entries, *felt);
    }
    let entries = entries.span().slice(0, count);
    (entries, digest(hash_span(initial(0x6c65626f, 0x74726170), entries)))
}

/// The digest of the digests of all parts.
pub fn digest_of_parts(parts: Span<felt252>) -> felt252 {
    let mut parts = parts;
    let mut words: Array<u32> = array![];
    while let Option::Some(part) = parts.pop_front() {
        words.append_span(seven(*part).span());
    }
    let state: State = hash(initial(0x6c65626f, 0x6e616c70), words);
    digest(state)
}

#[inline(always)]
fn next(ref entries: Span<u32>) -> u32 {
    match entries.pop_front() {
        Option::Some(entry) => *entry,
        Option::None => core::panic_with_felt252('plan too short'),
    }
}

fn sumchecks(ref entries: Span<u32>) -> Span<Sumcheck> {
    let mut left = next(ref entries);
    let mut read = array![];
    while left != 0 {
        read.append(Sumcheck { variables: next(ref entries), degree: next(ref entries) });
        left -= 1;
    }
    read.span()
}

pub fn shape(entries: Span<u32>) -> Shape {
    let mut entries = entries;
    assert(next(ref entries) == VERSION, 'version of the plan');
    let public_words = next(ref entries);
    let log_leaves = next(ref entries);
    let lookup_grinding = next(ref entries);
    let axis_challenges = next(ref entries);
    let products = sumchecks(ref entries);
    let zerochecks = sumchecks(ref entries);
    let mut openings = array![];
    let mut left = next(ref entries);
    while left != 0 {
        let witness = next(ref entries) == 1;
        let claims = next(ref entries);
        let variables = next(ref entries);
        let mut codes = array![];
        let mut more = next(ref entries);
        while more != 0 {
            let fold = next(ref entries);
            let log_rows = next(ref entries);
            let fold_grinding = next(ref entries);
            let queries = next(ref entries);
            let query_grinding = next(ref entries);
            codes.append(Code { fold, log_rows, fold_grinding, queries, query_grinding });
            more -= 1;
        }
        let last_variables = next(ref entries);
        let last_grinding = next(ref entries);
        openings.append(Opening { witness, claims, variables, codes: codes.span(), last_variables, last_grinding });
        left -= 1;
    }
    assert(entries.len() == 0, 'plan too long');
    Shape { public_words, log_leaves, lookup_grinding, axis_challenges, products, zerochecks, openings: openings.span() }
}
