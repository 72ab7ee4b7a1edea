//! Every message of a proof, changed: off by one, zero, out of place, missing, repeated, cut and continued. The counts come from the
//! statement, so nothing that the proof says of itself is followed.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use obelysk_statement::MODULUS;
use obelysk_statement::tree::DIGEST_WORDS;
use obelysk_tests::messages::{Kind, Message, Reading, read, words};
use obelysk_tests::small::{HEADER, Small};
use obelysk_verifier::VerifyError;
use obelysk_verifier::whir::{OpeningError, Unreadable};
use rayon::prelude::*;

struct Honest {
    small: Small,
    words: Vec<u32>,
    reading: Reading,
}

static HONEST: LazyLock<Honest> = LazyLock::new(|| {
    let small = Small::new();
    let proof = small.prove();
    small.verify(&proof).expect("the proof convinces before it is changed");
    let reading = read(&small.statement, HEADER, small.model.root(), &proof);
    let reading = reading.unwrap_or_else(|reason| panic!("the proof does not read like one: {reason}"));
    Honest { small, words: words(&proof), reading }
});

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn message(name: &str) -> &'static Message {
    HONEST.reading.messages.iter().find(|message| message.name == name).expect("a message of the proof")
}

/// What the verifier says of other words.
fn outcome(words: &[u32]) -> Result<(), VerifyError> {
    HONEST.small.verify(&bytes(words))
}

/// What the verifier says of a message whose words are changed.
fn changed(message: &Message, change: impl FnOnce(&mut [u32])) -> Result<(), VerifyError> {
    let mut words = HONEST.words.clone();
    change(&mut words[message.words.clone()]);
    outcome(&words)
}

/// One more, in the field.
fn up(word: &mut u32) {
    *word = ((i64::from(*word) + 1) % MODULUS) as u32;
}

