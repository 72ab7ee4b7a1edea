//! An interval counts only with its certificate, and a relation only where its bounds fit the field.

use std::sync::Arc;

use obelysk_statement::axis::AxisId;
use obelysk_statement::relation::{Certificate, Contraction, Index, Linear, Relation, TensorId, TensorKind};
use obelysk_statement::table::{TableId, TableRows};
use obelysk_statement::{CompileError, MODULUS, PublicTensor, Statement};
use obelysk_tests::sketch::{Sketch, at, by, form, lookup, rows, zero};

fn wraps(statement: &Statement) -> bool {
    matches!(statement.check(), Err(CompileError::Wraps { .. }))
}

/// The tensor whose interval is not certified.
fn uncertified(statement: &Statement) -> Option<String> {
    match statement.check() {
        Err(CompileError::Uncertified { tensor, .. }) => Some(tensor),
        _ => None,
    }
}

/// One axis of four entries.
fn sketch() -> (Sketch, AxisId) {
    let mut sketch = Sketch::default();
    let axis = sketch.axis(4);
    (sketch, axis)
}

#[test]
fn a_relation_whose_bound_is_the_modulus_wraps_and_one_below_it_does_not() {
    for (bound, sound) in [(MODULUS - 1, true), (MODULUS, false)] {
        for (low, high) in [(0, bound), (-bound, 0)] {
            let (mut sketch, axis) = sketch();
            let x = at(sketch.weight("x", &[axis], (low, high)), &[axis]);
            sketch.relation("row", &[axis], rows(&[(1, &[&x])]));
            assert_eq!(wraps(&sketch.statement), !sound, "{low}..={high}");
            let (mut product, form) = (sketch.clone(), form(&[(1, &x)], 0));
            product.statement.relations.clear();
            product.relation("form", &[axis], zero(form));
            assert_eq!(wraps(&product.statement), !sound, "{low}..={high}");
        }
    }
}

#[test]
fn a_monomial_is_as_large_as_the_product_of_its_factors() {
    for (high, sound) in [((1 << 15) - 1, true), (1 << 16, false)] {
        let (mut sketch, axis) = sketch();
        let x = at(sketch.weight("x", &[axis], (0, high)), &[axis]);
        let y = at(sketch.weight("y", &[axis], (-high, 0)), &[axis]);
        sketch.relation("row", &[axis], rows(&[(1, &[&x, &y])]));
        assert_eq!(wraps(&sketch.statement), !sound, "{high}");
    }
}

#[test]
fn a_factor_that_can_wrap_around_vanishes_for_wrong_reasons() {
    // 2^30 x is zero in the field at x = 0 alone, but 2^30 x - 1 also where 2^30 x = 1 modulo p, at x = 2.
    for (unit, sound) in [(1 << 28, true), (1 << 30, false)] {
        for which in 0..2 {
            let (mut sketch, axis) = sketch();
            let x = at(sketch.weight("x", &[axis], (0, 3)), &[axis]);
            let y = at(sketch.weight("y", &[axis], (0, 3)), &[axis]);
            let mut factors = [form(&[(unit, &x)], -1), form(&[(1, &y)], 0)];
            factors.rotate_left(which);
            let [left, right] = factors;
            sketch.relation("vanishing", &[axis], Relation::Vanishing { left, right });
            assert_eq!(wraps(&sketch.statement), !sound, "{unit} in factor {which}");
        }
    }
}

#[test]
fn only_a_bare_factor_may_vanish_as_a_field_element() {
    let with = |make: fn(&Linear, &Linear) -> Linear| {
        let (mut sketch, axis) = sketch();
        let x = form(&[(1, &at(sketch.unbounded("x", &[axis]), &[axis]))], 0);
        let y = form(&[(1, &at(sketch.weight("y", &[axis], (0, 3)), &[axis]))], 0);
        let relation = Relation::Vanishing { left: make(&x, &y), right: y };
        sketch.relation("vanishing", &[axis], relation);
        uncertified(&sketch.statement)
    };
    assert_eq!(with(|x, _| x.clone()), None);
    assert_eq!(with(|x, _| Linear { constant: 1, ..x.clone() }).as_deref(), Some("x"));
    assert_eq!(
        with(|x, y| Linear { terms: [x.terms.clone(), y.terms.clone()].concat(), constant: 0 }).as_deref(),
        Some("x")
    );
}

