//! What a challenge depends on: everything that was said before it.

use obelysk_statement::description::Inference;
use obelysk_statement::plan::Plan;
use obelysk_statement::transcript::{check_grinding, grind, sample, start};
use obelysk_statement::{Challenge, Claim, Mode, Profile, SPECIFICATION, Statement, Value};
use obelysk_tests::forger::{Lies, forge};
use obelysk_tests::small::{HEADER, Small};
use obelysk_tests::subject::{Subject, fixture};
use obelysk_verifier::verify;

/// A change, and what it is.
type Change<T> = (&'static str, fn(&mut T));

fn first_challenge(header: &[u8], statement: &Statement, root: [u8; 32]) -> Challenge {
    sample(&mut start(header, statement, &root))
}

#[test]
fn a_challenge_depends_on_the_header() {
    let statement = Small::new().statement;
    let of = |header: &[u8]| first_challenge(header, &statement, [0; 32]);
    assert_eq!(of(b"a claim"), of(b"a claim"));
    for other in [&b"another claim"[..], b"a clain", b"a claim ", b""] {
        assert_ne!(of(b"a claim"), of(other), "{other:?}");
    }
}

#[test]
fn a_challenge_depends_on_the_root_of_the_weights() {
    let statement = Small::new().statement;
    for byte in 0..32 {
        let mut root = [7; 32];
        root[byte] ^= 1;
        let challenges = [[7; 32], root].map(|root| first_challenge(HEADER, &statement, root));
        assert_ne!(challenges[0], challenges[1], "byte {byte}");
    }
}

#[test]
fn a_challenge_depends_on_every_part_of_the_statement() {
    let honest = Small::new().statement;
    let changes: [Change<Statement>; 8] = [
        ("size of an axis", |statement| statement.axes[0].size += 1),
        ("name of a tensor", |statement| statement.tensors[0].name.push('2')),
        ("interval of a tensor", |statement| statement.tensors[0].interval.high += 1),
        ("mass of a row", |statement| statement.tensors[0].row_mass = Some(1)),
        ("norm of a row", |statement| statement.tensors[0].row_norm = Some(1)),
        ("name of a table", |statement| statement.tables[0].name.push('2')),
        ("order of relations", |statement| statement.relations.swap(0, 1)),
        ("number of relations", |statement| drop(statement.relations.pop())),
    ];
    for (name, change) in changes {
        let mut changed = honest.clone();
        change(&mut changed);
        let [before, after] = [&honest, &changed].map(|statement| first_challenge(HEADER, statement, [0; 32]));
        assert_ne!(before, after, "{name}");
        assert_ne!(honest.digest(), changed.digest(), "{name}");
    }
}

#[test]
fn a_proof_of_work_changes_what_follows_and_counts_its_bits() {
    let mut transcript = start(HEADER, &Statement::default(), &[0; 32]);
    let mut other = transcript.clone();
    let witness = grind(&mut transcript, 8);
    assert!(check_grinding(&mut other, 8, witness));
    let mut lazy = start(HEADER, &Statement::default(), &[0; 32]);
    let hits = (0..1024).filter(|&witness| check_grinding(&mut lazy.clone(), 8, Value::new(witness))).count();
    assert!((1..20).contains(&hits), "{hits} of 1024 witnesses have 8 bits");
    let ground = sample(&mut transcript);
    assert_eq!(ground, sample(&mut other));
    assert_ne!(ground, sample(&mut lazy));
}

#[test]
fn the_points_of_relations_depend_on_what_was_said() {
    let statement = Small::new().statement;
    let plan = Plan::new(&statement).unwrap();
    let points = |header: &[u8]| plan.draw_points(&mut start(header, &statement, &[0; 32]));
    let [left, right] = [points(b"one"), points(b"other")];
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (axis, coordinates) in &left {
        assert_ne!(coordinates, &right[axis], "{axis:?}");
        for pair in coordinates.windows(2) {
            assert_ne!(pair[0], pair[1], "{axis:?}");
        }
    }
}

/// The same statement and witness under another header are another proof from the first challenge on.
#[test]
fn public_inputs_are_not_outside_of_the_transcript() {
    let small = Small::new();
    let root = small.root();
    let proof = forge(&small.statement, HEADER, &small.weights, &small.witness, Lies::default());
    let other = forge(&small.statement, b"another", &small.weights, &small.witness, Lies::default());
    assert_ne!(proof.grinding, other.grinding);
    assert!(verify(&small.statement, HEADER, &root, &proof.encode()).is_ok());
    assert!(verify(&small.statement, b"another", &root, &other.encode()).is_ok());
    assert!(verify(&small.statement, b"another", &root, &proof.encode()).is_err());
    assert!(verify(&small.statement, HEADER, &root, &other.encode()).is_err());
}

/// The root of the witness precedes every challenge: two witnesses with one set of messages are two proofs.
#[test]
fn the_root_of_the_witness_is_not_outside_of_the_transcript() {
    let small = Small::new();
    let mut other = small.clone();
    *other.entry("m", 1) += 1;
    let [left, right] =
        [&small, &other].map(|small| forge(&small.statement, HEADER, &small.weights, &small.witness, Lies::default()));
    assert_ne!(left.grinding, right.grinding);
    let roots = [&left, &right].map(|proof| proof.lookup.as_ref().unwrap().root_denominator);
    assert_ne!(roots[0], roots[1]);
}

fn claim() -> Claim {
    Claim {
        specification: SPECIFICATION,
        mode: Mode::Gkr,
        profile: Profile::Blake3,
        nonce: "00".repeat(32),
        model_digest: "11".repeat(32),
        weight_root: "22".repeat(32),
        prompt_tokens: vec![1, 2],
        output_tokens: vec![3, 4],
        further: vec![Inference { prompt_tokens: vec![5], output_tokens: vec![6] }],
    }
}

#[test]
fn a_header_holds_every_field_of_a_claim() {
    let changes: [Change<Claim>; 12] = [
        ("specification", |claim| claim.specification += 1),
        ("nonce", |claim| claim.nonce = "01".repeat(32)),
        ("model digest", |claim| claim.model_digest = "01".repeat(32)),
        ("weight root", |claim| claim.weight_root = "01".repeat(32)),
        ("prompt token", |claim| claim.prompt_tokens[1] = 9),
        ("output token", |claim| claim.output_tokens[0] = 9),
        ("order of a prompt", |claim| claim.prompt_tokens.swap(0, 1)),
        ("a token moved from the prompt to the output", |claim| {
            let moved = claim.prompt_tokens.pop().unwrap();
            claim.output_tokens.insert(0, moved);
        }),
        ("a token moved to the next inference", |claim| {
            let moved = claim.output_tokens.pop().unwrap();
            claim.further[0].prompt_tokens.insert(0, moved);
        }),
        ("an inference less", |claim| claim.further.clear()),
        ("an inference more", |claim| claim.further.extend(claim.further.last().cloned())),
        ("tokens of a further inference", |claim| claim.further[0].output_tokens[0] = 9),
    ];
    for (name, change) in changes {
        let mut changed = claim();
        change(&mut changed);
        assert_ne!(changed.header(), claim().header(), "{name}");
    }
}

#[test]
fn a_model_digest_depends_on_the_description_and_on_the_root() {
    let subject = Subject::new(&fixture("qwen3"), &[&[5]], 1);
    let description = &subject.model.description;
    let digest = description.digest(Profile::Blake3, &[0; 32]);
    assert_ne!(description.digest(Profile::Blake3, &[1; 32]), digest);
    let mut other = description.clone();
    other.hidden_norm.epsilon += 1;
    assert_ne!(other.digest(Profile::Blake3, &[0; 32]), digest);
}
