//! A prover that lies in its messages, on the smallest statement with a relation of every kind: each lie is caught by the one check
//! that is there for it.

use std::sync::{Arc, LazyLock};

use obelysk_prover::{Backend, Cpu};
use obelysk_statement::fiat_shamir::FiatShamir;
use obelysk_statement::plan::Plan;
use obelysk_statement::relation::{Lookup, Relation};
use obelysk_statement::schedule::LOOKUP_GRINDING;
use obelysk_statement::words::{word, words};
use obelysk_statement::{Challenge, Value};
use obelysk_tests::liar::{COMPUTED, Lie};
use obelysk_tests::small::{HEADER, Small, function};
use obelysk_verifier::VerifyError;
use obelysk_verifier::whir::OpeningError;
use p3_field::{Field, PrimeCharacteristicRing};

/// The statement with true values.
static HONEST: LazyLock<Small> = LazyLock::new(|| {
    let small = Small::new();
    small.verify(&small.prove()).expect("the truth is accepted");
    small
});

/// The true values, changed.
fn changed(change: impl FnOnce(&mut Small)) -> Small {
    let mut forged = HONEST.clone();
    change(&mut forged);
    forged
}

/// What the verifier says of a changed witness that honest code proves.
fn honestly(change: impl FnOnce(&mut Small)) -> Result<(), VerifyError> {
    let forged = changed(change);
    HONEST.verify(&forged.prove())
}

/// What the verifier says of a changed witness that is proven with lies about another one.
fn lying(committed: &Small, told: &Small, lies: &[Lie]) -> Result<(), VerifyError> {
    HONEST.verify(&committed.lie(told, lies))
}

fn equation(outcome: Result<(), VerifyError>) -> &'static str {
    match outcome {
        Err(VerifyError::Equation(name)) => name,
        other => panic!("refused by no equation: {other:?}"),
    }
}

/// The part whose opening does not hold, and why.
fn opening(outcome: Result<(), VerifyError>) -> (&'static str, OpeningError) {
    match outcome {
        Err(VerifyError::Opening { part, error }) => (part, error),
        other => panic!("refused by no opening: {other:?}"),
    }
}

const NUMERATORS: &str = "numerators of the lookup argument";
const DENOMINATORS: &str = "denominators of the lookup argument";
/// The first layer says that the fractions do not sum to zero.
const NOT_ZERO: Result<(), VerifyError> = Err(VerifyError::Tree { layer: 0 });

#[test]
fn a_device_that_lies_about_nothing_makes_the_honest_proof() {
    let honest = HONEST.prove();
    assert!(HONEST.lie(&HONEST, &[]) == honest);
    for lie in [Lie::Numerators, Lie::Denominators] {
        assert!(HONEST.lie(&HONEST, &[lie]) == honest, "{lie:?}");
    }
    let all = [COMPUTED.as_slice(), &[Lie::Columns, Lie::Queries]].concat();
    assert!(HONEST.lie(&HONEST, &all) == honest);
    HONEST.verify(&honest).expect("the truth is accepted");
}

#[test]
fn a_wrong_output_of_a_product_contradicts_its_output() {
    for product in ["a times w", "a times v", "a times b"] {
        let wrong = |small: &mut Small| {
            *small.entry(product, 1) += 1;
            small.count();
        };
        assert_eq!(equation(honestly(wrong)), "outputs of products", "{product}");
    }
}

/// Outputs of products over another `a` than the one that is committed.
fn outputs_of_another_factor() -> (Small, Small) {
    let told = changed(|small| {
        *small.entry("a", 2) += 1;
        small.complete();
    });
    let committed = changed(|small| {
        for output in ["a times w", "a times v", "a times b"] {
            small.witness.insert(output.into(), told.witness[output].clone());
        }
        small.count();
    });
    (committed, told)
}