#[test]
fn a_looked_up_form_that_can_wrap_around_hits_rows_that_are_not_its_own() {
    // 2^30 x hits row 1 of a range at x = 2.
    for (unit, sound) in [(1 << 28, true), (1 << 30, false)] {
        let (mut sketch, axis) = sketch();
        let x = at(sketch.weight("x", &[axis], (0, 3)), &[axis]);
        let table = sketch.table("range", TableRows::Range { bits: 4 });
        sketch.relation("lookup", &[axis], lookup(table, vec![form(&[(unit, &x)], 0)], None));
        assert_eq!(wraps(&sketch.statement), !sound, "{unit}");
    }
}

/// A witness `x` of `(0, 15)` that is looked up in a range of 16 by `relation`.
fn certified_by(relation: impl Fn(&mut Sketch, TensorId, AxisId) -> Relation, axes: usize) -> Sketch {
    let mut sketch = Sketch::default();
    let boxed: Vec<AxisId> = (0..axes).map(|_| sketch.axis(4)).collect();
    let x = sketch.looked_up("x", &boxed[..1], (0, 15));
    let relation = relation(&mut sketch, x, boxed[0]);
    sketch.relation("lookup", &boxed, relation);
    sketch
}

#[test]
fn a_lookup_of_every_entry_certifies_an_interval() {
    let plain = |constant| {
        certified_by(
            move |sketch, x, axis| {
                let table = sketch.table("range", TableRows::Range { bits: 4 });
                lookup(table, vec![form(&[(1, &at(x, &[axis]))], constant)], None)
            },
            1,
        )
    };
    assert_eq!(plain(0).statement.check(), Ok(()));
    // The form is in the range, the entry is not.
    assert_eq!(uncertified(&plain(1).statement).as_deref(), Some("x"));
    assert_eq!(uncertified(&plain(-1).statement).as_deref(), Some("x"));
}

#[test]
fn a_masked_lookup_certifies_nothing() {
    let masked = certified_by(
        |sketch, x, axis| {
            let table = sketch.table("range", TableRows::Range { bits: 4 });
            let values = PublicTensor::Dense { shape: vec![4], values: Arc::new(vec![1, 1, 0, 1]) };
            let mask = at(sketch.public("mask", &[axis], values), &[axis]);
            lookup(table, vec![form(&[(1, &at(x, &[axis]))], 0)], Some(mask))
        },
        1,
    );
    assert_eq!(uncertified(&masked.statement).as_deref(), Some("x"));
}

#[test]
fn a_lookup_of_one_entry_certifies_no_other() {
    let fixed = certified_by(
        |sketch, x, _| {
            let table = sketch.table("range", TableRows::Range { bits: 4 });
            lookup(table, vec![form(&[(1, &by(x, &[Index::Fixed(2)]))], 0)], None)
        },
        1,
    );
    assert_eq!(uncertified(&fixed.statement).as_deref(), Some("x"));
}

#[test]
fn a_lookup_in_a_box_of_other_axes_certifies_nothing() {
    let wider = certified_by(
        |sketch, x, axis| {
            let table = sketch.table("range", TableRows::Range { bits: 4 });
            lookup(table, vec![form(&[(1, &at(x, &[axis]))], 0)], None)
        },
        2,
    );
    assert_eq!(uncertified(&wider.statement).as_deref(), Some("x"));
}

#[test]
fn a_lookup_of_a_multiple_or_of_a_sum_certifies_nothing() {
    let of = |twice: bool| {
        certified_by(
            move |sketch, x, axis| {
                let table = sketch.table("range", TableRows::Range { bits: 4 });
                let access = at(x, &[axis]);
                let y = at(sketch.weight("y", &[axis], (0, 1)), &[axis]);
                let columns = if twice { form(&[(2, &access)], 0) } else { form(&[(1, &access), (1, &y)], 0) };
                lookup(table, vec![columns], None)
            },
            1,
        )
    };
    assert_eq!(uncertified(&of(true).statement).as_deref(), Some("x"));
    assert_eq!(uncertified(&of(false).statement).as_deref(), Some("x"));
}

