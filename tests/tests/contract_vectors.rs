//! What the contract's functions are run on: inputs with what Rust computes from them, whole proofs among them, and attacks on these
//! with the reason for which each is refused. `cargo xtask contracts` names a folder in `OBELYSK_VECTORS`, and runs them.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use obelysk_chain::calldata::{Step, StepKind, brought, program, steps};
use obelysk_chain::felt::{Felt, WIDE_WORDS, entries, wide_words, words};
use obelysk_chain::plan::{ContractPlan, part_digest};
use obelysk_statement::blake2s::{hash_words, initial};
use obelysk_statement::circle::CircleCode;
use obelysk_statement::eq::eq;
use obelysk_statement::fiat_shamir::{FiatShamir, Label};
use obelysk_statement::tree::Digest;
use obelysk_statement::words::{word, words_of};
use obelysk_statement::{Challenge, Statement, Value};
use obelysk_tests::liar::{COMPUTED, Lie};
use obelysk_tests::random::Random;
use obelysk_tests::small::{HEADER, Small};
use obelysk_tests::subject::{Subject, tiny_chat};
use obelysk_verifier::VerifyError;
use obelysk_verifier::whir::OpeningError;
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
        Self::of_plan(plan, statement, header, weight_root, proof)
    }

    fn of_plan(plan: ContractPlan, statement: &Statement, header: &[u8], weight_root: Digest, proof: &[u8]) -> Self {
        let transcript = FiatShamir::start(header, statement, weight_root);
        let begun = Digest::of_state(transcript.state());
        let steps = steps(&plan.shape, transcript, proof).expect("a proof of the statement");
        let mut head = vec![number(plan.parts().count())];
        head.extend(plan.parts().flat_map(program));
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

    /// The head of a proof in steps: of the plan, the first part and the digests of the others; the claim.
    fn stepped(&self, steps: &[Vec<Felt>]) -> Vec<Felt> {
        let mut input = program(&self.plan.header);
        let digests: Vec<Felt> = self.plan.parts().skip(1).map(|part| Felt::from(part_digest(part))).collect();
        input.push(number(digests.len()));
        input.extend(digests);
        input.extend(&self.head[self.claim..]);
        for step in steps {
            input.push(number(step.len()));
            input.extend(step);
        }
        input
    }

    fn step(&mut self, kind: StepKind) -> &mut Vec<Felt> {
        &mut self.steps.iter_mut().find(|step| step.kind == kind).expect("a step of the proof").felts
    }
}

/// The contract's reason for what the verifier says.
fn reason(error: &VerifyError) -> &'static str {
    match error {
        VerifyError::Work { .. } | VerifyError::Opening { error: OpeningError::Work { .. }, .. } => "work",
        VerifyError::ZeroDenominator => "zero denominator",
        VerifyError::Tree { .. } => "tree of fractions",
        VerifyError::Equation(_) => "equation",
        VerifyError::Opening { error: OpeningError::Root { .. }, .. } => "root",
        VerifyError::Opening { error: OpeningError::Last { .. }, .. } => "last polynomial",
        VerifyError::Opening { error: OpeningError::Values, .. } => "claimed values",
        other => panic!("a contract has no reason for this: {other}"),
    }
}

/// A proof of the small statement with what a contract gets.
fn small_with(small: &Small, proof: &[u8]) -> Whole {
    Whole::new(&small.statement, HEADER, small.model.root(), proof)
}

#[test]
fn honest_proofs_have_vectors() {
    let folder = &folder();
    let small = Small::new();
    let proof = small.prove();
    small.verify(&proof).expect("an honest proof");
    let honest = small_with(&small, &proof);
    let planned = honest.head[..honest.claim].to_vec();
    returns(folder, "plan of the small statement", "planning", &planned, &[Felt::from(honest.plan.digest())]);
    returns(folder, "proof of the small statement", "proving", &honest.input(), &[honest.fact]);

    // 24 tokens in, 16 out.
    let prompt: Vec<u32> = (5..29).collect();
    let subject = Subject::new(&tiny_chat(), &[&prompt], 16);
    let proof = subject.prove(&subject.witness).expect("a proof");
    subject.verify(&proof).expect("an honest proof");
    let header = subject.claim().header();
    let honest = Whole::new(&subject.statement, &header, subject.committed.root(), &proof);
    returns(folder, "proof of tiny-chat", "proving", &honest.input(), &[honest.fact]);
    let steps = [
        "plan",
        "claim",
        "lookups",
        "products",
        "zerochecks",
        "claims",
        "opening of the weights",
        "opening of the witness",
    ];
    let costs = json!({ "function": "vectors::costing", "input": hex(honest.input()), "shows": steps });
    write(folder, "proof of tiny-chat by step", &costs);
    // Another token, by itself: the transcript is another one from the start.
    let mut input = honest.input();
    let bytes = header.len().div_ceil(4);
    let public = honest.claim + 1 + bytes.div_ceil(WIDE_WORDS) + 1;
    input[public] = Felt::packed(&[9; WIDE_WORDS], 32);
    assert_ne!(input[public], honest.input()[public]);
    panics(folder, "attack: another token for tiny-chat", "proving", &input, "work");
}

