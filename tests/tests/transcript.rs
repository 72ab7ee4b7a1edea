//! What a challenge depends on: everything that was said before it.

use std::sync::Arc;

use obelysk_statement::description::Inference;
use obelysk_statement::fiat_shamir::FiatShamir;
use obelysk_statement::plan::Plan;
use obelysk_statement::relation::{Certificate, Index, Interval, Relation, TensorKind};
use obelysk_statement::tree::{DIGEST_WORDS, Digest};
use obelysk_statement::{Challenge, Claim, Mode, Profile, PublicTensor, SPECIFICATION, Statement, TableRows};
use obelysk_tests::messages::words;
use obelysk_tests::small::{HEADER, Small};
use obelysk_tests::subject::{Subject, fixture};
use obelysk_verifier::verify;

fn first_challenge(header: &[u8], statement: &Statement, root: Digest) -> Challenge {
    FiatShamir::start(header, statement, root).challenge()
}

/// What is changed, and how.
type Change<T> = (&'static str, fn(&mut T));

#[test]
fn a_challenge_depends_on_the_header() {
    let statement = Small::new().statement;
    let of = |header: &[u8]| first_challenge(header, &statement, Digest::default());
    assert_eq!(of(b"a claim"), of(b"a claim"));
    for other in [&b"another claim"[..], b"a clain", b"a claim ", b"a claim\0", b""] {
        assert_ne!(of(b"a claim"), of(other), "{other:?}");
    }
}

#[test]
fn a_challenge_depends_on_the_root_of_the_weights() {
    let statement = Small::new().statement;
    for word in 0..DIGEST_WORDS {
        let mut root = Digest([7; DIGEST_WORDS]);
        root.0[word] ^= 1;
        let challenges = [Digest([7; DIGEST_WORDS]), root].map(|root| first_challenge(HEADER, &statement, root));
        assert_ne!(challenges[0], challenges[1], "word {word}");
    }
}

fn relation<'a>(statement: &'a mut Statement, name: &str) -> &'a mut Relation {
    let named = statement.relations.iter_mut().find(|named| named.name == name);
    &mut named.expect("a relation of the statement").relation
}

#[test]
fn a_challenge_depends_on_every_part_of_the_statement() {
    let honest = Small::new().statement;
    let changes: [Change<Statement>; 26] = [
        ("size of an axis", |statement| statement.axes[0].size += 1),
        ("number of axes", |statement| drop(statement.axes.pop())),
        ("axes of a tensor", |statement| statement.tensors[0].axes.clear()),
        ("kind of a tensor", |statement| {
            let weight = statement.find("w").unwrap().0 as usize;
            statement.tensors[weight].kind = TensorKind::Witness;
        }),
        ("number of tensors", |statement| drop(statement.tensors.pop())),
        ("entries of a public tensor", |statement| {
            let mask = statement.find("mask").unwrap().0 as usize;
            let values = Arc::new(vec![1, 1, 1]);
            statement.tensors[mask].kind = TensorKind::Public(PublicTensor::Dense { shape: vec![3], values });
        }),
        ("rule of a public tensor", |statement| {
            let mask = statement.find("mask").unwrap().0 as usize;
            statement.tensors[mask].kind = TensorKind::Public(PublicTensor::Causal { size: 3 });
        }),
        ("counts of a table", |statement| statement.tables[0].multiplicity = statement.tables[1].multiplicity),
        ("size of a range", |statement| statement.tables[0].rows = TableRows::Range { bits: 3 }),
        ("first argument of a function", |statement| {
            let rows = &mut statement.tables[2].rows;
            let TableRows::Function { first, .. } = rows else { panic!("a function") };
            *first += 1;
        }),
        ("values of a function", |statement| {
            let TableRows::Function { values, .. } = &mut statement.tables[2].rows else { panic!("a function") };
            values.0 += 1;
        }),
        ("length of a function", |statement| {
            let TableRows::Function { bits, .. } = &mut statement.tables[2].rows else { panic!("a function") };
            *bits += 1;
        }),
        ("ends of a clamp", |statement| statement.tables[0].rows = TableRows::Clamp { bits: 2, low: -1, high: 1 }),
        ("number of tables", |statement| drop(statement.tables.pop())),
        ("axes of a relation", |statement| statement.relations[0].axes.clear()),
        ("coefficient of a contraction", |statement| {
            let Relation::Product { contractions, .. } = relation(statement, "a times w: product") else { panic!() };
            contractions[0].coefficient = 2;
        }),
        ("factor of a contraction", |statement| {
            let Relation::Product { contractions, .. } = relation(statement, "a times w: product") else { panic!() };
            contractions[0].right.tensor.0 += 1;
        }),
        ("output of a product", |statement| {
            let Relation::Product { output, .. } = relation(statement, "a times w: product") else { panic!() };
            output.constant = 1;
        }),
        ("coefficient of an output", |statement| {
            let Relation::Product { output, .. } = relation(statement, "sum: of a") else { panic!() };
            output.terms[0].0 = 2;
        }),
        ("index of an access", |statement| {
            let Relation::Product { output, .. } = relation(statement, "mixed: sum") else { panic!() };
            output.terms[3].1.index[1] = Index::Fixed(0);
        }),
        ("coefficient of a monomial", |statement| {
            let Relation::Rows { monomials } = relation(statement, "z: product") else { panic!() };
            monomials[0].coefficient = 2;
        }),
        ("factor of a form that vanishes", |statement| {
            let Relation::Vanishing { left, .. } = relation(statement, "x or u") else { panic!() };
            left.constant = 1;
        }),
        ("table of a lookup", |statement| {
            let Relation::Lookup(lookup) = relation(statement, "m: range") else { panic!() };
            lookup.table.0 = 0;
        }),
        ("mask of a lookup", |statement| {
            let Relation::Lookup(lookup) = relation(statement, "m: range") else { panic!() };
            lookup.mask = None;
        }),
        ("order of relations", |statement| statement.relations.swap(0, 1)),
        ("number of relations", |statement| drop(statement.relations.pop())),
    ];
    for (name, change) in changes {
        let mut changed = honest.clone();
        change(&mut changed);
        let [before, after] =
            [&honest, &changed].map(|statement| first_challenge(HEADER, statement, Digest::default()));
        assert_ne!(before, after, "{name}");
        assert_ne!(honest.digest(), changed.digest(), "{name}");
    }
}

