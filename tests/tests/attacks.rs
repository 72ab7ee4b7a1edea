//! A cheating prover: for every relation of a real model's statement, honest code on a changed witness.

use std::collections::BTreeSet;

use obelysk_model::quantize::Precision;
use obelysk_prover::Honesty;
use obelysk_statement::check::check;
use obelysk_tests::attacks::attacks;
use obelysk_tests::derived::{narrowed, qwen2};
use obelysk_tests::subject::{Subject, fixture, quantized};
use rayon::prelude::*;

#[test]
fn every_relation_is_attacked_and_every_attack_is_refused() {
    let model = quantized(&fixture("qwen3"), Some(Precision::PLAIN));
    let subject = Subject::of_model(model, &[&[5, 6], &[7]], 1);
    let attacked = refuses_attacks(&subject, |_| true);
    assert_eq!(attacked, subject.statement.relations.len());
}

#[test]
fn every_relation_of_a_clamped_stream_and_of_carries_is_attacked_too() {
    let model = quantized(&fixture("llama31"), Some(Precision::FINE));
    assert!(model.description.residual.clamp.is_some() && model.description.feed_forward.hidden_limbs.count == 2);
    let subject = Subject::of_model(model, &[&[5, 6]], 1);
    let attacked = refuses_attacks(&subject, |_| true);
    assert_eq!(attacked, subject.statement.relations.len());
}

#[test]
fn every_relation_that_only_gemma_has_is_attacked_too() {
    // Windows, caps, norms around blocks, another activation, heads without norms. Three positions and a window of two.
    for precision in [Precision::PLAIN, Precision::FINE] {
        let model = quantized(&fixture("gemma2"), Some(precision));
        let mut subject = Subject::of_model(model, &[&[5, 6, 7]], 1);
        subject.narrow_windows(2);
        let own = ["capped", "_output", "_branch: norm", "activation", "seen", "query", "key", "score"];
        let attacked = refuses_attacks(&subject, |relation| own.iter().any(|part| relation.contains(part)));
        assert!(attacked >= 60, "{attacked}");
    }
}

#[test]
fn every_relation_of_a_clamped_value_is_attacked_too() {
    for (name, least) in [("qwen3", 14), ("llama31", 14)] {
        let model = narrowed(quantized(&fixture(name), Some(Precision::PLAIN)));
        let subject = Subject::of_model(model, &[&[5, 6, 7]], 1);
        let own = [".above", ".below", "query: projection", "score: query", "feed_forward_hidden: activation"];
        let attacked = refuses_attacks(&subject, |relation| own.iter().any(|part| relation.contains(part)));
        assert!(attacked >= least, "{name}: {attacked}");
    }
}

#[test]
fn every_relation_with_a_bias_is_attacked_too() {
    let folder = qwen2(3.0);
    let subject = Subject::new(folder.path(), &[&[5, 6]], 1);
    let attacked = refuses_attacks(&subject, |relation| {
        ["query: projection", "key: projection", "value: projection"].contains(&relation)
    });
    assert_eq!(attacked, 3);
}

/// Attack the chosen relations; returns how many there are.
fn refuses_attacks(subject: &Subject, chosen: impl Fn(&str) -> bool) -> usize {
    check(&subject.statement, &subject.model.weights, &subject.witness).unwrap();
    let honest = subject.prove(&subject.witness, Honesty::Unchecked).unwrap();
    subject.verify(&honest).expect("the same code on the honest witness convinces");

    let attacks = attacks(&subject.statement, &subject.model.weights, &subject.witness)
        .unwrap_or_else(|without| panic!("relations without an attack: {without:?}"));
    let attacks: Vec<_> = attacks.into_iter().filter(|attack| chosen(&attack.relation)).collect();
    let relations: BTreeSet<&str> = attacks.iter().map(|attack| attack.relation.as_str()).collect();
    println!("{} attacks on {} relations", attacks.len(), relations.len());
    let accepted: Vec<String> = attacks
        .par_iter()
        .filter(|attack| {
            let proof = subject.prove(&attack.apply(&subject.witness), Honesty::Unchecked).unwrap();
            subject.verify(&proof).is_ok()
        })
        .map(|attack| format!("{}: {}", attack.relation, attack.name))
        .collect();
    assert!(accepted.is_empty(), "accepted: {accepted:#?}");
    relations.len()
}
