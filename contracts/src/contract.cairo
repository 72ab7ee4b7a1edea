//! The contract, as far as it is there: a proof whose calldata fits one call is checked, and its fact recorded.
use super::transcript::take;
use super::plan::{Shape, digest_of_parts, part, shape};
use super::verifier::Claim;
use super::words::append_seven;

#[starknet::interface]
trait IVerifier<T> {
    /// Checks a whole proof and returns its fact. `rest`: the plan, the claim, the proof.
    fn verify(ref self: T, rest: Rest) -> felt252;
    /// Whether a proof of this fact was checked.
    fn is_verified(self: @T, fact: felt252) -> bool;
}

/// All remaining calldata, without a copy.
#[derive(Drop)]
pub struct Rest {
    pub felts: Span<felt252>,
}

impl RestSerde of Serde<Rest> {
    fn serialize(self: @Rest, ref output: Array<felt252>) {
        output.append_span(*self.felts);
    }
    fn deserialize(ref serialized: Span<felt252>) -> Option<Rest> {
        let felts = serialized;
        serialized = array![].span();
        Option::Some(Rest { felts })
    }
}

pub fn count(ref input: Span<felt252>) -> u32 {
    take(ref input).try_into().expect('number')
}

fn span(ref input: Span<felt252>) -> Span<felt252> {
    let length = count(ref input);
    let own = input.slice(0, length);
    input = input.slice(length, input.len() - length);
    own
}

/// `length` words out of felts of seven.
pub fn wide_words(ref input: Span<felt252>, length: u32) -> Span<u32> {
    let mut words: Array<u32> = array![];
    while words.len() < length {
        append_seven(ref words, take(ref input));
    }
    words.span().slice(0, length)
}

/// The parts of a plan, each with its number of entries: the shape, the programs, the digest of the plan.
pub fn parts(ref input: Span<felt252>) -> (Shape, Span<Span<u32>>, felt252) {
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

/// The first part of a plan, with the number of its entries, and the digests of the others: the shape, and the digests of all.
pub fn header(ref input: Span<felt252>) -> (Shape, Span<felt252>) {
    let entries = count(ref input);
    let felts = span(ref input);
    let (entries, digest) = part(felts, entries);
    let mut digests = array![digest];
    digests.append_span(span(ref input));
    (shape(entries), digests.span())
}

pub fn claim(ref input: Span<felt252>, shape: Shape) -> Claim {
    let bytes = count(ref input);
    let header = wide_words(ref input, (bytes + 3) / 4);
    let statement = take(ref input);
    let public = wide_words(ref input, shape.public_words);
    let weight_root = take(ref input);
    Claim { bytes, header, statement, public, weight_root }
}

#[starknet::contract]
mod verifier {
    use starknet::storage::{Map, StorageMapReadAccess, StorageMapWriteAccess};
    use starknet::{ContractAddress, get_caller_address};
    use super::super::verifier::{fact, verify};
    use super::{Rest, claim, parts};

    #[storage]
    struct Storage {
        facts: Map<felt252, bool>,
    }

    #[event]
    #[derive(Drop, starknet::Event)]
    enum Event {
        ProofVerified: ProofVerified,
    }

    #[derive(Drop, starknet::Event)]
    struct ProofVerified {
        #[key]
        fact: felt252,
        caller: ContractAddress,
    }

    #[abi(embed_v0)]
    impl Verifier of super::IVerifier<ContractState> {
        fn verify(ref self: ContractState, rest: Rest) -> felt252 {
            let mut input = rest.felts;
            let (shape, programs, plan) = parts(ref input);
            let claim = claim(ref input, shape);
            let fact = fact(plan, verify(shape, programs, claim, input));
            self.facts.write(fact, true);
            self.emit(ProofVerified { fact, caller: get_caller_address() });
            fact
        }

        fn is_verified(self: @ContractState, fact: felt252) -> bool {
            self.facts.read(fact)
        }
    }
}
