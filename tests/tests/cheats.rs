//! Engines that cheat and are consistent about it: the verifier refuses the honest proof of what they computed.

use std::sync::LazyLock;

use obelysk_model::quantize::Precision;
use obelysk_tests::cheats::engines::{
    CONSTANTS, CONSTANTS_OF_WINDOWS, Constant, of_another_prompt, of_constants, of_layers_swapped,
    of_the_position_before, of_weights,
};
use obelysk_tests::cheats::entries::ENTRIES;
use obelysk_tests::cheats::solver::Solver;
use obelysk_tests::cheats::{Cheat, answers};
use obelysk_tests::derived::without_clamp_tables;
use obelysk_tests::subject::{Subject, fixture, quantized};
use rayon::prelude::*;

fn subject(name: &str, prompt: &[u32]) -> Subject {
    let model = without_clamp_tables(quantized(&fixture(name), Some(Precision::PLAIN)));
    Subject::of_model(model, &[prompt], 1)
}

fn convinces(subject: &Subject) {
    let proof = subject.prove(&subject.witness).expect("a proof");
    subject.verify(&proof).expect("the same code on the honest witness convinces");
}

/// A model with norms of heads, asked one question.
static TRUSTED: LazyLock<Subject> = LazyLock::new(|| {
    let subject = subject("qwen3", &[5, 6]);
    convinces(&subject);
    subject
});

/// A model with windows, caps and norms of branches, asked one question.
static WINDOWED: LazyLock<Subject> = LazyLock::new(|| {
    let mut subject = subject("gemma2", &[5, 6, 7]);
    subject.narrow_windows(2);
    convinces(&subject);
    subject
});

/// Every cheat breaks exactly what is named, and is refused.
fn refuses(trusted: &Subject, cheats: Vec<(Cheat, Vec<&str>)>) {
    let lines: Vec<Result<String, String>> = cheats
        .par_iter()
        .map(|(cheat, broken)| {
            let other = if cheat.answers_otherwise(trusted) { "other answer" } else { "same answer" };
            if cheat.broken != *broken {
                return Err(format!("{} breaks {:?}, not {broken:?}", cheat.name, cheat.broken));
            }
            match cheat.verdict() {
                Ok(()) => Err(format!("{}: ACCEPTED, {other}", cheat.name)),
                Err(error) => Ok(format!("{}: {other}, refused: {error}", cheat.name)),
            }
        })
        .collect();
    lines.iter().flatten().for_each(|line| println!("{line}"));
    println!("{} attacks", lines.len());
    let failed: Vec<&String> = lines.iter().filter_map(|line| line.as_ref().err()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

fn with_constants(trusted: &Subject, constants: &[Constant]) {
    let cheats = constants.iter().map(|constant| {
        let mut broken = constant.2.to_vec();
        let cheat = of_constants(trusted, constant);
        // In order of the statement.
        broken.sort_by_key(|name| trusted.statement.relations.iter().position(|named| named.name == *name));
        (cheat, broken)
    });
    refuses(trusted, cheats.collect());
}

#[test]
fn an_engine_of_other_constants_is_refused() {
    with_constants(&TRUSTED, &CONSTANTS);
}

#[test]
fn an_engine_with_other_windows_or_caps_is_refused() {
    with_constants(&WINDOWED, &CONSTANTS_OF_WINDOWS);
}

#[test]
fn an_engine_of_other_weights_is_refused() {
    for trusted in [&*TRUSTED, &*WINDOWED] {
        let cheats = of_weights(trusted);
        // A weight that no cheat changes would be one that no relation reads.
        assert_eq!(cheats.len(), trusted.model.weights.len());
        refuses(trusted, cheats);
    }
}

#[test]
fn layers_in_another_order_are_refused() {
    let cheat = of_layers_swapped(&TRUSTED);
    assert!(
        cheat.broken.len() >= 7 && cheat.broken.iter().all(|name| name.contains("projection") || name.contains("half"))
    );
    assert!(cheat.verdict().is_err());
}

#[test]
fn the_answer_to_another_prompt_is_refused() {
    refuses(&TRUSTED, vec![(of_another_prompt(&TRUSTED, &[5, 9]), vec!["embedded: row of the token"])]);
}

#[test]
fn an_output_position_that_is_off_by_one_is_refused() {
    let trusted = subject("qwen3", &[5, 6, 7, 8, 9, 10, 11, 0]);
    convinces(&trusted);
    let name = "head_input: what the last layer leaves at the output positions";
    refuses(&trusted, vec![(of_the_position_before(&trusted), vec![name])]);
}

#[test]
fn the_second_best_token_is_refused() {
    let cheats = answers::second_best(&TRUSTED).into_iter().map(|(cheat, broken)| (cheat, broken.to_vec()));
    refuses(&TRUSTED, cheats.collect());
}

#[test]
fn the_relations_have_one_solution_and_it_is_the_engine_s() {
    for trusted in [&*TRUSTED, &*WINDOWED] {
        let solved = Solver::new(&trusted.statement, &trusted.model.weights, &|_, _, value| value).solve();
        for (tensor, values) in &trusted.witness {
            assert!(solved[tensor] == *values, "{tensor}");
        }
        assert_eq!(solved.len(), trusted.witness.len());
    }
}

#[test]
fn an_engine_that_is_wrong_once_and_consistent_is_refused() {
    let cheats = ENTRIES.iter().map(|entry| {
        let change = |tensor: &str, place: usize, value: i64| entry.apply(tensor, place, value);
        (Cheat::of_change(entry.name, &TRUSTED, &change), entry.broken.to_vec())
    });
    refuses(&TRUSTED, cheats.collect());
}

#[test]
fn every_tensor_is_one_too_high_once_and_everything_that_follows_with_it() {
    let tensors: Vec<&String> = TRUSTED.witness.keys().collect();
    let failed: Vec<String> = tensors
        .par_iter()
        .filter_map(|&name| {
            let change = |tensor: &str, place: usize, value: i64| value + i64::from(tensor == name && place == 0);
            let cheat = Cheat::of_change(name, &TRUSTED, &change);
            let refused = cheat.verdict();
            println!("{name}: breaks {:?}", cheat.broken);
            (cheat.broken.is_empty() || refused.is_ok())
                .then(|| format!("{name}: breaks {:?}, {refused:?}", cheat.broken))
        })
        .collect();
    println!("{} attacks", tensors.len());
    assert!(failed.is_empty(), "{failed:#?}");
}
