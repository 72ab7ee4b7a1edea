//! Statements whose parts do not fit each other are refused before anything is computed from them.

use std::sync::Arc;

use obelysk_statement::axis::AxisId;
use obelysk_statement::relation::{Contraction, Index, Linear, Relation, TensorId};
use obelysk_statement::table::TableRows;
use obelysk_statement::{CompileError, PublicTensor};
use obelysk_tests::sketch::{Sketch, at, by, form, lookup, rows, zero};

/// Tensor `x` over `[first, second]`, both of three entries, and a third axis of five.
struct Fixture {
    sketch: Sketch,
    x: TensorId,
    first: AxisId,
    second: AxisId,
    longer: AxisId,
}

fn fixture() -> Fixture {
    let mut sketch = Sketch::default();
    let [first, second, longer] = [3, 3, 5].map(|size| sketch.axis(size));
    let x = sketch.weight("x", &[first, second], (0, 1));
    Fixture { sketch, x, first, second, longer }
}

/// Why a statement with one relation over `[first, second]` is malformed.
fn reason(relation: impl FnOnce(&mut Fixture) -> Relation) -> Option<String> {
    let mut fixture = fixture();
    let relation = relation(&mut fixture);
    fixture.sketch.relation("relation", &[fixture.first, fixture.second], relation);
    match fixture.sketch.statement.check() {
        Err(CompileError::Malformed { relation, reason }) => {
            assert_eq!(relation, "relation");
            Some(reason)
        }
        Err(other) => panic!("{other}"),
        Ok(()) => None,
    }
}

fn refuses(words: &str, relation: impl FnOnce(&mut Fixture) -> Relation) {
    let reason = reason(relation);
    assert!(reason.as_ref().is_some_and(|reason| reason.contains(words)), "{reason:?}, not {words}");
}

#[test]
fn a_tensor_addressed_by_its_axes_is_well_formed() {
    assert_eq!(reason(|f| rows(&[(1, &[&at(f.x, &[f.first, f.second])])])), None);
}

#[test]
fn a_tensor_has_as_many_indices_as_axes() {
    refuses("has 2 axes, not 1", |f| rows(&[(1, &[&at(f.x, &[f.first])])]));
    refuses("has 2 axes, not 3", |f| rows(&[(1, &[&at(f.x, &[f.first, f.second, f.first])])]));
}

#[test]
fn an_axis_addresses_a_tensor_of_its_size() {
    refuses("addressed by the wrong axis", |f| {
        f.sketch.statement.axes[usize::from(f.second.0)].size = 2;
        let y = f.sketch.weight("y", &[f.longer], (0, 1));
        rows(&[(1, &[&at(y, &[f.second])])])
    });
}

#[test]
fn an_axis_addresses_a_tensor_once() {
    refuses("addressed by the wrong axis", |f| rows(&[(1, &[&at(f.x, &[f.first, f.first])])]));
}

#[test]
fn an_axis_of_an_access_is_one_of_the_relation() {
    refuses("an axis outside of the relation", |f| {
        let other = f.sketch.axis(3);
        rows(&[(1, &[&at(f.x, &[f.first, other])])])
    });
    // What a product sums over is no axis of its output.
    refuses("an axis outside of the relation", |f| {
        let summed = f.sketch.axis(3);
        let contraction =
            Contraction { coefficient: 1, left: at(f.x, &[f.first, summed]), right: at(f.x, &[f.second, summed]) };
        let output = form(&[(1, &at(f.x, &[f.first, summed]))], 0);
        Relation::Product { output, contractions: vec![contraction], summed: vec![summed] }
    });
}

#[test]
fn a_constant_index_is_inside_of_its_axis() {
    let fixed =
        |place: usize| move |f: &mut Fixture| rows(&[(1, &[&by(f.x, &[Index::Axis(f.first), Index::Fixed(place)])])]);
    assert_eq!(reason(fixed(2)), None);
    refuses("addressed out of bounds", fixed(3));
}

#[test]
fn only_row_relations_address_the_first_indices_and_only_of_a_power_of_two() {
    type Axis = fn(&Fixture) -> AxisId;
    let first = |size: usize, index: Axis| {
        move |f: &mut Fixture| {
            let own = f.sketch.axis(size);
            let y = f.sketch.weight("y", &[own], (0, 1));
            by(y, &[Index::First(index(f))])
        }
    };
    assert_eq!(reason(|f| rows(&[(1, &[&first(4, |f| f.first)(f)])])), None);
    let wrong: [(usize, Axis); 3] = [(6, |f| f.first), (2, |f| f.first), (4, |f| f.longer)];
    for (size, index) in wrong {
        refuses("addressed by the wrong prefix", |f| rows(&[(1, &[&first(size, index)(f)])]));
    }
    refuses("addressed by the wrong prefix", |f| {
        let other = f.sketch.axis(3);
        let y = f.sketch.axis(4);
        let y = f.sketch.weight("y", &[y], (0, 1));
        rows(&[(1, &[&by(y, &[Index::First(other)])])])
    });
    refuses("addressed by the wrong prefix", |f| zero(form(&[(1, &first(4, |f| f.first)(f))], 0)));
    refuses("addressed by the wrong prefix", |f| {
        let axis = f.sketch.axis(4);
        let y = f.sketch.weight("y", &[axis, axis], (0, 1));
        rows(&[(1, &[&by(y, &[Index::First(f.first), Index::First(f.first)])])])
    });
}