/// A lie, what is committed, and what is told.
type Forgery<'a> = (&'a str, Small, &'a Small, Vec<Lie>);

/// Every forged proof is refused by verifier and contract, and for the same reason.
#[test]
fn proofs_of_false_statements_have_vectors() {
    let folder = &folder();
    let small = Small::new();
    let changed = |tensor: &str, place: usize, by: i32| {
        let mut forged = small.clone();
        *forged.entry(tensor, place) += by;
        forged.count();
        forged
    };
    let [z, product, sum, f] =
        [("z", 0), ("a times w", 1), ("sum", 2), ("f", 1)].map(|(tensor, place)| changed(tensor, place, 1));
    let outside = changed("u", 0, -6);
    let other = small.with_weights([("w", [2, 3]), ("v", [1, 2])]);
    let exchanged = Small { model: Arc::clone(&small.model), ..other.clone() };
    let with = |more: &[Lie]| [COMPUTED.as_slice(), more].concat();
    let honestly = Vec::new;
    let forgeries: Vec<Forgery> = vec![
        ("a row relation that does not hold", z.clone(), &z, honestly()),
        ("a zerocheck over rows that hold", z.clone(), &small, vec![Lie::Zerochecks]),
        ("a wrong output of a product", product.clone(), &product, honestly()),
        ("a product over other factors", product.clone(), &small, vec![Lie::Sums, Lie::Products]),
        ("a linear relation that does not hold", sum.clone(), &sum, honestly()),
        ("a value outside of its range", outside.clone(), &outside, honestly()),
        ("a false root of the tree", outside.clone(), &outside, vec![Lie::Numerators]),
        ("leaves that are not the committed ones", f.clone(), &small, vec![Lie::Leaves]),
        ("claimed values that are not the committed ones", z.clone(), &small, with(&[])),
        ("a polynomial that is not the committed one", z.clone(), &small, with(&[Lie::Columns])),
        ("a witness exchanged after the commitment", z.clone(), &small, with(&[Lie::Columns, Lie::Queries])),
        ("weights of another model, their values", exchanged.clone(), &other, with(&[])),
        ("weights of another model, opened", exchanged.clone(), &other, with(&[Lie::Columns])),
        ("weights of another model, with their rows", exchanged.clone(), &other, with(&[Lie::Columns, Lie::Queries])),
    ];
    let mut reasons = BTreeSet::new();
    for (name, committed, told, lies) in forgeries {
        let proof = committed.lie(told, &lies);
        let error = small.verify(&proof).expect_err(name);
        reasons.insert(reason(&error));
        panics(folder, &format!("attack: {name}"), "proving", &small_with(&small, &proof).input(), reason(&error));
    }
    let all = ["claimed values", "equation", "last polynomial", "root", "tree of fractions"];
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), all);
}

