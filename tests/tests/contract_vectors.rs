//! What the contract's functions are run on: inputs with what Rust computes from them, whole proofs among them, and attacks on these
//! with the reason for which each is refused. `cargo xtask contracts` names a folder in `OBELYSK_VECTORS`, and runs them.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::{env, fs};

use obelysk_chain::calldata::{Step, StepKind, steps};
use obelysk_chain::felt::{Felt, entries, wide_words, words};
use obelysk_chain::plan::ContractPlan;
use obelysk_statement::blake2s::{hash_words, initial};
use obelysk_statement::circle::CircleCode;
use obelysk_statement::eq::eq;
use obelysk_statement::fiat_shamir::{FiatShamir, Label};
use obelysk_statement::tree::Digest;
use obelysk_statement::words::{word, words_of};
use obelysk_statement::{Challenge, Statement, Value};
use obelysk_tests::random::Random;
use obelysk_tests::small::{HEADER, Small};
use obelysk_tests::subject::{Subject, tiny_chat};
use p3_field::PrimeCharacteristicRing;
use p3_whir::{WhirDomain, WhirQueryPoint};
use serde_json::json;

/// Where vectors are written.
fn folder() -> PathBuf {
    let folder = env::var_os("OBELYSK_VECTORS").map_or_else(|| env::temp_dir().join("obelysk-vectors"), PathBuf::from);
    fs::create_dir_all(&folder).expect("the folder can be made");
    folder
}

fn hex<T: Display>(felts: impl IntoIterator<Item = T>) -> Vec<String> {
    felts.into_iter().map(|felt| felt.to_string()).collect()
}

fn write(folder: &Path, name: &str, content: &serde_json::Value) {
    fs::write(folder.join(format!("{name}.json")), content.to_string()).expect("the folder takes files");
}

fn returns(folder: &Path, name: &str, function: &str, input: &[Felt], output: &[Felt]) {
    let function = format!("vectors::{function}");
    write(folder, name, &json!({ "function": function, "input": hex(input), "output": hex(output) }));
}

fn panics(folder: &Path, name: &str, function: &str, input: &[Felt], reason: &str) {
    let function = format!("vectors::{function}");
    write(folder, name, &json!({ "function": function, "input": hex(input), "panics": reason }));
}

fn number(number: usize) -> Felt {
    Felt::from(number as u64)
}

fn coordinates(values: &[Challenge]) -> Vec<Felt> {
    words_of(values).into_iter().map(|word| number(word as usize)).collect()
}

#[test]
fn the_field_has_vectors() {
    let folder = &folder();
    let mut random = Random::new(1);
    let edges = [Challenge::ZERO, Challenge::ONE, -Challenge::ONE, Challenge::ONE.halve(), Challenge::NEG_ONE];
    for seed in 0..8 {
        let mut drawn = random.challenges(5);
        if seed == 0 {
            drawn = edges.to_vec();
        }
        let [v, w, x, y, z] = drawn.clone().try_into().expect("five");
        let [za, zb, xa, ya] =
            [(z, 0), (z, 1), (x, 0), (y, 0)].map(|(of, place)| Value::from_u32(words_of(&[of])[place]));
        let one = Challenge::ONE;
        let challenges = [
            x + y,
            x - y,
            x * y,
            x * y + z,
            x - x * y,
            z * eq(&[x], &[y]),
            // c0 + r (sum - 2 c0 - c2 + r c2)
            w + y * (v - w - w - x + y * x),
            // sum - z (c1 + c2) + r (c1 + r c2)
            v - w * (x + y) + z * (x + z * y),
            x * (one + y * (za - Value::ONE)),
            x * zb,
        ];
        let mut output = coordinates(&challenges);
        output.extend([xa * ya, xa.square().double() - Value::ONE].map(|value| number(word(value) as usize)));
        let input: Vec<Felt> = words(&words_of(&drawn)).collect();
        returns(folder, &format!("field {seed}"), "arithmetic", &input, &output);
    }
    let [eight, seven, fifteen]: [Vec<u32>; 3] =
        [(8, 1), (7, 0), (15, 16)].map(|(count, shift)| (0..count).map(|_| random.word() >> shift).collect());
    let input = [(&eight, 31), (&seven, 32), (&fifteen, 16)].map(|(words, bits)| Felt::packed(words, bits));
    let output: Vec<Felt> = [eight, seven, fifteen].concat().into_iter().map(|word| number(word as usize)).collect();
    returns(folder, "words", "unpacking", &input, &output);
    let most =
        [Felt::packed(&[u32::MAX >> 1; 8], 31), Felt::packed(&[u32::MAX; 7], 32), Felt::packed(&[0xffff; 15], 16)];
    let output: Vec<Felt> = [vec![u32::MAX >> 1; 8], vec![u32::MAX; 7], vec![0xffff; 15]]
        .concat()
        .into_iter()
        .map(|word| number(word as usize))
        .collect();
    returns(folder, "words, the most", "unpacking", &most, &output);
    let mut above = most;
    above[1] = Felt::packed(&[0, 0, 0, 0, 0, 0, 0, 1 << 7], 31);
    panics(folder, "words, a digest of more than 224 bits", "unpacking", &above, "felt too large");
}

