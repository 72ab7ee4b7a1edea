//! A cheating prover: for every relation of a real model's statement, honest code on a changed witness.

use std::collections::BTreeSet;

use obelysk_model::quantize::Precision;
use obelysk_statement::compile::{LIMB_BITS, difference_end};
use obelysk_tests::attacks::attacks;
use obelysk_tests::derived::{narrowed, qwen2, without_clamp_tables};
use obelysk_tests::subject::{Subject, fixture, quantized};
use obelysk_witness::{Assignment, check, check_relation};
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
    let model = without_clamp_tables(quantized(&fixture("llama31"), Some(Precision::FINE)));
    assert!(model.description.residual.clamp.is_some() && model.description.feed_forward.hidden_limbs.count == 2);
    let subject = Subject::of_model(model, &[&[5, 6]], 1);
    let attacked = refuses_attacks(&subject, |_| true);
    assert_eq!(attacked, subject.statement.relations.len());
}

#[test]
fn every_relation_that_only_gemma_has_is_attacked_too() {
    // Windows, caps, norms around blocks, another activation, heads without norms. Three positions and a window of two.
    for precision in [Precision::PLAIN, Precision::FINE] {
        let model = without_clamp_tables(quantized(&fixture("gemma2"), Some(precision)));
        let mut subject = Subject::of_model(model, &[&[5, 6, 7]], 1);
        subject.narrow_windows(2);
        let own = ["capped", "_output", "_branch: norm", "activation", "seen", "query", "key", "score"];
        let attacked = refuses_attacks(&subject, |relation| own.iter().any(|part| relation.contains(part)));
        assert!(attacked >= 60, "{attacked}");
    }
}

#[test]
fn every_relation_of_a_clamped_value_is_attacked_too() {
    for (name, least) in [("qwen3", 11), ("llama31", 11)] {
        let model = narrowed(quantized(&fixture(name), Some(Precision::PLAIN)));
        let subject = Subject::of_model(model, &[&[5, 6, 7]], 1);
        let own =
            [": clamped", "activation: table", "query: projection", "score: query", "feed_forward_hidden: activation"];
        let attacked = refuses_attacks(&subject, |relation| own.iter().any(|part| relation.contains(part)));
        assert!(attacked >= least, "{name}: {attacked}");
    }
}

#[test]
fn every_relation_of_a_rotation_by_a_wide_shift_is_attacked_too() {
    let model = without_clamp_tables(quantized(&fixture("qwen3"), Some(Precision::FINE)));
    assert!(model.description.attention.query_rotary_shift > LIMB_BITS, "{:?}", model.description.attention);
    let subject = Subject::of_model(model, &[&[5, 6]], 1);
    let attacked = refuses_attacks(&subject, |relation| relation.contains("_rotated"));
    assert_eq!(attacked, subject.statement.relations.iter().filter(|named| named.name.contains("_rotated")).count());
}

#[test]
fn every_relation_with_a_bias_is_attacked_too() {
    let folder = qwen2(3.0);
    let subject = Subject::of_model(without_clamp_tables(quantized(folder.path(), None)), &[&[5, 6]], 1);
    let attacked = refuses_attacks(&subject, |relation| {
        ["query: projection", "key: projection", "value: projection"].contains(&relation)
    });
    assert_eq!(attacked, 3);
}

#[test]
fn a_wrong_difference_of_scores_breaks_the_one_relation_that_forbids_it() {
    let subject = Subject::of_model(without_clamp_tables(quantized(&fixture("llama31"), None)), &[&[5, 6, 7]], 1);
    let end = i64::from(difference_end(&subject.model.description).unwrap());
    // The last position of the first head of the first layer sees three keys.
    let size = subject.statement.axes.iter().find(|axis| axis.name == "key position").unwrap().size;
    let keys = 2 * size..2 * size + 3;
    let wide = |witness: &Assignment, name: &str, place: usize| {
        i64::from(witness[&format!("{name}.high")][place] << 16 | witness[&format!("{name}.low")][place])
    };
    let set_wide = |witness: &mut Assignment, name: &str, place: usize, value: i64| {
        witness.get_mut(&format!("{name}.low")).unwrap()[place] = (value & 0xffff) as i32;
        witness.get_mut(&format!("{name}.high")).unwrap()[place] = (value >> 16) as i32;
    };
    let set_difference = |witness: &mut Assignment, key: usize, difference: i64, beyond: i64| {
        witness.get_mut("score_difference").unwrap()[key] = difference as i32;
        set_wide(witness, "score_beyond", key, beyond);
    };
    let differences = subject.witness["score_difference"][keys.clone()].to_vec();
    let best = keys.start + differences.iter().position(|&difference| difference == 0).unwrap();
    let other = keys.clone().find(|&key| subject.witness["score_difference"][key] > 0).unwrap();
    let difference = i64::from(subject.witness["score_difference"][other]);

    let mut early = subject.witness.clone();
    set_difference(&mut early, other, difference - 1, 1);
    let mut negative = subject.witness.clone();
    set_difference(&mut negative, other, end, difference - end);
    // Another score becomes the largest: the true one is above it.
    let mut lower = subject.witness.clone();
    set_wide(&mut lower, "maximum", 2, wide(&subject.witness, "maximum", 2) - difference);
    for key in keys {
        let moved = i64::from(subject.witness["score_difference"][key]) - difference;
        let inside = (0..=end).contains(&moved);
        set_difference(&mut lower, key, if inside { moved } else { end }, if inside { 0 } else { moved - end });
        lower.get_mut("is_maximum").unwrap()[key] = i32::from(key == other);
    }
    assert_ne!(best, other);

    for (witness, relation) in
        [(early, "score_beyond: only at the end"), (negative, "score_beyond: seen"), (lower, "score_beyond: seen")]
    {
        let of_scores = ["score", "maximum", "is_maximum"];
        let broken: Vec<&str> = subject
            .statement
            .relations
            .iter()
            .filter(|named| of_scores.iter().any(|part| named.name.starts_with(part)))
            .filter(|named| check_relation(&subject.statement, &subject.model.weights, &witness, named).is_err())
            .map(|named| named.name.as_str())
            .collect();
        assert_eq!(broken, [relation]);
        let proof = subject.prove(&witness).unwrap();
        assert!(subject.verify(&proof).is_err(), "{relation}");
    }
}

/// Attack the chosen relations; returns how many there are.
fn refuses_attacks(subject: &Subject, chosen: impl Fn(&str) -> bool) -> usize {
    check(&subject.statement, &subject.model.weights, &subject.witness).unwrap();
    let honest = subject.prove(&subject.witness).unwrap();
    subject.verify(&honest).expect("the same code on the honest witness convinces");

    let attacks = attacks(&subject.statement, &subject.model.weights, &subject.witness)
        .unwrap_or_else(|without| panic!("relations without an attack: {without:?}"));
    let attacks: Vec<_> = attacks.into_iter().filter(|attack| chosen(&attack.relation)).collect();
    let relations: BTreeSet<&str> = attacks.iter().map(|attack| attack.relation.as_str()).collect();
    println!("{} attacks on {} relations", attacks.len(), relations.len());
    let accepted: Vec<String> = attacks
        .par_iter()
        .filter(|attack| {
            let proof = subject.prove(&attack.apply(&subject.witness)).unwrap();
            subject.verify(&proof).is_ok()
        })
        .map(|attack| format!("{}: {}", attack.relation, attack.name))
        .collect();
    assert!(accepted.is_empty(), "accepted: {accepted:#?}");
    relations.len()
}
