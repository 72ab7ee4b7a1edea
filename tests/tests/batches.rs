//! Several inferences in one proof: each is claimed as if it were alone.

use std::sync::LazyLock;

use obelysk_statement::{Claim, Inference, compile};
use obelysk_tests::subject::{Subject, fixture, prove_whatever, tiny_chat};
use obelysk_verifier::verify;

/// Prompts of different lengths: the shorter ones are padded.
static SUBJECT: LazyLock<(Subject, Vec<u8>)> = LazyLock::new(|| {
    let subject = Subject::new(&tiny_chat(), &[&[1, 88, 86, 269], &[1, 88], &[1, 90, 91, 92, 93, 94]], 2);
    let proof = subject.prove(&subject.witness).unwrap();
    subject.verify(&proof).expect("the proof convinces of its own claim");
    (subject, proof)
});

fn convinces_of(change: impl FnOnce(&mut Claim)) -> bool {
    let (subject, proof) = &*SUBJECT;
    subject.convinces_of(proof, change)
}

#[test]
fn an_inference_that_was_dropped_is_missed() {
    assert!(convinces_of(|_| {}));
    assert!(!convinces_of(|claim| claim.further.truncate(1)));
    assert!(!convinces_of(|claim| claim.further.clear()));
}

#[test]
fn an_inference_that_was_added_or_repeated_is_refused() {
    // Padding repeats the last inference: the claim still counts.
    assert!(!convinces_of(|claim| claim.further.extend(claim.further.last().cloned())));
    let other = Inference { prompt_tokens: vec![1, 2], output_tokens: vec![3, 4] };
    assert!(!convinces_of(|claim| claim.further.push(other)));
}

#[test]
fn inferences_do_not_change_places_or_answers() {
    assert!(!convinces_of(|claim| claim.further.swap(0, 1)));
    assert!(!convinces_of(|claim| {
        let output = claim.further[0].output_tokens.clone();
        claim.further[0].output_tokens = claim.output_tokens.clone();
        claim.output_tokens = output;
    }));
    assert!(!convinces_of(|claim| claim.further[1].output_tokens[1] ^= 1));
    assert!(!convinces_of(|claim| claim.further[0].prompt_tokens[1] ^= 1));
}

/// The claim of another statement under the same header: what is refused is the witness, not the header.
#[test]
fn an_answer_to_one_prompt_is_no_answer_to_another() {
    let (subject, _) = &*SUBJECT;
    let mut forged = subject.claim();
    forged.further[0].output_tokens[0] ^= 1;
    let statement = compile(&subject.model.description, &forged.inferences()).unwrap();
    let header = forged.header();
    let proven = prove_whatever(&statement, &header, &subject.committed, &subject.witness).unwrap();
    assert!(verify(&statement, &header, subject.committed.root(), &proven.proof).is_err());
}

#[test]
fn batches_of_models_with_windows_and_caps_are_proven() {
    for name in ["gemma2", "phi3"] {
        let prompts = [(5..25).collect::<Vec<u32>>(), (6..9).collect()];
        let subject = Subject::new(&fixture(name), &prompts.each_ref().map(Vec::as_slice), 2);
        let proof = subject.prove(&subject.witness).unwrap();
        subject.verify(&proof).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn answers_do_not_depend_on_who_shares_the_proof() {
    let (subject, _) = &*SUBJECT;
    for inference in &subject.inferences {
        let alone = Subject::of_model(subject.model.clone(), &[&inference.prompt_tokens], 2);
        assert_eq!(&alone.inferences[0], inference);
    }
}