type Change = (&'static str, fn(&mut [u32]));

/// Changes that leave as many words as there were.
const IN_PLACE: [Change; 8] = [
    ("first word one more", |own| up(&mut own[0])),
    ("middle word one more", |own| up(&mut own[own.len() / 2])),
    ("last word one more", |own| up(own.last_mut().unwrap())),
    ("zero", |own| own.fill(0)),
    ("two", |own| own.fill(2)),
    ("first words changed for the next ones", |own| own.rotate_left(4 % own.len())),
    ("backwards", |own| own.reverse()),
    ("everything", |own| own.fill(u32::MAX >> 1)),
];

/// Every changed proof is refused; how many were.
fn refuses(cases: Vec<(String, Vec<u32>)>) -> usize {
    let cases: Vec<_> = cases.into_iter().filter(|(_, words)| *words != HONEST.words).collect();
    let accepted: Vec<&String> =
        cases.par_iter().filter(|(_, words)| outcome(words).is_ok()).map(|(name, _)| name).collect();
    assert!(accepted.is_empty(), "accepted: {accepted:#?}");
    println!("{} attacks", cases.len());
    cases.len()
}

#[test]
fn every_word_of_a_proof_belongs_to_a_message() {
    let mut next = 0;
    for message in &HONEST.reading.messages {
        assert_eq!(message.words.start, next, "{}", message.name);
        next = message.words.end;
    }
    assert_eq!(next, HONEST.words.len());
    assert!(HONEST.reading.messages.len() > 150, "{}", HONEST.reading.messages.len());
}

#[test]
fn a_changed_message_is_refused() {
    let mut cases = Vec::new();
    for message in &HONEST.reading.messages {
        for (name, change) in IN_PLACE {
            let mut words = HONEST.words.clone();
            change(&mut words[message.words.clone()]);
            cases.push((format!("{}: {name}", message.name), words));
        }
    }
    assert!(refuses(cases) > 1000);
}

#[test]
fn a_message_that_changes_places_with_the_next_is_refused() {
    let cases = HONEST.reading.messages.windows(2).map(|pair| {
        let (first, second) = (&pair[0].words, &pair[1].words);
        let [before, after] = [&HONEST.words[..first.start], &HONEST.words[second.end..]];
        let words = [before, &HONEST.words[second.clone()], &HONEST.words[first.clone()], after].concat();
        (format!("{} after {}", pair[0].name, pair[1].name), words)
    });
    assert!(refuses(cases.collect()) > 100);
}

#[test]
fn a_message_that_is_missing_or_said_twice_is_refused() {
    let mut cases = Vec::new();
    for message in &HONEST.reading.messages {
        let [before, own, after] = [
            &HONEST.words[..message.words.start],
            &HONEST.words[message.words.clone()],
            &HONEST.words[message.words.end..],
        ];
        cases.push((format!("without {}", message.name), [before, after].concat()));
        cases.push((format!("{} twice", message.name), [before, own, own, after].concat()));
        // As long as it was.
        cases.push((format!("{} left out, zeros at the end", message.name), {
            [before, after, &vec![0; own.len()]].concat()
        }));
    }
    assert!(refuses(cases) > 300);
}

#[test]
fn a_proof_that_ends_between_two_messages_ends_too_early() {
    for message in &HONEST.reading.messages {
        let refused = outcome(&HONEST.words[..message.words.start]);
        let early = match &refused {
            Err(VerifyError::Unreadable(Unreadable::Short { missing })) => *missing > 0,
            Err(VerifyError::Opening { error: OpeningError::Unreadable(Unreadable::Short { missing }), .. }) => {
                *missing > 0
            }
            _ => false,
        };
        assert!(early, "before {}: {refused:?}", message.name);
    }
}

#[test]
fn what_is_left_over_is_refused() {
    let honest = bytes(&HONEST.words);
    for bytes in [1, 2, 3, 4, 28, 4096] {
        let refused = HONEST.small.verify(&[honest.as_slice(), &vec![0; bytes]].concat());
        assert_eq!(refused, Err(VerifyError::Unreadable(Unreadable::Long { bytes })));
    }
    let twice = HONEST.small.verify(&honest.repeat(2));
    assert_eq!(twice, Err(VerifyError::Unreadable(Unreadable::Long { bytes: honest.len() })));
}

/// The modulus in place of zero would be a second spelling of the same proof.
#[test]
fn a_word_that_is_no_element_of_the_field_is_refused_wherever_it_is() {
    let canonical = |message: &&Message| matches!(message.kind, Kind::Elements | Kind::Challenges);
    let mut count = 0;
    for message in HONEST.reading.messages.iter().filter(canonical) {
        for word in [MODULUS as u32, u32::MAX] {
            for place in [0, message.words.len() - 1] {
                let refused = changed(message, |own| own[place] = word);
                let named = match &refused {
                    Err(VerifyError::Unreadable(Unreadable::Word { word })) => Some(*word),
                    Err(VerifyError::Opening {
                        error: OpeningError::Unreadable(Unreadable::Word { word }), ..
                    }) => Some(*word),
                    _ => None,
                };
                assert_eq!(named, Some(word), "{}: {refused:?}", message.name);
                count += 1;
            }
        }
    }
    assert!(count > 500, "{count}");
}

#[test]
fn a_root_of_zero_divides_by_zero() {
    assert_eq!(changed(message("denominator of the root"), |own| own.fill(0)), Err(VerifyError::ZeroDenominator));
}

#[test]
fn a_changed_number_of_a_layer_contradicts_the_one_above() {
    let layers = HONEST.reading.messages.iter().filter(|message| message.name.starts_with("children of layer"));
    let layers: Vec<&Message> = layers.collect();
    assert!(layers.len() > 5, "{}", layers.len());
    for (layer, children) in layers.into_iter().enumerate() {
        for number in 0..4 {
            let refused = changed(children, |own| up(&mut own[4 * number]));
            assert_eq!(refused, Err(VerifyError::Tree { layer }), "number {number}");
        }
        let swapped = changed(children, |own| own.rotate_left(8));
        // The two fractions of a node have one sum, and the next layer is about another of them.
        assert!(swapped.is_err(), "children of layer {layer} swapped");
    }
}

#[test]
fn a_changed_round_of_a_layer_contradicts_its_children() {
    let mut count = 0;
    for message in HONEST.reading.messages.iter().filter(|message| message.name.starts_with("layer ")) {
        let layer: usize = message.name["layer ".len()..].split(',').next().unwrap().parse().unwrap();
        for number in 0..2 {
            let refused = changed(message, |own| up(&mut own[4 * number]));
            assert_eq!(refused, Err(VerifyError::Tree { layer }), "{}", message.name);
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn a_missing_proof_of_work_is_named() {
    let refused = changed(message("work before the lookup argument"), |own| own[0] += 1);
    assert_eq!(refused, Err(VerifyError::Work { bits: 16 }));
    let mut named = BTreeMap::new();
    for message in HONEST.reading.messages.iter().filter(|message| message.kind == Kind::Work).skip(1) {
        match changed(message, |own| up(&mut own[0])) {
            Err(VerifyError::Opening { part, error: OpeningError::Work { bits } }) => {
                *named.entry((part, bits)).or_insert(0) += 1;
            }
            other => panic!("{}: {other:?}", message.name),
        }
    }
    println!("{named:?}");
    assert!(named.len() >= 2, "{named:?}");
}

#[test]
fn changed_rows_or_siblings_do_not_lead_to_the_root() {
    let mut count = 0;
    for message in &HONEST.reading.messages {
        let is_row = message.name.contains(", row ") || message.name.contains("siblings");
        if !is_row {
            continue;
        }
        let code: usize = message.name.rsplit(' ').next().unwrap().parse().unwrap();
        for place in [0, message.words.len() / 2, message.words.len() - 1] {
            match changed(message, |own| up(&mut own[place])) {
                Err(VerifyError::Opening { error: OpeningError::Root { code: named }, part }) => {
                    assert!(message.name.starts_with(part), "{}: {part}", message.name);
                    assert_eq!(named, code, "{}", message.name);
                }
                other => panic!("{}: {other:?}", message.name),
            }
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn a_root_of_the_witness_that_is_another_digest_is_refused() {
    let root = message("root of the witness");
    let weights = HONEST.small.model.root();
    for words in [[0; DIGEST_WORDS], weights.0] {
        assert_eq!(changed(root, |own| own.copy_from_slice(&words)), Err(VerifyError::Work { bits: 16 }));
    }
}

/// A statement that is not sound is refused though a proof of it exists.
#[test]
fn a_statement_that_is_not_sound_is_refused_with_its_proof() {
    let mut small = Small::new();
    let tensor = small.statement.tensors.iter().position(|tensor| tensor.name == "z").unwrap();
    small.statement.tensors[tensor].interval.high = 100;
    let refused = small.verify(&small.prove());
    assert!(matches!(refused, Err(VerifyError::Statement(_))), "{refused:?}");
}