#[test]
fn the_transcript_has_vectors() {
    let folder = &folder();
    let mut transcript = FiatShamir::default();
    let (mut input, mut output) = (Vec::new(), Vec::new());
    for length in [0u32, 1, 7, 14, 15, 16, 31, 32, 40] {
        let message: Vec<u32> = (0..length).map(|index| (index + length).wrapping_mul(0x9e37_79b9)).collect();
        transcript.absorb(Label::CLAIMS, &message);
        let whole = [&[u32::from_le_bytes(*b"eval")], message.as_slice()].concat();
        input.push(number(whole.len()));
        input.extend(wide_words(&whole));
        output.push(Felt::from(Digest::of_state(transcript.state())));
        output.extend(coordinates(&transcript.challenges(2)));
    }
    returns(folder, "transcript", "absorbing", &input, &output);

    let mut transcript = FiatShamir::default();
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let mut swapped = Vec::new();
    for (count, bits) in [(1, 1), (9, 20), (20, 5), (32, 5), (240, 17)] {
        input.extend([number(count), number(bits)]);
        swapped.extend([number(count), number(bits)]);
        if count < 1 << bits {
            let drawn = transcript.clone().draws(count, bits);
            let mut order: Vec<u16> = (0..count as u16).collect();
            order.sort_by_key(|&place| drawn[usize::from(place)]);
            input.extend(entries(&order));
            if count == 20 {
                order[3] = order[4];
            }
            swapped.extend(entries(&order));
        }
        output.extend(transcript.positions(count, bits).into_iter().map(number));
        output.push(Felt::from(Digest::of_state(transcript.state())));
    }
    returns(folder, "positions", "drawing", &input, &output);
    panics(folder, "positions, one of them twice in place of another", "drawing", &swapped, "order of positions");

    let mut transcript = FiatShamir::default();
    let input: Vec<Felt> =
        [1, 8, 13].into_iter().flat_map(|bits| [number(bits), number(transcript.grind(bits) as usize)]).collect();
    returns(folder, "work", "working", &input, &[Felt::from(Digest::of_state(transcript.state()))]);
    let mut wrong = input;
    wrong[5] = number(0);
    panics(folder, "work, none", "working", &wrong, "work");
}

#[test]
fn the_circle_has_vectors() {
    let folder = &folder();
    let mut random = Random::new(3);
    for depth in [4usize, 11, 17, 24] {
        let positions: Vec<usize> = (0..6).map(|_| random.word() as usize % (1 << depth)).collect();
        let mut output = Vec::new();
        let mut last = Vec::new();
        for &position in &positions {
            let WhirQueryPoint::Multilinear(point) =
                WhirDomain::<Value, Challenge>::query_point(&CircleCode, depth, 4, position)
            else {
                unreachable!("the circle code has a multilinear basis")
            };
            last = point.as_slice().to_vec();
            output.extend([last[2], last[3]].map(|value| number(word(value) as usize)));
        }
        output.extend((0..16usize).map(|index| {
            let coordinates = last.iter().enumerate().filter(|(place, _)| index >> (3 - place) & 1 == 1);
            number(word(coordinates.map(|(_, &value)| value).product()) as usize)
        }));
        let input: Vec<Felt> = std::iter::once(depth).chain(positions).map(number).collect();
        returns(folder, &format!("circle {depth}"), "circling", &input, &output);
    }
}

/// A proof with all that a contract gets.
struct Whole {
    plan: ContractPlan,
    /// The plan and the claim, in felts.
    head: Vec<Felt>,
    /// Where the claim begins.
    claim: usize,
    steps: Vec<Step>,
    fact: Felt,
}

impl Whole {
    fn new(statement: &Statement, header: &[u8], weight_root: Digest, proof: &[u8]) -> Self {
        let plan = ContractPlan::new(statement).expect("a plan for a contract");
        let transcript = FiatShamir::start(header, statement, weight_root);
        let begun = Digest::of_state(transcript.state());
        let steps = steps(&plan.shape, transcript, proof).expect("a proof of the statement");
        let mut head = vec![number(plan.parts().count())];
        for part in plan.parts() {
            let felts: Vec<Felt> = entries(part).collect();
            head.extend([number(part.len()), number(felts.len())]);
            head.extend(felts);
        }
        let claim = head.len();
        let mut padded = header.to_vec();
        padded.resize(header.len().next_multiple_of(4), 0);
        let header_words: Vec<u32> =
            padded.chunks(4).map(|bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes"))).collect();
        head.push(number(header.len()));
        head.extend(wide_words(&header_words));
        head.push(Felt::from(statement.digest()));
        head.extend(wide_words(&statement.public_inputs()));
        head.push(Felt::from(weight_root));
        let said = plan.digest().0.into_iter().chain(begun.0);
        let fact = Felt::from(Digest::of_state(hash_words(initial(*b"obelfact"), said)));
        Self { plan, head, claim, steps, fact }
    }

    fn input(&self) -> Vec<Felt> {
        [self.head.clone(), self.steps.iter().flat_map(|step| step.felts.clone()).collect()].concat()
    }

    fn step(&mut self, kind: StepKind) -> &mut Vec<Felt> {
        &mut self.steps.iter_mut().find(|step| step.kind == kind).expect("a step of the proof").felts
    }
}

#[test]
fn honest_proofs_have_vectors() {
    let folder = &folder();
    let small = Small::new();
    let proof = small.prove();
    small.verify(&proof).expect("an honest proof");
    let of_small = || Whole::new(&small.statement, HEADER, small.model.root(), &proof);
    let honest = of_small();
    let planned = honest.head[..honest.claim].to_vec();
    returns(folder, "plan of the small statement", "planning", &planned, &[Felt::from(honest.plan.digest())]);
    returns(folder, "proof of the small statement", "proving", &honest.input(), &[honest.fact]);

    let subject = Subject::new(&tiny_chat(), &[&[5, 6, 7, 8, 9]], 3);
    let proof = subject.prove(&subject.witness).expect("a proof");
    subject.verify(&proof).expect("an honest proof");
    let header = subject.claim().header();
    let mut honest = Whole::new(&subject.statement, &header, subject.committed.root(), &proof);
    let _ = honest.step(StepKind::Claims);
    returns(folder, "proof of tiny-chat", "proving", &honest.input(), &[honest.fact]);
}
