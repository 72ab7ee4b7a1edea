//! Tables of the same rows, as a statement has them whose lookups one table could not count.

use std::sync::Arc;

use obelysk_prover::{CommittedModel, Cpu, prove};
use obelysk_statement::plan::Plan;
use obelysk_statement::relation::Linear;
use obelysk_statement::security::{self, TARGET_BITS};
use obelysk_statement::table::TableRows;
use obelysk_statement::{CompileError, Statement};
use obelysk_tests::sketch::{Sketch, lookup};
use obelysk_verifier::{VerifyError, verify};
use obelysk_witness::{Assignment, Weights, fill_multiplicities};

const NAMES: [&str; 3] = ["one", "two", "three"];

/// As many lookups of each of some tables.
fn lookups(tables: &[&str], bits: usize) -> Statement {
    let mut sketch = Sketch::default();
    let axes = [bits / 2, bits - bits / 2].map(|bits| sketch.axis(1 << bits));
    for name in tables {
        let table = sketch.table(name, TableRows::Range { bits: 1 });
        sketch.relation(&format!("lookups of {name}"), &axes, lookup(table, vec![Linear::default()], None));
    }
    sketch.statement
}

#[test]
fn as_many_lookups_of_a_table_as_the_field_has_elements_are_refused() {
    assert_eq!(lookups(&NAMES[..1], 30).check(), Ok(()));
    let reason = "2147483648 lookups in table `one`; the field counts 2147483646";
    assert_eq!(lookups(&NAMES[..1], 31).check(), Err(CompileError::Unsupported(reason.into())));
}

#[test]
fn lookups_of_several_tables_may_be_more_than_the_field_has_elements() {
    let statement = lookups(&NAMES, 30);
    assert_eq!(statement.check(), Ok(()));
    let plan = Plan::new(&statement).unwrap();
    assert_eq!(plan.log_leaves(), 32);
    assert!(security::lookup(&statement, &plan.blocks).unwrap().bits >= TARGET_BITS);
}

#[test]
fn a_lookup_that_is_counted_in_another_table_of_the_same_rows_is_refused() {
    let mut sketch = Sketch::default();
    let axis = sketch.axis(4);
    let [own, copy] = ["own", "copy"].map(|name| sketch.table(name, TableRows::Range { bits: 2 }));
    for (name, table) in [("x", own), ("y", copy)] {
        sketch.ranged(name, &[axis], table);
    }
    let statement = sketch.statement;
    let model = CommittedModel::new(&statement, Arc::default()).unwrap();
    let mut witness: Assignment = [("x", [0, 1, 2, 3]), ("y", [3, 3, 1, 0])]
        .map(|(name, values)| (name.to_owned(), values.to_vec()))
        .into_iter()
        .collect();
    fill_multiplicities(&statement, &Weights::new(), &mut witness).unwrap();
    let verified = |witness: &Assignment| {
        let proof = prove(&Cpu, &statement, b"", &model, witness.clone()).unwrap().proof;
        verify(&statement, b"", model.root(), &proof).map(drop)
    };
    assert_eq!(verified(&witness), Ok(()));
    for (table, by) in [("own", 1), ("copy", -1)] {
        witness.get_mut(&format!("{table}: multiplicity")).unwrap()[3] += by;
    }
    assert!(matches!(verified(&witness), Err(VerifyError::Tree { .. })));
}