#[test]
fn a_sumcheck_that_starts_from_wrong_outputs_contradicts_its_factors() {
    let (committed, told) = outputs_of_another_factor();
    assert_eq!(equation(lying(&committed, &told, &[])), "outputs of products");
    assert_eq!(equation(lying(&committed, &told, &[Lie::Sums])), "factors of products");
}

#[test]
fn a_sumcheck_over_other_factors_contradicts_the_committed_ones() {
    let (committed, told) = outputs_of_another_factor();
    assert_eq!(equation(lying(&committed, &told, &[Lie::Sums, Lie::Products])), "factors of products");
    assert_eq!(equation(lying(&committed, &told, &[Lie::Products])), "outputs of products");
}

#[test]
fn a_row_relation_that_does_not_hold_contradicts_its_zerocheck() {
    for (tensor, place) in [("z", 0), ("square", 2), ("u", 1)] {
        let wrong = |small: &mut Small| {
            *small.entry(tensor, place) += 1;
            small.count();
        };
        assert_eq!(equation(honestly(wrong)), "row relations", "{tensor}");
    }
}

#[test]
fn a_zerocheck_over_rows_that_hold_contradicts_the_committed_ones() {
    for (tensor, place) in [("z", 0), ("square", 2), ("u", 1)] {
        let committed = changed(|small| {
            *small.entry(tensor, place) += 1;
            small.count();
        });
        let refused = lying(&committed, &HONEST, &[Lie::Zerochecks]);
        assert_eq!(equation(refused), "row relations", "{tensor}");
    }
}

#[test]
fn a_linear_relation_that_does_not_hold_is_contradicted() {
    let wrong = |small: &mut Small| {
        *small.entry("sum", 2) += 1;
        small.count();
    };
    assert_eq!(equation(honestly(wrong)), "linear relation");
}

/// A change of the values, and what it is.
type Change = (&'static str, fn(&mut Small));

/// Values in no row of their table.
fn misses() -> [Change; 4] {
    [
        ("a value that is too large for its range", |small| {
            *small.entry("a", 3) = 16;
            small.complete();
        }),
        ("a value below its range", |small| {
            *small.entry("u", 0) = -1;
            small.count();
        }),
        ("another value of the function", |small| {
            *small.entry("f", 1) += 1;
            small.count();
        }),
        ("a value that is too large where it is not masked", |small| {
            *small.entry("m", 2) = 16;
            small.count();
        }),
    ]
}

#[test]
fn fractions_that_do_not_sum_to_zero_are_refused() {
    for (name, change) in misses() {
        assert_eq!(honestly(change), NOT_ZERO, "{name}");
    }
}

#[test]
fn a_false_root_of_the_tree_contradicts_the_numerators() {
    for (name, change) in misses() {
        let forged = changed(change);
        assert_eq!(equation(lying(&forged, &forged, &[Lie::Numerators])), NUMERATORS, "{name}");
    }
}

#[test]
fn a_false_root_of_the_tree_contradicts_the_denominators() {
    for (name, change) in misses() {
        let forged = changed(change);
        assert_eq!(equation(lying(&forged, &forged, &[Lie::Denominators])), DENOMINATORS, "{name}");
    }
}

#[test]
fn leaves_in_range_that_are_not_the_committed_ones_contradict_the_denominators() {
    for (name, change) in misses() {
        let mut forged = changed(change);
        for table in &HONEST.statement.tables {
            let counts = &HONEST.statement.tensor(table.multiplicity).name;
            forged.witness.insert(counts.clone(), HONEST.witness[counts].clone());
        }
        assert_eq!(equation(lying(&forged, &HONEST, &[Lie::Leaves])), DENOMINATORS, "{name}");
    }
}

#[test]
fn counts_that_are_not_the_committed_ones_contradict_the_numerators() {
    let moved = changed(|small| {
        small.count_row("7 bits", 0, 1);
        small.count_row("7 bits", 127, -1);
    });
    assert_eq!(lying(&moved, &moved, &[]), NOT_ZERO);
    assert_eq!(equation(lying(&moved, &HONEST, &[Lie::Leaves])), NUMERATORS);
}

#[test]
fn a_masked_value_may_be_anything() {
    let change = |small: &mut Small| *small.entry("m", 1) = -123_456;
    assert_eq!(honestly(change), Ok(()));
}

#[test]
fn a_lookup_that_is_counted_at_another_row_is_refused() {
    for (table, from, to) in [("4 bits", 7, 8), ("function", 4, 5), ("7 bits", 0, 127)] {
        let move_count = |small: &mut Small| {
            small.count_row(table, from, -1);
            small.count_row(table, to, 1);
        };
        assert_eq!(honestly(move_count), NOT_ZERO, "{table}");
        let forged = changed(move_count);
        let refused = [Lie::Numerators, Lie::Denominators].map(|lie| equation(lying(&forged, &forged, &[lie])));
        assert_eq!(refused, [NUMERATORS, DENOMINATORS], "{table}");
    }
}

/// The lookup of a relation in the told statement.
fn lookup<'a>(small: &'a mut Small, relation: &str) -> &'a mut Lookup {
    let named = small.statement.relations.iter_mut().find(|named| named.name == relation);
    match &mut named.expect("a relation of the statement").relation {
        Relation::Lookup(lookup) => lookup,
        _ => panic!("no lookup"),
    }
}