#[test]
fn the_second_column_of_a_table_certifies_its_own_bounds() {
    type Table = fn(&mut Sketch) -> TableId;
    let tables: [Table; 2] = [
        |sketch| sketch.table("clamp", TableRows::Clamp { bits: 4, low: -3, high: 7 }),
        |sketch| sketch.function("function", (4, -8), (-3, 7)),
    ];
    for table in tables {
        for (interval, sound) in [((-3, 7), true), ((-3, 6), false), ((-2, 7), false)] {
            let (mut sketch, axis) = sketch();
            let x = sketch.looked_up("x", &[axis], (-8, 7));
            let y = sketch.looked_up("y", &[axis], interval);
            let table = table(&mut sketch);
            let columns = [x, y].map(|tensor| form(&[(1, &at(tensor, &[axis]))], 0));
            sketch.relation("lookup", &[axis], lookup(table, columns.to_vec(), None));
            assert_eq!(uncertified(&sketch.statement), (!sound).then(|| "y".to_owned()), "{interval:?}");
        }
    }
}

#[test]
fn two_range_checks_certify_what_both_imply() {
    for (high, sound) in [(12, true), (11, false)] {
        let (mut sketch, axis) = sketch();
        let x = sketch.looked_up("x", &[axis], (0, high));
        let table = sketch.table("range", TableRows::Range { bits: 4 });
        for (name, constant) in [("from below", 0), ("from above", 3)] {
            let column = form(&[(1, &at(x, &[axis]))], constant);
            sketch.relation(name, &[axis], lookup(table, vec![column], None));
        }
        assert_eq!(sketch.statement.check().is_ok(), sound, "0..={high}");
    }
}

#[test]
fn a_boolean_is_certified_by_its_equation_alone() {
    // x^2 - x says nothing of the size of x, and needs none; any other equation does.
    let is_refused = |first: i64, second: i64, [squared, subtracted]: [bool; 2]| {
        let (mut sketch, axis) = sketch();
        let x = at(sketch.weight("x", &[axis], (0, 1 << 20)), &[axis]);
        let y = at(sketch.weight("y", &[axis], (0, 1 << 20)), &[axis]);
        let choose = |same: bool| if same { &x } else { &y };
        sketch.relation("boolean", &[axis], rows(&[(first, &[&x, choose(squared)]), (second, &[choose(subtracted)])]));
        wraps(&sketch.statement)
    };
    assert!(!is_refused(1, -1, [true, true]));
    assert!(is_refused(2, -1, [true, true]));
    assert!(is_refused(1, -2, [true, true]));
    assert!(is_refused(1, -1, [false, true]));
    assert!(is_refused(1, -1, [true, false]));
    let (mut sketch, axis) = sketch();
    let x = at(sketch.weight("x", &[axis], (0, 1 << 20)), &[axis]);
    sketch.relation("three terms", &[axis], rows(&[(1, &[&x, &x]), (-1, &[&x]), (-1, &[&x])]));
    assert!(wraps(&sketch.statement));
}

#[test]
fn a_form_of_one_bounded_term_is_no_partition_of_unity() {
    let of = |certificate: Certificate| {
        let (mut sketch, axis) = sketch();
        let x = sketch.tensor("x", &[axis], TensorKind::Weight, (0, 2), certificate);
        sketch.relation("form", &[axis], zero(form(&[(1 << 30, &at(x, &[axis]))], -1)));
        wraps(&sketch.statement)
    };
    // 2^30 x = 1 has the root 2 in the field; nobody relies on the entries of a tensor without an interval.
    assert!(of(Certificate::Weight));
    assert!(!of(Certificate::None));
}

