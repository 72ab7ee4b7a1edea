//! Every message of a proof, changed: missing, repeated, out of place, longer, shorter or off by one. The counts come from the
//! statement, so nothing that the proof says of itself is followed.

use std::sync::LazyLock;

use obelysk_prover::{Honesty, WeightCommitment, prove};
use obelysk_statement::transcript::{Opening, Root};
use obelysk_statement::{Challenge, Value};
use obelysk_tests::small::{HEADER, Small};
use obelysk_verifier::proof::{Proof, Sumcheck, root_bytes};
use obelysk_verifier::{VerifyError, verify};
use p3_field::PrimeCharacteristicRing;
use p3_multi_stark::fractional_gkr::FractionGkrProof;
use p3_multilinear_util::poly::Poly;
use p3_sumcheck::OpeningBatch;
use p3_whir::QueryOpenings;

type Change<T> = (&'static str, fn(&mut T));

static HONEST: LazyLock<(Small, [u8; 32], Vec<u8>)> = LazyLock::new(|| {
    let small = Small::new();
    let commitment = WeightCommitment::new(&small.statement, &small.weights).unwrap();
    let root = commitment.root();
    let (weights, witness) = (small.weights.clone(), small.witness.clone());
    let proof = prove(&small.statement, HEADER, commitment, weights, witness, Honesty::Checked).unwrap().proof;
    verify(&small.statement, HEADER, &root, &proof).expect("the proof convinces before it is changed");
    (small, root, proof)
});

/// Change the part of a proof that `of` finds; every change is refused, whatever it leaves.
fn refuses<T>(part: &str, changes: &[Change<T>], of: impl Fn(&mut Proof) -> &mut T) {
    let (small, root, honest) = &*HONEST;
    for (name, change) in changes {
        let mut proof = Proof::decode(honest).unwrap();
        change(of(&mut proof));
        let bytes = proof.encode();
        assert!(bytes != *honest, "{part}, {name}: nothing was changed");
        let refused = verify(&small.statement, HEADER, root, &bytes);
        println!("{part}, {name}: {}", refused.as_ref().map_or_else(ToString::to_string, |_| "ACCEPTED".into()));
        assert!(refused.is_err(), "{part}, {name}: accepted");
    }
    println!("{} attacks on the {part}", changes.len());
}

fn up(value: &mut Challenge) {
    *value += Challenge::ONE;
}

const COMMITMENT: [Change<Proof>; 6] = [
    ("missing", |proof| proof.witness_root = None),
    ("of another value", |proof| {
        let mut bytes = root_bytes(proof.witness_root.as_ref().unwrap()).unwrap();
        bytes[31] ^= 1;
        proof.witness_root = Some(Root::new(vec![bytes]));
    }),
    ("of two roots", |proof| {
        let bytes = root_bytes(proof.witness_root.as_ref().unwrap()).unwrap();
        proof.witness_root = Some(Root::new(vec![bytes; 2]));
    }),
    ("zero", |proof| proof.witness_root = Some(Root::new(vec![[0; 32]]))),
    ("grinding one more", |proof| proof.grinding += Value::ONE),
    ("grinding zero", |proof| proof.grinding = Value::ZERO),
];

const TREE: [Change<Option<FractionGkrProof<Challenge>>>; 22] = [
    ("missing", |tree| *tree = None),
    ("root denominator zero", |tree| of(tree).root_denominator = Challenge::ZERO),
    ("root denominator one more", |tree| up(&mut of(tree).root_denominator)),
    ("no layers", |tree| of(tree).layers.clear()),
    ("last layer missing", |tree| drop(of(tree).layers.pop())),
    ("first layer missing", |tree| drop(of(tree).layers.remove(0))),
    ("last layer twice", |tree| {
        let last = of(tree).layers.last().cloned();
        of(tree).layers.extend(last);
    }),
    ("layers swapped", |tree| of(tree).layers.swap(1, 2)),
    ("layers reversed", |tree| of(tree).layers.reverse()),
    ("left numerator one more", |tree| up(&mut last(tree).claims.n0)),
    ("right numerator one more", |tree| up(&mut last(tree).claims.n1)),
    ("left denominator one more", |tree| up(&mut last(tree).claims.d0)),
    ("right denominator one more", |tree| up(&mut last(tree).claims.d1)),
    ("children swapped", |tree| {
        let claims = &mut last(tree).claims;
        std::mem::swap(&mut claims.n0, &mut claims.n1);
        std::mem::swap(&mut claims.d0, &mut claims.d1);
    }),
    ("first numerators one more", |tree| up(&mut of(tree).layers[0].claims.n0)),
    ("denominators zero", |tree| {
        let claims = &mut last(tree).claims;
        (claims.d0, claims.d1) = (Challenge::ZERO, Challenge::ZERO);
    }),
    ("round missing", |tree| last(tree).round_polys.truncate(1)),
    ("round twice", |tree| {
        let round = last(tree).round_polys[0];
        last(tree).round_polys.push(round);
    }),
    ("rounds swapped", |tree| last(tree).round_polys.swap(0, 1)),
    ("round at zero one more", |tree| up(&mut last(tree).round_polys[0][0])),
    ("round at two one more", |tree| up(&mut last(tree).round_polys[0][1])),
    ("round at three one more", |tree| up(&mut last(tree).round_polys[0][2])),
];

fn of(tree: &mut Option<FractionGkrProof<Challenge>>) -> &mut FractionGkrProof<Challenge> {
    tree.as_mut().expect("a lookup argument")
}

fn last(
    tree: &mut Option<FractionGkrProof<Challenge>>,
) -> &mut p3_multi_stark::fractional_gkr::FractionGkrLayerProof<Challenge> {
    of(tree).layers.last_mut().expect("layers")
}

const SUMCHECKS: [Change<Vec<Sumcheck>>; 15] = [
    ("missing", Vec::clear),
    ("last one missing", |sumchecks| drop(sumchecks.pop())),
    ("last one twice", |sumchecks| sumchecks.extend(sumchecks.last().cloned())),
    ("sum one more", |sumchecks| up(&mut sumchecks[0].claimed_sum)),
    ("sum doubled and one more", |sumchecks| {
        let sum = sumchecks[0].claimed_sum;
        sumchecks[0].claimed_sum += sum + Challenge::ONE;
    }),
    ("no rounds", |sumchecks| sumchecks[0].round_polys.clear()),
    ("last round missing", |sumchecks| drop(sumchecks[0].round_polys.pop())),
    ("last round twice", |sumchecks| {
        let last = sumchecks[0].round_polys.last().cloned();
        sumchecks[0].round_polys.extend(last);
    }),
    ("round of a higher degree", |sumchecks| sumchecks[0].round_polys[0].push(Challenge::ZERO)),
    ("round of a lower degree", |sumchecks| sumchecks[0].round_polys[0].truncate(1)),
    ("empty round", |sumchecks| sumchecks[0].round_polys[0].clear()),
    ("last round empty", |sumchecks| sumchecks[0].round_polys.last_mut().unwrap().clear()),
    ("round at zero one more", |sumchecks| up(&mut sumchecks[0].round_polys[0][0])),
    ("last value of the last round one more", |sumchecks| {
        up(sumchecks[0].round_polys.last_mut().unwrap().last_mut().unwrap());
    }),
    ("grinding that nobody asked for", |sumchecks| sumchecks[0].pow_witnesses.push(Value::ONE)),
];

fn batches(opening: &Opening) -> Vec<Vec<Challenge>> {
    opening.evals.iter().map(|batch| batch.current().to_vec()).collect()
}

fn set(opening: &mut Opening, batches: Vec<Vec<Challenge>>) {
    opening.evals = batches.into_iter().map(|values| OpeningBatch::new(values, Vec::new())).collect();
}

/// Change the opened values, by their batches.
fn values(opening: &mut Option<Opening>, change: impl FnOnce(&mut Vec<Vec<Challenge>>)) {
    let opening = some(opening);
    let mut values = batches(opening);
    change(&mut values);
    set(opening, values);
}

fn some(opening: &mut Option<Opening>) -> &mut Opening {
    opening.as_mut().expect("an opening")
}

/// Change the rows that queries of a round open, whichever their field.
fn rows<P>(openings: &mut QueryOpenings<Value, Challenge, P>, change: RowChange) {
    match openings {
        QueryOpenings::Base(opening) => change.apply(&mut opening.rows),
        QueryOpenings::Extension(opening) => change.apply(&mut opening.rows),
    }
}

#[derive(Clone, Copy)]
enum RowChange {
    Missing,
    Twice,
    Longer,
    Shorter,
    OneMore,
    Swapped,
}

impl RowChange {
    fn apply<T: PrimeCharacteristicRing + PartialEq>(self, rows: &mut Vec<Vec<T>>) {
        match self {
            Self::Missing => drop(rows.pop()),
            Self::Twice => rows.extend(rows.last().cloned()),
            Self::Longer => rows[0].push(T::ZERO),
            Self::Shorter => drop(rows[0].pop()),
            Self::OneMore => rows[0][0] += T::ONE,
            Self::Swapped => {
                let other = (1..rows.len()).find(|&row| rows[row] != rows[0]).expect("rows that differ");
                rows.swap(0, other);
            }
        }
    }
}

const OPENING: [Change<Option<Opening>>; 19] = [
    ("missing", |opening| *opening = None),
    ("no values", |opening| values(opening, Vec::clear)),
    ("a value one more", |opening| values(opening, |values| up(&mut values[0][0]))),
    ("the last value one more", |opening| {
        values(opening, |values| up(values.last_mut().unwrap().last_mut().unwrap()));
    }),
    ("a batch of values missing", |opening| values(opening, |values| drop(values.pop()))),
    ("a batch of values twice", |opening| values(opening, |values| values.extend(values.last().cloned()))),
    ("a value twice", |opening| {
        values(opening, |values| {
            let first = values[0][0];
            values[0].push(first);
        });
    }),
    ("values of a next row", |opening| {
        let opening = some(opening);
        opening.evals[0] = OpeningBatch::new(opening.evals[0].current().to_vec(), vec![Challenge::ONE]);
    }),
    ("an answer outside of the domain that nobody asked for", |opening| {
        some(opening).whir.initial_ood_answers.push(Challenge::ONE);
    }),
    ("a first round missing", |opening| some(opening).whir.initial_sumcheck.polynomial_evaluations.truncate(1)),
    ("a first round twice", |opening| {
        let rounds = &mut some(opening).whir.initial_sumcheck.polynomial_evaluations;
        rounds.extend(rounds.last().copied());
    }),
    ("a first round one more", |opening| up(&mut some(opening).whir.initial_sumcheck.polynomial_evaluations[0][0])),
    ("a first leading coefficient one more", |opening| {
        up(&mut some(opening).whir.initial_sumcheck.polynomial_evaluations[0][1]);
    }),
    ("the last rows one more", |opening| rows(&mut some(opening).whir.final_openings, RowChange::OneMore)),
    ("the last rows missing", |opening| rows(&mut some(opening).whir.final_openings, RowChange::Missing)),
    ("the last polynomial missing", |opening| some(opening).whir.final_poly = None),
    ("the last polynomial one more", |opening| {
        let last = some(opening).whir.final_poly.as_mut().expect("a polynomial");
        let mut coefficients = last.as_slice().to_vec();
        up(&mut coefficients[0]);
        *last = Poly::new(coefficients);
    }),
    ("the last polynomial longer", |opening| {
        let last = some(opening).whir.final_poly.as_mut().expect("a polynomial");
        *last = Poly::new([last.as_slice(), last.as_slice()].concat());
    }),
    ("the last grinding one more", |opening| some(opening).whir.final_pow_witness += Value::ONE),
];

/// Changes of a round, which the opening of a larger commitment has.
const ROUNDS: [Change<Option<Opening>>; 14] = [
    ("no rounds", |opening| some(opening).whir.rounds.clear()),
    ("a round missing", |opening| drop(some(opening).whir.rounds.pop())),
    ("a round twice", |opening| {
        let rounds = &mut some(opening).whir.rounds;
        rounds.extend(rounds.last().cloned());
    }),
    ("a round's root missing", |opening| some(opening).whir.rounds[0].commitment = None),
    ("a round's root zero", |opening| some(opening).whir.rounds[0].commitment = Some(Root::new(vec![[0; 32]]))),
    ("a round's grinding one more", |opening| some(opening).whir.rounds[0].pow_witness += Value::ONE),
    ("a round's answers outside of the domain", |opening| {
        some(opening).whir.rounds[0].ood_answers.push(Challenge::ONE);
    }),
    ("a round's sums one more", |opening| {
        up(&mut some(opening).whir.rounds[0].sumcheck.polynomial_evaluations[0][0]);
    }),
    ("a row missing", |opening| rows(&mut some(opening).whir.rounds[0].openings, RowChange::Missing)),
    ("a row twice", |opening| rows(&mut some(opening).whir.rounds[0].openings, RowChange::Twice)),
    ("a row longer", |opening| rows(&mut some(opening).whir.rounds[0].openings, RowChange::Longer)),
    ("a row shorter", |opening| rows(&mut some(opening).whir.rounds[0].openings, RowChange::Shorter)),
    ("a row one more", |opening| rows(&mut some(opening).whir.rounds[0].openings, RowChange::OneMore)),
    ("rows swapped", |opening| rows(&mut some(opening).whir.rounds[0].openings, RowChange::Swapped)),
];

#[test]
fn a_changed_commitment_or_proof_of_work_is_refused() {
    refuses("commitment", &COMMITMENT, |proof| proof);
}

#[test]
fn a_changed_tree_of_fractions_is_refused() {
    refuses("lookup argument", &TREE, |proof| &mut proof.lookup);
}

#[test]
fn changed_sumchecks_of_products_are_refused() {
    refuses("products", &SUMCHECKS, |proof| &mut proof.products);
    refuses("products", &[("swapped", |products: &mut Vec<Sumcheck>| products.swap(0, 1))], |proof| {
        &mut proof.products
    });
}

#[test]
fn changed_zerochecks_are_refused() {
    refuses("zerochecks", &SUMCHECKS, |proof| &mut proof.zerochecks);
}

#[test]
fn a_changed_opening_of_weights_is_refused() {
    refuses("opening of weights", &OPENING, |proof| &mut proof.weight_opening);
    let missing: Change<Option<Opening>> = ("a value missing", |opening| {
        values(opening, |values| {
            let most = values.iter_mut().max_by_key(|batch| batch.len()).unwrap();
            most.truncate(most.len() - 1);
        });
    });
    refuses("opening of weights", &[missing], |proof| &mut proof.weight_opening);
}

#[test]
fn a_changed_opening_of_the_witness_is_refused() {
    refuses("opening of the witness", &OPENING, |proof| &mut proof.witness_opening);
    refuses("rounds of that opening", &ROUNDS, |proof| &mut proof.witness_opening);
}

#[test]
fn openings_that_change_places_are_refused() {
    let swapped: Change<Proof> =
        ("openings swapped", |proof| std::mem::swap(&mut proof.weight_opening, &mut proof.witness_opening));
    refuses("openings", &[swapped], |proof| proof);
}

#[test]
fn a_commitment_has_one_root() {
    let (small, root, honest) = &*HONEST;
    let mut proof = Proof::decode(honest).unwrap();
    COMMITMENT[2].1(&mut proof);
    let refused = verify(&small.statement, HEADER, root, &proof.encode());
    assert!(matches!(refused, Err(VerifyError::Shape("witness commitment"))), "{refused:?}");
}

#[test]
fn a_commitment_of_the_witness_to_the_weights_is_refused() {
    let (small, root, honest) = &*HONEST;
    let mut proof = Proof::decode(honest).unwrap();
    proof.witness_root = Some(Root::new(vec![*root]));
    assert!(verify(&small.statement, HEADER, root, &proof.encode()).is_err());
}

#[test]
fn a_proof_has_one_encoding() {
    let (small, root, honest) = &*HONEST;
    // The first byte says that there is a commitment, the second that it has one root: a length of one byte or of two.
    assert_eq!(honest[..2], [1, 1]);
    let padded = [&honest[..1], &[0x81, 0], &honest[2..]].concat();
    let refused = verify(&small.statement, HEADER, root, &padded).unwrap_err().to_string();
    assert!(refused.contains("canonical"), "{refused}");
    let longer = [honest.as_slice(), &[0]].concat();
    let refused = verify(&small.statement, HEADER, root, &longer).unwrap_err().to_string();
    assert!(refused.contains("left over"), "{refused}");
}

/// A statement that is not sound is refused though a proof of it exists.
#[test]
fn a_statement_that_is_not_sound_is_refused_with_its_proof() {
    let mut small = Small::new();
    let tensor = small.statement.tensors.iter().position(|tensor| tensor.name == "z").unwrap();
    small.statement.tensors[tensor].interval.high = 100;
    let proof = small.forge(obelysk_tests::small::Lies::default());
    let refused = verify(&small.statement, HEADER, &small.root(), &proof);
    assert!(matches!(refused, Err(VerifyError::Statement(_))), "{refused:?}");
}
