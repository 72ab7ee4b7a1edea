//! A prover that lies in its messages, on the smallest statement with a relation of every kind: each lie is caught by the one check
//! that is there for it.

use std::sync::LazyLock;

use obelysk_prover::{Honesty, WeightCommitment, prove};
use obelysk_tests::forger::balance;
use obelysk_tests::small::{HEADER, Lies, Repair, Small, function};
use obelysk_verifier::{VerifyError, verify};

/// The statement with true values, and what the product's prover makes of them.
static HONEST: LazyLock<(Small, [u8; 32], Vec<u8>)> = LazyLock::new(|| {
    let small = Small::new();
    let commitment = WeightCommitment::new(&small.statement, &small.weights).unwrap();
    let root = commitment.root();
    let (weights, witness) = (small.weights.clone(), small.witness.clone());
    let proof = prove(&small.statement, HEADER, commitment, weights, witness, Honesty::Checked).unwrap().proof;
    verify(&small.statement, HEADER, &root, &proof).expect("the truth is accepted");
    (small, root, proof)
});

/// What the verifier says of a changed witness that is proven with some lies; everything else is recomputed first.
fn outcome(change: impl FnOnce(&mut Small), lies: Lies) -> Result<(), VerifyError> {
    let (honest, root, _) = &*HONEST;
    let mut forged = honest.clone();
    change(&mut forged);
    verify(&forged.statement, HEADER, root, &forged.forge(lies)).map(drop)
}

fn equation(outcome: Result<(), VerifyError>) -> &'static str {
    match outcome {
        Err(VerifyError::Equation(name)) => name,
        other => panic!("refused by no equation: {other:?}"),
    }
}

fn inconsistent(outcome: Result<(), VerifyError>) -> &'static str {
    match outcome {
        Err(VerifyError::Inconsistent { part, .. }) => part,
        other => panic!("nothing is said to be inconsistent: {other:?}"),
    }
}

const HONESTLY: Lies = Lies {
    without_table_numbers: false,
    equal_columns: false,
    column_weighs_as_table: false,
    tree: None,
    sums_of_outputs: false,
    sums_of_rows: false,
    products_without_weights: false,
    rows_without_weights: false,
    rows_without_point: false,
    without_grinding: false,
    late_witness: false,
    without_lookups: false,
    without_products: false,
    without_zerochecks: false,
    without_weights: false,
};
const ROOT: Lies = Lies { tree: Some(Repair::Numerator), ..HONESTLY };
const LEAVES: Lies = Lies { tree: Some(Repair::Denominator), ..HONESTLY };

#[test]
fn the_forger_and_the_prover_make_the_same_bytes_of_the_truth() {
    let (small, root, proof) = &*HONEST;
    assert!(small.root() == *root);
    for lies in [HONESTLY, ROOT, LEAVES, Lies { sums_of_outputs: true, sums_of_rows: true, ..HONESTLY }] {
        assert!(small.forge(lies) == *proof, "{lies:?}");
    }
}

#[test]
fn a_wrong_output_of_a_product_contradicts_its_output() {
    for product in ["a times w", "a times v", "a times b"] {
        let wrong = |small: &mut Small| {
            *small.entry(product, 1) += 1;
            small.count();
        };
        assert_eq!(equation(outcome(wrong, HONESTLY)), "outputs of products", "{product}");
    }
}

#[test]
fn a_sumcheck_that_starts_from_wrong_outputs_contradicts_its_factors() {
    for product in ["a times w", "a times v", "a times b"] {
        let wrong = |small: &mut Small| {
            *small.entry(product, 1) += 1;
            small.count();
        };
        let lies = Lies { sums_of_outputs: true, ..HONESTLY };
        assert_eq!(equation(outcome(wrong, lies)), "factors of products", "{product}");
    }
}

#[test]
fn a_row_relation_that_does_not_hold_contradicts_its_zerocheck() {
    for (tensor, place) in [("z", 0), ("square", 2), ("u", 1)] {
        let wrong = |small: &mut Small| {
            *small.entry(tensor, place) += 1;
            small.count();
        };
        assert_eq!(equation(outcome(wrong, HONESTLY)), "row relations", "{tensor}");
    }
}

#[test]
fn a_zerocheck_that_claims_another_sum_than_zero_is_refused() {
    let wrong = |small: &mut Small| {
        *small.entry("z", 0) += 1;
        small.count();
    };
    assert_eq!(inconsistent(outcome(wrong, Lies { sums_of_rows: true, ..HONESTLY })), "zerocheck");
}

#[test]
fn a_linear_relation_that_does_not_hold_is_contradicted() {
    let wrong = |small: &mut Small| {
        *small.entry("sum", 2) += 1;
        small.count();
    };
    assert_eq!(equation(outcome(wrong, HONESTLY)), "linear relation");
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
        assert_eq!(inconsistent(outcome(change, HONESTLY)), "lookup argument", "{name}");
    }
}

#[test]
fn a_false_root_of_the_tree_contradicts_the_numerators() {
    for (name, change) in misses() {
        assert_eq!(equation(outcome(change, ROOT)), "numerators of the lookup argument", "{name}");
    }
}

#[test]
fn a_tree_over_other_leaves_contradicts_the_denominators() {
    for (name, change) in misses() {
        assert_eq!(equation(outcome(change, LEAVES)), "denominators of the lookup argument", "{name}");
    }
}

#[test]
fn a_masked_value_may_be_anything() {
    let change = |small: &mut Small| *small.entry("m", 1) = -123_456;
    assert_eq!(outcome(change, HONESTLY), Ok(()));
}