#[test]
fn only_the_output_of_a_product_sums() {
    let summed = |f: &Fixture| by(f.x, &[Index::Axis(f.first), Index::Sum]);
    assert_eq!(reason(|f| zero(form(&[(1, &summed(f))], 0))), None);
    refuses("addressed out of bounds", |f| rows(&[(1, &[&summed(f)])]));
    refuses("addressed out of bounds", |f| {
        let factor = form(&[(1, &summed(f))], 0);
        Relation::Vanishing { left: factor.clone(), right: factor }
    });
    refuses("addressed out of bounds", |f| {
        let left = by(f.x, &[Index::Axis(f.first), Index::Sum]);
        let contraction = Contraction { coefficient: 1, left, right: at(f.x, &[f.first, f.second]) };
        Relation::Product { output: Linear::default(), contractions: vec![contraction], summed: Vec::new() }
    });
}

#[test]
fn a_contraction_depends_on_every_axis() {
    // Else its bound would have to count the axis that it lacks.
    let contracted = |right: fn(&Fixture, AxisId) -> Vec<AxisId>| {
        move |f: &mut Fixture| {
            let summed = f.sketch.axis(3);
            let y = f.sketch.weight("y", &[f.first, summed], (0, 1));
            let z = f.sketch.weight("z", &[f.second, summed], (0, 1));
            let axes = right(f, summed);
            let tensor = if axes[0] == f.first { y } else { z };
            let contraction = Contraction { coefficient: 1, left: at(y, &[f.first, summed]), right: at(tensor, &axes) };
            Relation::Product { output: Linear::default(), contractions: vec![contraction], summed: vec![summed] }
        }
    };
    assert_eq!(reason(contracted(|f, summed| vec![f.second, summed])), None);
    refuses("does not depend on every axis", contracted(|f, summed| vec![f.first, summed]));
    refuses("does not depend on every axis", |f| {
        let summed = f.sketch.axis(3);
        let access = at(f.x, &[f.first, f.second]);
        let contraction = Contraction { coefficient: 1, left: access.clone(), right: access };
        Relation::Product { output: Linear::default(), contractions: vec![contraction], summed: vec![summed] }
    });
}

#[test]
fn a_monomial_has_at_most_three_factors() {
    let of = |factors: usize| {
        move |f: &mut Fixture| {
            let x = at(f.x, &[f.first, f.second]);
            rows(&[(1, &vec![&x; factors])])
        }
    };
    assert_eq!(reason(of(3)), None);
    refuses("more than three factors", of(4));
}

#[test]
fn a_lookup_has_as_many_columns_as_its_table() {
    let of = |columns: usize| {
        move |f: &mut Fixture| {
            let table = f.sketch.function("function", (1, 0), (0, 1));
            lookup(table, vec![form(&[(1, &at(f.x, &[f.first, f.second]))], 0); columns], None)
        }
    };
    assert_eq!(reason(of(2)), None);
    refuses("another number of columns", of(1));
    refuses("another number of columns", of(3));
}

#[test]
fn the_values_of_a_function_are_a_weight_over_the_rows_of_its_table() {
    let checked = |bits: usize, committed: bool| {
        let Fixture { mut sketch, first, .. } = fixture();
        let axis = sketch.axis(2);
        let values = if committed { sketch.weight("v", &[axis], (0, 1)) } else { sketch.unbounded("v", &[axis]) };
        let table = sketch.table("function", TableRows::Function { bits, first: 0, values });
        sketch.relation("relation", &[first], lookup(table, vec![form(&[], 0); 2], None));
        sketch.statement.check()
    };
    assert_eq!(checked(1, true), Ok(()));
    let reason = "tensor `v` is not a weight over the table's rows".to_owned();
    let malformed = Err(CompileError::Malformed { relation: "function".into(), reason });
    assert_eq!(checked(2, true), malformed);
    assert_eq!(checked(1, false), malformed);
}

#[test]
fn a_mask_is_public() {
    let masked = |public: bool| {
        move |f: &mut Fixture| {
            let axes = [f.first, f.second];
            let table = f.sketch.table("range", TableRows::Range { bits: 1 });
            let values = PublicTensor::Dense { shape: vec![3, 3], values: Arc::new(vec![1; 9]) };
            let mask = if public { f.sketch.public("mask", &axes, values) } else { f.x };
            lookup(table, vec![form(&[(1, &at(f.x, &axes))], 0)], Some(at(mask, &axes)))
        }
    };
    assert_eq!(reason(masked(true)), None);
    refuses("mask is not public", masked(false));
}

#[test]
fn a_name_is_used_once() {
    let named_twice = |tensor: bool| {
        let mut fixture = fixture();
        let axes = [fixture.first, fixture.second];
        let other = fixture.sketch.weight(if tensor { "x" } else { "y" }, &axes, (0, 1));
        for name in ["relation", if tensor { "another" } else { "relation" }] {
            fixture.sketch.relation(name, &axes, rows(&[(1, &[&at(other, &axes)])]));
        }
        fixture.sketch.statement.check()
    };
    for tensor in [true, false] {
        let refused = named_twice(tensor);
        assert!(
            matches!(&refused, Err(CompileError::Malformed { reason, .. }) if reason.contains("used twice")),
            "{refused:?}"
        );
    }
}