#[test]
fn a_form_of_two_terms_relies_on_both() {
    let (mut sketch, axis) = sketch();
    let x = at(sketch.unbounded("x", &[axis]), &[axis]);
    let y = at(sketch.weight("y", &[axis], (0, 1)), &[axis]);
    sketch.relation("form", &[axis], zero(form(&[(1, &x), (1, &y)], -1)));
    assert_eq!(uncertified(&sketch.statement).as_deref(), Some("x"));
}

#[test]
fn a_sum_over_an_axis_is_as_large_as_all_its_entries() {
    for (high, sound) in [((1 << 29) - 1, true), (1 << 29, false)] {
        let (mut sketch, axis) = sketch();
        let outer = sketch.axis(2);
        let x = sketch.weight("x", &[outer, axis], (0, high));
        let access = by(x, &[Index::Axis(outer), Index::Sum]);
        sketch.relation("sum", &[outer], zero(form(&[(1, &access)], 0)));
        assert_eq!(wraps(&sketch.statement), !sound, "{high}");
    }
}

/// `sum over four entries of left * right = 0`, with bounds of the rows of each.
fn contraction(
    magnitude: i64,
    [left, right]: [Option<i64>; 2],
    [left_norm, right_norm]: [Option<i64>; 2],
    coefficient: i64,
) -> Statement {
    let (mut sketch, axis) = sketch();
    let [x, y] = ["x", "y"].map(|name| sketch.weight(name, &[axis], (-magnitude, magnitude)));
    for (tensor, mass, norm) in [(x, left, left_norm), (y, right, right_norm)] {
        let tensor = &mut sketch.statement.tensors[tensor.0 as usize];
        (tensor.row_mass, tensor.row_norm) = (mass, norm);
    }
    let [left, right] = [x, y].map(|tensor| at(tensor, &[axis]));
    let contractions = vec![Contraction { coefficient, left, right }];
    sketch.relation("product", &[], Relation::Product { output: Linear::default(), contractions, summed: vec![axis] });
    sketch.statement
}

#[test]
fn a_contraction_is_bounded_by_its_size_its_mass_or_its_norms() {
    const NONE: [Option<i64>; 2] = [None, None];
    // Four products of 2^15 by 2^15 are 2^32.
    assert!(wraps(&contraction(1 << 15, NONE, NONE, 1)));
    assert!(!wraps(&contraction(1 << 14, NONE, NONE, 1)));
    assert!(wraps(&contraction(1 << 14, NONE, NONE, 2)));
    // A mass of 2^15 or of 2^16 - 1 fits, one of 2^16 does not.
    assert!(!wraps(&contraction(1 << 15, [Some(1 << 15), None], NONE, 1)));
    assert!(!wraps(&contraction(1 << 15, [None, Some((1 << 16) - 1)], NONE, 1)));
    assert!(wraps(&contraction(1 << 15, [Some(1 << 16), None], NONE, 1)));
    assert!(wraps(&contraction(1 << 15, [None, Some(1 << 16)], NONE, 1)));
    // The product of both norms counts, one norm alone says nothing.
    assert!(!wraps(&contraction(1 << 15, NONE, [Some(1 << 15), Some(1 << 15)], 1)));
    assert!(wraps(&contraction(1 << 15, NONE, [Some(1 << 16), Some(1 << 15)], 1)));
    assert!(wraps(&contraction(1 << 15, NONE, [Some(1), None], 1)));
    assert!(wraps(&contraction(1 << 15, NONE, [None, Some(1)], 1)));
}

#[test]
fn contractions_and_their_output_add_up() {
    let of = |copies: usize, constant: i64| {
        let mut statement = contraction(1 << 14, [None, None], [None, None], 1);
        let Relation::Product { output, contractions, .. } = &mut statement.relations[0].relation else {
            unreachable!("a product")
        };
        output.constant = constant;
        *contractions = vec![contractions[0].clone(); copies];
        wraps(&statement)
    };
    assert!(!of(1, 0));
    assert!(of(2, 0));
    assert!(of(1, 1 << 30));
    assert!(of(1, -1 << 30));
}
