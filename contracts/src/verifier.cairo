//! A proof from its claim to its last opening, step by step in the order of docs/protocol.md, section 5.
use super::field::Q;
use super::plan::Shape;
use super::program::{constants, run};
use super::transcript::{EVAL, HEAD, PUBL, ROOT, STMT, SUM, State, Transcript, TranscriptTrait, challenges, hash, initial, one_challenge};
use super::tree::digest;
use super::whir::{Walk, begin, conclude, finish, read_root, round};
use super::words::{append_seven, seven};
use super::{lookup, sumcheck};

/// What is proven, as far as a transcript says it before a proof begins.
#[derive(Copy, Drop)]
pub struct Claim {
    /// Length of the claim's header in bytes, and its words.
    pub bytes: u32,
    pub header: Span<u32>,
    pub statement: felt252,
    pub public: Span<u32>,
    pub weight_root: felt252,
}

/// A proof as far as it was read.
#[derive(Drop)]
pub struct Progress {
    pub transcript: Transcript,
    pub witness_root: felt252,
    /// What has been shown: the inputs of every program.
    pub tape: Array<Q>,
}

/// The transcript of a proof before its first message.
pub fn start(claim: Claim) -> Transcript {
    let mut transcript = TranscriptTrait::new();
    let mut message = array![HEAD, claim.bytes];
    message.append_span(claim.header);
    transcript.absorb(message);
    let mut message = array![STMT];
    append_seven(ref message, claim.statement);
    transcript.absorb(message);
    let mut message = array![PUBL];
    message.append_span(claim.public);
    transcript.absorb(message);
    let mut message = array![ROOT];
    append_seven(ref message, claim.weight_root);
    transcript.absorb(message);
    transcript
}

/// What is recorded of a proof that holds: the plan that was followed, and all that the transcript absorbed before the proof,
/// as a digest of its state. That the plan
/// is the statement's is for whoever reads it to recompute.
pub fn fact(plan: felt252, begun: felt252) -> felt252 {
    let mut words: Array<u32> = array![];
    words.append_span(seven(plan).span());
    words.append_span(seven(begun).span());
    digest(hash(initial(0x6c65626f, 0x74636166), words))
}

/// The root of the witness, the lookup argument, and the point of every axis.
pub fn begin_proof(shape: Shape, transcript: Transcript, ref proof: Span<felt252>) -> Progress {
    let mut transcript = transcript;
    let mut tape = constants();
    let mut witness_root = 0;
    let mut openings = shape.openings;
    while let Option::Some(opening) = openings.pop_front() {
        if *opening.witness {
            witness_root = read_root(ref transcript, ref proof);
        }
    }
    if shape.log_leaves != 0 {
        transcript.work(shape.lookup_grinding, ref proof);
        tape.append(transcript.challenge());
        tape.append(transcript.challenge());
        lookup::verify(shape.log_leaves, ref transcript, ref proof, ref tape);
    }
    let mut left = shape.axis_challenges + 1;
    while left != 0 {
        tape.append(transcript.challenge());
        left -= 1;
    }
    Progress { transcript, witness_root, tape }
}

pub fn products(shape: Shape, ref progress: Progress, ref proof: Span<felt252>) {
    let mut batches = shape.products;
    let mut transcript = progress.transcript;
    while let Option::Some(batch) = batches.pop_front() {
        let sum = one_challenge(SUM, ref transcript, ref proof);
        progress.tape.append(sum);
        let value = sumcheck::verify(*batch.variables, *batch.degree, sum, ref transcript, ref proof, ref progress.tape);
        progress.tape.append(value);
    }
    progress.transcript = transcript;
}

pub fn zerochecks(shape: Shape, ref progress: Progress, ref proof: Span<felt252>) {
    let mut batches = shape.zerochecks;
    let mut transcript = progress.transcript;
    while let Option::Some(batch) = batches.pop_front() {
        let zero = Q { a: 0, b: 0, c: 0, d: 0 };
        let value = sumcheck::verify(*batch.variables, *batch.degree, zero, ref transcript, ref proof, ref progress.tape);
        progress.tape.append(value);
    }
    progress.transcript = transcript;
}

/// All claimed values, by opening; they satisfy the equations.
pub fn claims(shape: Shape, equations: Span<u32>, public: Span<u32>, ref progress: Progress, ref proof: Span<felt252>) -> Array<Span<Q>> {
    let mut tape: Array<Q> = array![];
    tape.append_span(progress.tape.span());
    let mut transcript = progress.transcript;
    let mut values = array![];
    let mut openings = shape.openings;
    while let Option::Some(opening) = openings.pop_front() {
        let mut own = array![];
        challenges(EVAL, *opening.claims, ref transcript, ref proof, ref own);
        tape.append_span(own.span());
        values.append(own.span());
    }
    progress.transcript = transcript;
    run(equations, ref tape, public);
    values
}

/// One opening, all rounds of it.
pub fn opening(shape: Shape, index: u32, program: Span<u32>, root: felt252, values: Span<Q>, ref progress: Progress, ref proof: Span<felt252>) {
    let own = *shape.openings.at(index);
    let mut transcript = progress.transcript;
    let mut walk = begin(own, root, values, ref transcript);
    let mut index = 0;
    while index != own.codes.len() {
        round(own, index, ref walk, ref transcript, ref proof);
        index += 1;
    }
    let last = finish(own, ref walk, ref transcript, ref proof);
    let claims = claims_weight(program, progress.tape.span(), @walk);
    conclude(own, @walk, claims, last);
    progress.transcript = transcript;
}

/// What the claims weigh at the point of the folds.
pub fn claims_weight(program: Span<u32>, inputs: Span<Q>, walk: @Walk) -> Q {
    let mut tape: Array<Q> = array![];
    tape.append_span(inputs);
    tape.append(*walk.alpha);
    tape.append_span(walk.point.span());
    run(program, ref tape, array![].span());
    *tape.at(tape.len() - 1)
}

/// A whole proof; the parts of the plan in order.
pub fn verify(shape: Shape, programs: Span<Span<u32>>, claim: Claim, proof: Span<felt252>) -> felt252 {
    let mut proof = proof;
    let transcript = start(claim);
    let begun = transcript.state;
    let mut progress = begin_proof(shape, transcript, ref proof);
    products(shape, ref progress, ref proof);
    zerochecks(shape, ref progress, ref proof);
    let values = claims(shape, *programs.at(0), claim.public, ref progress, ref proof);
    let mut index = 0;
    while index != shape.openings.len() {
        let opening_shape = *shape.openings.at(index);
        let root = if opening_shape.witness {
            progress.witness_root
        } else {
            claim.weight_root
        };
        opening(shape, index, *programs.at(index + 1), root, *values.at(index), ref progress, ref proof);
        index += 1;
    }
    assert(proof.len() == 0, 'proof too long');
    digest(begun)
}