#[test]
fn a_lookup_that_is_counted_in_another_table_is_refused() {
    // 16 is in no range of four bits; it is counted as if it were looked up in the range of five.
    let forged = changed(|small| {
        *small.entry("a", 3) = 16;
        small.complete();
        for place in [0, 1, 2, 4, 5] {
            let value = usize::try_from(small.witness["a"][place]).unwrap();
            small.count_row("4 bits", value, -1);
            small.count_row("5 bits", value, 1);
        }
        small.count_row("5 bits", 16, 1);
    });
    let mut told = forged.clone();
    lookup(&mut told, "a: range").table = forged.table("5 bits");
    assert_eq!(equation(lying(&forged, &told, &[Lie::Leaves])), DENOMINATORS);
    assert_eq!(lying(&forged, &forged, &[]), NOT_ZERO);
}

/// 16 is in no range of four bits; it is counted as if it were looked up in the range of five.
fn counted_once_in_another_table(small: &mut Small) {
    *small.entry("a", 3) = 16;
    small.complete();
    small.count_row("5 bits", 16, 1);
}

#[test]
fn a_count_that_moves_to_another_table_is_refused() {
    assert_eq!(honestly(counted_once_in_another_table), NOT_ZERO);
}

#[test]
fn columns_that_make_up_for_each_other_are_refused() {
    // (y + 1, f(y) - 1) has the sum of a row, and is none.
    let forged = changed(|small| {
        *small.entry("y", 0) += 1;
        small.complete();
        *small.entry("f", 0) = function(4) - 1;
        small.count();
        small.count_row("function", 4, 1);
    });
    assert_eq!(lying(&forged, &forged, &[]), NOT_ZERO);
    assert_eq!(equation(lying(&forged, &forged, &[Lie::Denominators])), DENOMINATORS);
}

#[test]
fn a_column_that_makes_up_for_the_table_is_refused() {
    // (y, n) in the table of number t is what y is in the range of number t + n.
    let change = |small: &mut Small| {
        let by = small.table("7 bits").0 - small.table("function").0;
        *small.entry("f", 2) = i32::from(by);
        small.count();
        small.count_row("7 bits", 6, 1);
    };
    assert_ne!(function(6), 2);
    assert_eq!(honestly(change), NOT_ZERO);
    let forged = changed(change);
    assert_eq!(equation(lying(&forged, &forged, &[Lie::Denominators])), DENOMINATORS);
}

