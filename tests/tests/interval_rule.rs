//! Statements that field arithmetic could satisfy with wrong integers do not compile: the known forgeries.

use obelysk_statement::axis::{Axis, AxisId};
use obelysk_statement::compile::{difference_end, validate_description};
use obelysk_statement::relation::{
    Access, Certificate, Contraction, Interval, Linear, Lookup, Monomial, NamedRelation, Relation, Tensor, TensorId,
    TensorKind,
};
use obelysk_statement::table::{Table, TableId, TableRows};
use obelysk_statement::{CompileError, Statement, compile};
use obelysk_tests::subject::{Subject, fixture};

const AXIS: AxisId = AxisId(0);

/// A statement over one axis whose tensors have these intervals, each certified by the model's digest.
fn statement(size: usize, tensors: &[(&str, i64, i64)], relation: Relation) -> Statement {
    let tensors = tensors.iter().map(|&(name, low, high)| Tensor {
        name: name.into(),
        axes: vec![AXIS],
        kind: TensorKind::Weight,
        interval: Interval::new(low, high),
        certificate: Certificate::Weight,
        row_mass: None,
        row_norm: None,
    });
    Statement {
        axes: vec![Axis { name: "row".into(), size }],
        tensors: tensors.collect(),
        tables: Vec::new(),
        relations: vec![NamedRelation { name: "forgery".into(), axes: vec![AXIS], relation }],
    }
}

fn at(tensor: u32) -> Access {
    Access::new(TensorId(tensor), &[AXIS])
}

fn rows(monomials: &[(i64, &[u32])]) -> Relation {
    let monomial = |(coefficient, factors): &(i64, &[u32])| Monomial {
        coefficient: *coefficient,
        factors: factors.iter().map(|&factor| at(factor)).collect(),
    };
    Relation::Rows { monomials: monomials.iter().map(monomial).collect() }
}

fn wraps(statement: &Statement) -> bool {
    matches!(statement.check(), Err(CompileError::Wraps { .. }))
}

#[test]
fn a_saturation_whose_excess_wraps_does_not_compile() {
    // acc + 2^13 = 2^14 (y + ep - en) + r with 17-bit excesses: acc = -2^30 + 12345 passes as y = 2047.
    let forged = statement(
        4,
        &[
            ("acc", -(1 << 30), 1 << 30),
            ("y", -2048, 2047),
            ("ep", 0, 1 << 17),
            ("en", 0, 1 << 17),
            ("r", 0, (1 << 14) - 1),
        ],
        rows(&[(1, &[0]), (1 << 13, &[]), (-1 << 14, &[1]), (-1 << 14, &[2]), (1 << 14, &[3]), (-1, &[4])]),
    );
    assert!(wraps(&forged));
}

#[test]
fn a_softmax_division_with_a_wide_quotient_does_not_compile() {
    // 2^15 e + den / 2 = p den + r with a 16-bit p and the denominator of eight positions.
    let forged = statement(
        8,
        &[("e", 0, (1 << 15) - 1), ("p", 0, (1 << 16) - 1), ("den", 1, 8 * ((1 << 15) - 1)), ("r", 0, 1 << 18)],
        rows(&[(2 << 15, &[0]), (1, &[2]), (-2, &[1, 2]), (-2, &[3])]),
    );
    assert!(wraps(&forged));
}

#[test]
fn an_argmax_over_wide_logits_does_not_compile() {
    // best - logit = 2^15 z1 + z0 with 31-bit logits: a difference of -2^30 passes as a positive one.
    let forged = statement(
        4,
        &[
            ("best", -(1 << 30), 1 << 30),
            ("logit", -(1 << 30), 1 << 30),
            ("z1", 0, (1 << 15) - 1),
            ("z0", 0, (1 << 15) - 1),
        ],
        rows(&[(1, &[0]), (-1, &[1]), (-1 << 15, &[2]), (-1, &[3])]),
    );
    assert!(wraps(&forged));
}