/// The honest proof, changed in one place that no challenge follows.
#[test]
fn changed_calldata_has_vectors() {
    let folder = &folder();
    let small = Small::new();
    let proof = small.prove();
    let honest = || small_with(&small, &proof);
    let shape = honest().plan.shape;
    let attack = |name: &str, reason: &str, change: &dyn Fn(&mut Whole)| {
        let mut changed = honest();
        change(&mut changed);
        assert_ne!(changed.input(), honest().input(), "{name}");
        panics(folder, &format!("attack: {name}"), "proving", &changed.input(), reason);
    };
    let last = shape.openings.len() - 1;
    let rounds = shape.openings[last].codes.len();
    let (first, end) = (StepKind::Round(last, 0), StepKind::Round(last, rounds));
    let one = Felt::from(1);
    attack("a root of the tree of fractions of zero", "zero denominator", &|whole| {
        // The root of the witness and a work come before; the denominator is the next message.
        whole.step(StepKind::Lookup)[2] = Felt::default();
    });
    attack("a changed round of the lookup argument", "tree of fractions", &|whole| {
        whole.step(StepKind::Lookup)[8] = one
    });
    attack("no work before the lookup argument", "work", &|whole| whole.step(StepKind::Lookup)[1] = Felt::default());
    attack("a changed sum of a product", "equation", &|whole| whole.step(StepKind::Product(0))[0] = one);
    attack("a changed round of a product", "equation", &|whole| whole.step(StepKind::Product(0))[1] = one);
    attack("a changed round of a zerocheck", "equation", &|whole| whole.step(StepKind::Zerocheck(0))[0] = one);
    attack("a changed claimed value", "equation", &|whole| whole.step(StepKind::Claims)[0] = one);
    attack("two claimed values in place of each other", "equation", &|whole| whole.step(StepKind::Claims).swap(3, 4));
    attack("a changed sibling", "root", &|whole| {
        let felts = whole.step(end);
        let folds = shape.openings[last].last_variables * if shape.openings[last].last_grinding > 0 { 2 } else { 1 };
        let sibling = felts.len() - folds - 1;
        felts[sibling] = one;
    });
    attack("two siblings in place of each other", "root", &|whole| {
        let felts = whole.step(end);
        let folds = shape.openings[last].last_variables * if shape.openings[last].last_grinding > 0 { 2 } else { 1 };
        let sibling = felts.len() - folds - 1;
        felts.swap(sibling, sibling - 1);
    });
    attack("a changed fold of an opening", "claimed values", &|whole| {
        let felts = whole.step(end);
        let place = felts.len() - 1;
        felts[place] = one;
    });
    attack("a changed first fold of an opening", "work", &|whole| whole.step(first)[0] = one);
    attack("a felt too many", "proof too long", &|whole| whole.step(end).push(one));
    attack("a felt too few", "proof too short", &|whole| {
        whole.step(end).pop();
    });
    attack("another header", "work", &|whole| whole.head[whole.claim + 1] = one);
    attack("another statement's digest", "work", &|whole| whole.head[whole.claim + 2] = one);
    attack("another root of the weights", "work", &|whole| {
        let place = whole.head.len() - 1;
        whole.head[place] = one;
    });
}

/// A proof in steps, with nothing between two of them but the state; and steps that are not those of the proof.
#[test]
fn proofs_in_steps_have_vectors() {
    let folder = &folder();
    let small = Small::new();
    let honest = small_with(&small, &small.prove());
    let steps = brought(&honest.plan, &honest.steps);
    returns(folder, "proof of the small statement in steps", "stepping", &honest.stepped(&steps), &[honest.fact]);
    let attack = |name: &str, reason: &str, change: &dyn Fn(&mut Vec<Vec<Felt>>)| {
        let mut changed = steps.clone();
        change(&mut changed);
        panics(folder, &format!("attack: {name}"), "stepping", &honest.stepped(&changed), reason);
    };
    let place = |kind: StepKind| honest.steps.iter().position(|step| step.kind == kind).expect("a step of the proof");
    let (claims, opening) = (place(StepKind::Claims), place(StepKind::Round(1, 0)));
    attack("a step twice", "proof too short", &|steps| steps.insert(1, steps[1].clone()));
    attack("a step that is left out", "plan", &|steps| drop(steps.remove(claims)));
    attack("equations of another plan", "plan", &|steps| steps[claims][2] = Felt::from(1));
    attack("an opening of other values than the claimed ones", "claimed values", &|steps| steps[opening].swap(0, 1));
    attack("the last step left out", "proof too short", &|steps| drop(steps.pop()));

    let prompt: Vec<u32> = (5..29).collect();
    let subject = Subject::new(&tiny_chat(), &[&prompt], 16);
    let proof = subject.prove(&subject.witness).expect("a proof");
    let whole = Whole::new(&subject.statement, &subject.claim().header(), subject.committed.root(), &proof);
    let steps = brought(&whole.plan, &whole.steps);
    let longest = steps.iter().map(Vec::len).max().unwrap_or_default();
    assert!(longest < 4_500, "a step of {longest} felts leaves no room in a call");
    returns(folder, "proof of tiny-chat in steps", "stepping", &whole.stepped(&steps), &[whole.fact]);
    let state = json!({ "function": "vectors::longest_state", "input": hex(whole.stepped(&steps)), "shows": ["felts of the longest state"] });
    write(folder, "proof of tiny-chat in steps, what goes between", &state);
}

/// A plan that demands less is another plan: what is recorded says so.
#[test]
fn the_fact_names_the_plan() {
    let small = Small::new();
    let proof = small.prove();
    let honest = small_with(&small, &proof);
    let mut weaker = honest.plan.clone();
    weaker.equations.truncate(weaker.equations.len() - 3);
    let changed = Whole::of_plan(weaker, &small.statement, HEADER, small.model.root(), &proof);
    assert_ne!(changed.fact, honest.fact);
    returns(
        &folder(),
        "proof under a plan that demands less: another fact",
        "proving",
        &changed.input(),
        &[changed.fact],
    );
}