#[test]
fn row_relations_that_make_up_for_each_other_are_refused() {
    let forged = changed(|small| {
        *small.entry("z", 1) += 1;
        *small.entry("square", 1) -= 1;
        small.count();
    });
    assert_eq!(equation(lying(&forged, &forged, &[])), "row relations");
    assert_eq!(equation(lying(&forged, &forged, &[Lie::RowsWithoutWeights])), "row relations");
}

#[test]
fn rows_that_make_up_for_each_other_are_refused() {
    let forged = changed(|small| {
        *small.entry("z", 1) += 1;
        *small.entry("z", 2) -= 1;
        small.count();
    });
    assert_eq!(equation(lying(&forged, &forged, &[])), "row relations");
    assert_eq!(equation(lying(&forged, &forged, &[Lie::RowsWithoutPoint])), "row relations");
}

#[test]
fn products_that_make_up_for_each_other_are_refused() {
    let forged = changed(|small| {
        *small.entry("a times w", 1) += 1;
        *small.entry("a times v", 1) -= 1;
        small.count();
    });
    assert_eq!(equation(lying(&forged, &forged, &[])), "outputs of products");
    let refused = equation(lying(&forged, &forged, &[Lie::ProductsWithoutWeights]));
    assert!(["outputs of products", "factors of products"].contains(&refused), "{refused}");
}