#[test]
fn a_lookup_that_is_counted_at_another_row_is_refused() {
    for (table, from, to) in [("4 bits", 7, 8), ("function", 4, 5), ("7 bits", 0, 127)] {
        let move_count = |small: &mut Small| {
            small.count_row(table, from, -1);
            small.count_row(table, to, 1);
        };
        assert_eq!(inconsistent(outcome(move_count, HONESTLY)), "lookup argument", "{table}");
        let [root, leaves] = [ROOT, LEAVES].map(|lies| equation(outcome(move_count, lies)));
        assert_eq!([root, leaves], ["numerators of the lookup argument", "denominators of the lookup argument"]);
    }
}

/// 16 is in no range of four bits; it is counted as if it were looked up in the range of five.
fn counted_in_another_table(small: &mut Small) {
    *small.entry("a", 3) = 16;
    small.complete();
    small.count_row("5 bits", 16, 1);
}

#[test]
fn a_lookup_that_is_counted_in_another_table_is_refused() {
    let lies = Lies { without_table_numbers: true, ..HONESTLY };
    assert_eq!(equation(outcome(counted_in_another_table, lies)), "denominators of the lookup argument");
    assert_eq!(inconsistent(outcome(counted_in_another_table, HONESTLY)), "lookup argument");
}

#[test]
fn columns_that_make_up_for_each_other_are_refused() {
    // (y + 1, f(y) - 1) has the sum of a row, and is none.
    let change = |small: &mut Small| {
        *small.entry("y", 0) += 1;
        small.complete();
        *small.entry("f", 0) = function(4) - 1;
        small.count();
        small.count_row("function", 4, 1);
    };
    let lies = Lies { equal_columns: true, ..HONESTLY };
    assert_eq!(equation(outcome(change, lies)), "denominators of the lookup argument");
    assert_eq!(inconsistent(outcome(change, HONESTLY)), "lookup argument");
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
    let lies = Lies { column_weighs_as_table: true, ..HONESTLY };
    assert_eq!(equation(outcome(change, lies)), "denominators of the lookup argument");
    assert_eq!(inconsistent(outcome(change, HONESTLY)), "lookup argument");
}

#[test]
fn row_relations_that_make_up_for_each_other_are_refused() {
    let change = |small: &mut Small| {
        *small.entry("z", 1) += 1;
        *small.entry("square", 1) -= 1;
        small.count();
    };
    assert_eq!(equation(outcome(change, Lies { rows_without_weights: true, ..HONESTLY })), "row relations");
    assert_eq!(equation(outcome(change, HONESTLY)), "row relations");
}

#[test]
fn products_that_make_up_for_each_other_are_refused() {
    let change = |small: &mut Small| {
        *small.entry("a times w", 1) += 1;
        *small.entry("a times v", 1) -= 1;
        small.count();
    };
    let refused = equation(outcome(change, Lies { products_without_weights: true, ..HONESTLY }));
    assert!(["outputs of products", "factors of products"].contains(&refused), "{refused}");
    assert_eq!(equation(outcome(change, HONESTLY)), "outputs of products");
}

#[test]
fn a_proof_without_its_proof_of_work_is_refused() {
    assert_eq!(outcome(|_| {}, Lies { without_grinding: true, ..HONESTLY }), Err(VerifyError::Grinding));
}

#[test]
fn rows_that_make_up_for_each_other_are_refused() {
    let change = |small: &mut Small| {
        *small.entry("z", 1) += 1;
        *small.entry("z", 2) -= 1;
        small.count();
    };
    assert_eq!(equation(outcome(change, Lies { rows_without_point: true, ..HONESTLY })), "row relations");
    assert_eq!(equation(outcome(change, HONESTLY)), "row relations");
}

#[test]
fn multiplicities_that_are_chosen_after_the_challenges_are_refused() {
    for (name, change) in misses() {
        let late = |small: &mut Small| {
            change(small);
            balance(&small.statement, HEADER, &small.weights, &mut small.witness);
        };
        let refused = outcome(late, Lies { late_witness: true, ..HONESTLY });
        assert!(refused.is_err(), "{name}");
        assert_eq!(inconsistent(outcome(late, HONESTLY)), "lookup argument", "{name}");
    }
}

fn shape(outcome: Result<(), VerifyError>) -> &'static str {
    match outcome {
        Err(VerifyError::Shape(part)) => part,
        other => panic!("no part is missed: {other:?}"),
    }
}

#[test]
fn a_proof_without_its_lookup_argument_is_refused() {
    for (name, change) in misses() {
        let lies = Lies { without_lookups: true, ..HONESTLY };
        assert_eq!(shape(outcome(change, lies)), "lookup argument", "{name}");
    }
}

#[test]
fn a_proof_without_its_products_is_refused() {
    let wrong = |small: &mut Small| {
        *small.entry("a times w", 1) += 1;
        small.count();
    };
    assert_eq!(shape(outcome(wrong, Lies { without_products: true, ..HONESTLY })), "product sumchecks");
}

#[test]
fn a_proof_without_its_zerochecks_is_refused() {
    let wrong = |small: &mut Small| {
        *small.entry("z", 1) += 1;
        small.count();
    };
    assert_eq!(shape(outcome(wrong, Lies { without_zerochecks: true, ..HONESTLY })), "zerochecks");
}

#[test]
fn a_proof_without_its_opening_of_weights_is_refused() {
    assert_eq!(shape(outcome(|_| {}, Lies { without_weights: true, ..HONESTLY })), "weight opening");
}
