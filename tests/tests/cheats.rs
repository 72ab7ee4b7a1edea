//! Engines that cheat and are consistent about it: the verifier refuses the honest proof of what they computed.

use std::sync::LazyLock;

use obelysk_model::quantize::Precision;
use obelysk_tests::attacks::attacks;
use obelysk_tests::cheats::engines::{
    CONSTANTS, CONSTANTS_OF_WINDOWS, Constant, of_another_prompt, of_constants, of_layers_swapped,
    of_the_position_before, of_weights,
};
use obelysk_tests::cheats::entries::{ENTRIES, Entry};
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
        assert_eq!(cheats.len(), trusted.model.description.weights.len());
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
fn a_branch_that_is_left_out_of_the_stream_is_refused() {
    // What the first feed-forward block reads is what the first attention read.
    let trusted = &*TRUSTED;
    let first_layer = trusted.witness["attention_input.low"].len() / trusted.model.description.shape.padded_layers();
    let change = |tensor: &str, place: usize, value: i64| match tensor.strip_prefix("feed_forward_input.") {
        Some(limb) if place < first_layer => trusted.witness[&format!("attention_input.{limb}")][place].into(),
        _ => value,
    };
    let cheat = Cheat::of_change("the first attention is left out of the stream", trusted, &change);
    refuses(trusted, vec![(cheat, vec!["feed_forward_input: attention input and branch"])]);
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

/// An engine that is wrong at one entry.
fn wrong_once(trusted: &Subject, entry: &Entry) -> Cheat {
    let change = |tensor: &str, place: usize, value: i64| entry.apply(tensor, place, value);
    Cheat::of_change(entry.name, trusted, &change)
}

/// Without a proof: which relations do not hold.
#[test]
fn a_wrong_step_breaks_the_relation_that_is_there_for_it_and_no_other() {
    // Made here: whoever waits for it inside of the pool keeps it from being made.
    let trusted = &*TRUSTED;
    let cheats = ENTRIES.par_iter().map(|entry| (entry, wrong_once(trusted, entry).broken));
    let other = cheats.filter(|(entry, broken)| *broken != *entry.broken);
    let wrong: Vec<(&str, Vec<String>)> = other.map(|(entry, broken)| (entry.name, broken)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_engine_that_is_wrong_once_and_consistent_is_refused() {
    refuses(&TRUSTED, ENTRIES.iter().map(|entry| (wrong_once(&TRUSTED, entry), entry.broken.to_vec())).collect());
}

/// Every tensor with one entry too high, and all that follows computed from it.
fn one_too_high(trusted: &Subject, name: &str, at: usize) -> Cheat {
    let change = |tensor: &str, place: usize, value: i64| value + i64::from(tensor == name && place == at);
    Cheat::of_change(&format!("{name}[{at}] one too high"), trusted, &change)
}

/// Without a proof: which relations do not hold.
#[test]
fn a_wrong_entry_of_any_tensor_breaks_a_relation_though_all_that_follows_is_computed_from_it() {
    for trusted in [&*TRUSTED, &*WINDOWED] {
        let unbroken: Vec<String> = trusted
            .witness
            .par_iter()
            .map(|(name, values)| one_too_high(trusted, name, values.len() / 2))
            .filter(|cheat| cheat.broken.is_empty())
            .map(|cheat| cheat.name)
            .collect();
        assert!(unbroken.is_empty(), "{unbroken:#?}");
    }
}

#[test]
fn a_wrong_entry_of_any_tensor_is_refused_though_all_that_follows_is_computed_from_it() {
    let trusted = &*TRUSTED;
    let accepted: Vec<String> = trusted
        .witness
        .par_iter()
        .map(|(name, _)| one_too_high(trusted, name, 0))
        .filter(|cheat| cheat.broken.is_empty() || cheat.verdict().is_ok())
        .map(|cheat| cheat.name)
        .collect();
    println!("{} attacks", TRUSTED.witness.len());
    assert!(accepted.is_empty(), "{accepted:#?}");
}

#[test]
fn there_are_more_than_two_hundred_attacks() {
    let generated = attacks(&TRUSTED.statement, &TRUSTED.model.weights, &TRUSTED.witness).expect("attacks on all");
    let counts = [
        ("on single relations", generated.len()),
        ("with one wrong entry of a tensor", TRUSTED.witness.len()),
        ("with one wrong step of an operation", ENTRIES.len()),
        ("with other constants", CONSTANTS.len() + CONSTANTS_OF_WINDOWS.len()),
        ("with other weights", TRUSTED.model.description.weights.len() + WINDOWED.model.description.weights.len() + 1),
        ("with other tokens", 2 + answers::LIES.len()),
        ("with a branch that is left out", 1),
    ];
    counts.iter().for_each(|(kind, count)| println!("{count:4} attacks {kind}"));
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    println!("{total:4} attacks on the proof of one inference");
    assert!(total > 200, "{total}");
}