/// Values that break every relation in turn, each with the true ones told instead.
fn false_witnesses() -> [(&'static str, Small); 4] {
    [("z", 0), ("a times w", 1), ("sum", 2), ("f", 1)].map(|(tensor, place)| {
        let forged = changed(|small| {
            *small.entry(tensor, place) += 1;
            small.count();
        });
        (tensor, forged)
    })
}

#[test]
fn claimed_values_that_are_not_the_committed_ones_are_contradicted_by_the_opening() {
    for (tensor, committed) in false_witnesses() {
        // The equations hold of what is claimed; what is committed is opened as it is.
        let refused = lying(&committed, &HONEST, &COMPUTED);
        assert_eq!(opening(refused), ("witness opening", OpeningError::Values), "{tensor}");
    }
}

#[test]
fn a_polynomial_that_is_not_the_committed_one_contradicts_its_rows() {
    for (tensor, committed) in false_witnesses() {
        let lies = [COMPUTED.as_slice(), &[Lie::Columns]].concat();
        // The sums hold; the committed rows are those of another polynomial.
        assert_eq!(opening(lying(&committed, &HONEST, &lies)), ("witness opening", OpeningError::Values), "{tensor}");
    }
}

#[test]
fn a_witness_that_is_exchanged_after_the_commitment_does_not_lead_to_the_root() {
    for (tensor, committed) in false_witnesses() {
        let lies = [COMPUTED.as_slice(), &[Lie::Columns, Lie::Queries]].concat();
        let refused = lying(&committed, &HONEST, &lies);
        assert_eq!(opening(refused), ("witness opening", OpeningError::Root { code: 0 }), "{tensor}");
    }
}

#[test]
fn only_claimed_values_that_are_wrong_contradict_an_equation() {
    for (tensor, told) in false_witnesses() {
        let refused = lying(&HONEST, &told, &[Lie::Claims]);
        assert!(matches!(refused, Err(VerifyError::Equation(_))), "{tensor}: {refused:?}");
    }
}

#[test]
fn weights_of_another_model_are_refused() {
    let other = HONEST.with_weights([("w", [2, 3]), ("v", [1, 2])]);
    other.verify(&other.prove()).expect("the other model's own proof convinces of it");
    // Under the root of the trusted model, with the other's values or the trusted model's own.
    let committed = Small { model: Arc::clone(&HONEST.model), ..other.clone() };
    assert_eq!(equation(lying(&committed, &other, &[])), "outputs of products");
    assert_eq!(opening(lying(&committed, &other, &COMPUTED)), ("weight opening", OpeningError::Values));
    let lies = [COMPUTED.as_slice(), &[Lie::Columns]].concat();
    let (part, error) = opening(lying(&committed, &other, &lies));
    assert_eq!(part, "weight opening");
    assert!(matches!(error, OpeningError::Last { .. }), "{error}");
    let lies = [COMPUTED.as_slice(), &[Lie::Columns, Lie::Queries]].concat();
    assert_eq!(opening(lying(&committed, &other, &lies)), ("weight opening", OpeningError::Root { code: 0 }));
    assert!(HONEST.verify(&other.prove()).is_err());
}

/// Coordinates of a challenge.
const DEGREE: usize = 4;

/// Keys of the lookup argument after some transcript.
fn keys_after(transcript: &FiatShamir) -> [Challenge; 2] {
    let mut transcript = transcript.clone();
    transcript.grind(LOOKUP_GRINDING);
    [transcript.challenge(), transcript.challenge()]
}

/// The sum of all fractions under some keys.
fn sum_of_fractions(small: &Small, keys: [Challenge; 2]) -> Challenge {
    let plan = Plan::new(&small.statement).unwrap();
    let values = Cpu.values(&small.statement, &small.model, small.witness.clone()).unwrap();
    let mut fractions = Cpu.fractions(&plan, &values, keys).unwrap();
    let [n0, d0, n1, d1] = fractions.layer(Challenge::ONE, &[]).unwrap().children().unwrap();
    n0 * d0.inverse() + n1 * d1.inverse()
}

/// Change the counts of as many rows of a range as a challenge has coordinates, so that the fractions sum to zero under these keys,
/// whatever is looked up.
fn balance(small: &mut Small, keys: [Challenge; 2]) {
    let excess = sum_of_fractions(small, keys);
    let table = usize::from(small.table("7 bits").0);
    let key = |row: usize| keys[0] - keys[1] * Value::from_usize(table) - Value::from_usize(row);
    let inverses: Vec<Challenge> = (0..DEGREE).map(|row| key(row).inverse()).collect();
    for (row, by) in combination(&inverses, excess).into_iter().enumerate() {
        let count = small.entry("7 bits: multiplicity", row);
        *count = word(Value::from_i32(*count) + by).cast_signed();
    }
}

/// The elements of the base field that combine challenges to a sum: Gauss' elimination, one row per coordinate.
fn combination(challenges: &[Challenge], sum: Challenge) -> Vec<Value> {
    let columns: Vec<[Value; DEGREE]> =
        challenges.iter().chain([&sum]).map(|&value| words(value).map(Value::from_u32)).collect();
    let mut rows: Vec<Vec<Value>> = (0..DEGREE).map(|row| columns.iter().map(|column| column[row]).collect()).collect();
    for pivot in 0..DEGREE {
        let row = (pivot..DEGREE).find(|&row| rows[row][pivot] != Value::ZERO).expect("independent challenges");
        rows.swap(pivot, row);
        let inverse = rows[pivot][pivot].inverse();
        rows[pivot].iter_mut().for_each(|entry| *entry *= inverse);
        let own = rows[pivot].clone();
        for (_, other) in rows.iter_mut().enumerate().filter(|(row, _)| *row != pivot) {
            let factor = other[pivot];
            other.iter_mut().zip(&own).for_each(|(entry, &own)| *entry -= factor * own);
        }
    }
    rows.into_iter().map(|row| row[DEGREE]).collect()
}

#[test]
fn counts_that_are_chosen_for_challenges_before_the_commitment_are_refused() {
    for (name, change) in misses() {
        let mut forged = changed(change);
        let keys = keys_after(&FiatShamir::start(HEADER, &forged.statement, forged.model.root()));
        balance(&mut forged, keys);
        assert_eq!(sum_of_fractions(&forged, keys), Challenge::ZERO, "{name}");
        // The commitment comes first, and changes the keys for which it was made.
        assert_eq!(lying(&forged, &forged, &[]), NOT_ZERO, "{name}");
    }
}