#[test]
fn a_product_whose_row_is_too_heavy_does_not_compile() {
    let relation = |size| {
        let relation = Relation::Product {
            output: Linear::default(),
            contractions: vec![Contraction { coefficient: 1, left: at(0), right: at(1) }],
            summed: vec![AXIS],
        };
        let mut statement = statement(size, &[("a", -2048, 2047), ("w", -127, 127)], relation);
        statement.relations[0].axes.clear();
        statement
    };
    assert!(relation(4096).check().is_ok());
    assert!(wraps(&relation(16_384)));
}

#[test]
fn a_step_at_whose_last_difference_the_exponential_is_not_zero_does_not_compile() {
    // A larger difference could be committed as it is or as the last one, with other weights. Steps are at most twice the finest.
    let subject = Subject::new(&fixture("llama31"), &[&[5]], 1);
    let mut description = subject.model.description;
    assert!(difference_end(&description).is_some());
    description.attention.score_step /= 2;
    assert_eq!(difference_end(&description), None);
    let refused = compile(&description, &subject.inferences);
    assert!(matches!(&refused, Err(CompileError::Unsupported(reason)) if reason.contains("score step")), "{refused:?}");
}

#[test]
fn queries_and_keys_whose_products_exceed_30_bits_are_refused_with_their_description() {
    let mut description = Subject::new(&fixture("llama31"), &[&[5]], 1).model.description;
    assert_eq!(validate_description(&description), Ok(()));
    description.attention.rotated_end = (1 << 15) - 1;
    let refused = validate_description(&description);
    assert!(
        matches!(&refused, Err(CompileError::Unsupported(reason)) if reason.contains("rotated end")),
        "{refused:?}"
    );
}

#[test]
fn a_tensor_without_a_certificate_supports_no_equation() {
    let mut forged = statement(4, &[("x", 0, 1), ("y", 0, 1)], rows(&[(1, &[0]), (-1, &[1])]));
    assert!(forged.check().is_ok());
    forged.tensors[0].kind = TensorKind::Witness;
    forged.tensors[0].certificate = Certificate::None;
    assert!(matches!(forged.check(), Err(CompileError::Uncertified { .. })));
}

#[test]
fn a_product_over_a_tensor_without_a_certificate_does_not_compile() {
    let relation = Relation::Product {
        output: Linear { terms: vec![(1, at(2))], constant: 0 },
        contractions: vec![Contraction { coefficient: 1, left: at(0), right: at(1) }],
        summed: Vec::new(),
    };
    let mut forged = statement(4, &[("x", 0, 1), ("y", 0, 1), ("z", 0, 1)], relation);
    assert!(forged.check().is_ok());
    forged.tensors[2].kind = TensorKind::Witness;
    forged.tensors[2].certificate = Certificate::None;
    assert!(matches!(forged.check(), Err(CompileError::Uncertified { .. })));
}

#[test]
fn a_lookup_certificate_needs_its_lookup() {
    let mut forged = statement(4, &[("x", 0, 15)], rows(&[(1, &[0])]));
    forged.tensors[0].kind = TensorKind::Witness;
    forged.tensors[0].certificate = Certificate::Lookup;
    assert!(matches!(forged.check(), Err(CompileError::Uncertified { .. })));

    // A range of five bits is not four.
    for (bits, sound) in [(4, true), (5, false)] {
        let mut statement = forged.clone();
        statement.axes.push(Axis { name: "table".into(), size: 1 << bits });
        statement.tensors.push(Tensor {
            name: "multiplicity".into(),
            axes: vec![AxisId(1)],
            kind: TensorKind::Witness,
            interval: Interval::new(0, 1 << 20),
            certificate: Certificate::None,
            row_mass: None,
            row_norm: None,
        });
        statement.tables.push(Table {
            name: "range".into(),
            rows: TableRows::Range { bits },
            multiplicity: TensorId(1),
        });
        statement.relations.push(NamedRelation {
            name: "x: range".into(),
            axes: vec![AXIS],
            relation: Relation::Lookup(Lookup {
                table: TableId(0),
                columns: vec![Linear { terms: vec![(1, at(0))], constant: 0 }],
                mask: None,
            }),
        });
        assert_eq!(statement.check().is_ok(), sound, "{bits} bits");
    }
}