/// They decide whether a statement compiles, which the verifier sees for itself, and nothing of what is proven.
#[test]
fn names_and_intervals_are_outside_of_the_digest() {
    let honest = Small::new().statement;
    let mut renamed = honest.clone();
    renamed.tensors[0].name.push('2');
    renamed.relations[0].name.push('2');
    renamed.tensors[0].interval = Interval::new(0, 1);
    renamed.tensors[0].certificate = Certificate::None;
    assert_eq!(honest.digest(), renamed.digest());
}

#[test]
fn a_challenge_depends_on_every_token() {
    let statement = |columns: &[u32], bounds: &[u32]| {
        let mut sketch = obelysk_tests::sketch::Sketch::default();
        let axes = [2, 4].map(|size| sketch.axis(size));
        sketch.public("token", &axes, PublicTensor::OneHot { columns: Arc::new(columns.to_vec()), rows: 2, width: 4 });
        sketch.public("below", &axes, PublicTensor::Below { bounds: Arc::new(bounds.to_vec()), rows: 2, width: 4 });
        sketch.statement
    };
    let honest = statement(&[1, 2], &[3, 0]);
    for other in [statement(&[1, 3], &[3, 0]), statement(&[1, 2], &[3, 1]), statement(&[2, 1], &[3, 0])] {
        // The digest is one of model and shape; tokens are public inputs of their own.
        assert_eq!(honest.digest(), other.digest());
        let [before, after] = [&honest, &other].map(|of| first_challenge(HEADER, of, Digest::default()));
        assert_ne!(before, after);
    }
}

#[test]
fn a_proof_of_work_changes_what_follows_and_counts_its_bits() {
    let start = || FiatShamir::start(HEADER, &Statement::default(), Digest::default());
    let [mut transcript, mut other, mut lazy] = [start(), start(), start()];
    let witness = transcript.grind(8);
    assert!(other.check(witness, 8));
    let hits = (0..1024).filter(|&witness| lazy.clone().check(witness, 8)).count();
    assert!((1..20).contains(&hits), "{hits} of 1024 witnesses have 8 bits");
    let ground = transcript.challenge();
    assert_eq!(ground, other.challenge());
    assert_ne!(ground, lazy.challenge());
}

#[test]
fn the_points_of_relations_depend_on_what_was_said() {
    let statement = Small::new().statement;
    let plan = Plan::new(&statement).unwrap();
    let points = |header: &[u8]| plan.draw_points(&mut FiatShamir::start(header, &statement, Digest::default()));
    let [left, right] = [points(b"one"), points(b"other")];
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (axis, coordinates) in &left {
        assert_ne!(coordinates, &right[axis], "{axis:?}");
        for pair in coordinates.windows(2) {
            assert_ne!(pair[0], pair[1], "{axis:?}");
        }
    }
}

/// The words of a proof that follow the root of the witness: the first proof of work, and the denominator of the fractions.
fn first_words(small: &Small) -> (u32, Vec<u32>) {
    let words = words(&small.prove());
    (words[DIGEST_WORDS], words[DIGEST_WORDS + 1..][..4].to_vec())
}

#[test]
fn a_proof_convinces_of_no_other_header() {
    let small = Small::new();
    let proof = small.prove();
    assert!(verify(&small.statement, HEADER, small.model.root(), &proof).is_ok());
    assert!(verify(&small.statement, b"another", small.model.root(), &proof).is_err());
}

/// The root of the witness precedes every challenge: two witnesses with one set of messages are two proofs.
#[test]
fn the_root_of_the_witness_is_not_outside_of_the_transcript() {
    let small = Small::new();
    let mut other = small.clone();
    *other.entry("m", 1) += 1;
    let [left, right] = [&small, &other].map(first_words);
    assert_ne!(left.0, right.0);
    assert_ne!(left.1, right.1);
}

fn claim() -> Claim {
    Claim {
        specification: SPECIFICATION,
        mode: Mode::Gkr,
        profile: Profile::Blake2s,
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
    let digest = description.digest(Profile::Blake2s, Digest::default());
    assert_ne!(description.digest(Profile::Blake2s, Digest([1; DIGEST_WORDS])), digest);
    let mut other = description.clone();
    other.hidden_norm.epsilon += 1;
    assert_ne!(other.digest(Profile::Blake2s, Digest::default()), digest);
}
