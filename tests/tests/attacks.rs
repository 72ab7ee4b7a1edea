//! A cheating prover: for every relation of a real model's statement, honest code on a changed witness.

use obelysk_prover::Honesty;
use obelysk_statement::check::check;
use obelysk_tests::attacks::attacks;
use obelysk_tests::subject::{Subject, fixture};
use rayon::prelude::*;

#[test]
fn every_relation_is_attacked_and_every_attack_is_refused() {
    let subject = Subject::new(&fixture("qwen3"), &[5, 6], 1);
    check(&subject.statement, &subject.model.weights, &subject.witness).unwrap();
    let honest = subject.prove(&subject.witness, Honesty::Unchecked).unwrap();
    subject.verify(&honest).expect("the same code on the honest witness convinces");

    let attacks = attacks(&subject.statement, &subject.model.weights, &subject.witness)
        .unwrap_or_else(|without| panic!("relations without an attack: {without:?}"));
    assert!(attacks.len() >= subject.statement.relations.len());
    println!("{} attacks on {} relations", attacks.len(), subject.statement.relations.len());
    let accepted: Vec<String> = attacks
        .par_iter()
        .filter(|attack| {
            let proof = subject.prove(&attack.apply(&subject.witness), Honesty::Unchecked).unwrap();
            subject.verify(&proof).is_ok()
        })
        .map(|attack| format!("{}: {}", attack.relation, attack.name))
        .collect();
    assert!(accepted.is_empty(), "accepted: {accepted:#?}");
}
