//! A proof of one claim is no proof of another.

use obelysk_prover::CommittedModel;
use obelysk_statement::{Claim, Inference, compile};
use obelysk_tests::subject::{Subject, fixture, prove_whatever, tiny_chat};
use obelysk_verifier::verify;
use std::sync::{Arc, LazyLock};

static SUBJECT: LazyLock<(Subject, Vec<u8>)> = LazyLock::new(|| {
    let subject = Subject::new(&tiny_chat(), &[&[1, 88, 86, 269]], 2);
    let proof = subject.prove(&subject.witness).unwrap();
    subject.verify(&proof).expect("the proof convinces of its own claim");
    (subject, proof)
});

fn convinces_of(change: impl FnOnce(&mut Claim)) -> bool {
    let (subject, proof) = &*SUBJECT;
    subject.convinces_of(proof, change)
}

#[test]
fn the_claim_itself_is_accepted() {
    assert!(convinces_of(|_| {}));
}

#[test]
fn another_prompt_is_refused() {
    assert!(!convinces_of(|claim| claim.prompt_tokens[0] = 2));
    assert!(!convinces_of(|claim| claim.prompt_tokens.swap(1, 2)));
    assert!(!convinces_of(|claim| claim.prompt_tokens.truncate(3)));
    assert!(!convinces_of(|claim| claim.prompt_tokens.push(5)));
}

#[test]
fn another_output_is_refused() {
    assert!(!convinces_of(|claim| claim.output_tokens[0] ^= 1));
    assert!(!convinces_of(|claim| claim.output_tokens[1] ^= 1));
    assert!(!convinces_of(|claim| claim.output_tokens.truncate(1)));
}

#[test]
fn a_token_moved_from_the_output_to_the_prompt_is_refused() {
    assert!(!convinces_of(|claim| {
        let first = claim.output_tokens.remove(0);
        claim.prompt_tokens.push(first);
    }));
}

#[test]
fn another_nonce_is_refused() {
    assert!(!convinces_of(|claim| claim.nonce = "11".repeat(32)));
}

#[test]
fn another_model_digest_is_refused() {
    assert!(!convinces_of(|claim| claim.model_digest = "22".repeat(32)));
}

#[test]
fn another_specification_is_refused() {
    assert!(!convinces_of(|claim| claim.specification += 1));
}

#[test]
fn another_model_of_the_same_shapes_is_refused() {
    let (subject, proof) = &*SUBJECT;
    let mut description = subject.model.description.clone();
    description.attention.value_rounding.shift += 1;
    let statement = compile(&description, &subject.inferences).unwrap();
    assert!(verify(&statement, &subject.claim().header(), subject.committed.root(), proof).is_err());
}

#[test]
fn an_answer_from_other_weights_is_refused_under_the_root_of_these() {
    let (subject, _) = &*SUBJECT;
    let mut model = subject.model.clone();
    let head = Arc::make_mut(&mut model.weights).get_mut("head_weight").unwrap();
    head.set(0, head.get(0) + 1);
    let header = subject.claim().header();
    let other = CommittedModel::new(&subject.statement, model.weights).unwrap();
    let forged = prove_whatever(&subject.statement, &header, &other, &subject.witness).unwrap();
    assert!(verify(&subject.statement, &header, subject.committed.root(), &forged.proof).is_err());
}

#[test]
fn the_root_of_the_weights_does_not_depend_on_the_prompt() {
    let (subject, _) = &*SUBJECT;
    let inference = Inference { prompt_tokens: vec![7; 11], output_tokens: vec![3, 4, 5] };
    let statement = compile(&subject.model.description, &[inference]).unwrap();
    assert_eq!(
        CommittedModel::new(&statement, Arc::clone(&subject.model.weights)).unwrap().root(),
        subject.committed.root()
    );
}

#[test]
fn a_proof_has_a_hundred_bits_in_every_phase_together() {
    for (folder, prompt, outputs) in [(tiny_chat(), vec![1, 88, 86], 1), (fixture("qwen3"), vec![5], 1)] {
        let subject = Subject::new(&folder, &[&prompt], outputs);
        let proof = subject.prove(&subject.witness).unwrap();
        let report = verify(&subject.statement, &subject.claim().header(), subject.committed.root(), &proof).unwrap();
        assert!(report.bits() >= 100.0, "{report:?}");
        let names: Vec<&str> = report.phases.iter().map(|phase| phase.name).collect();
        assert_eq!(names, ["lookups", "sumchecks", "weight opening", "witness opening"]);
    }
}

#[test]
fn the_bundled_model_has_these_bits() {
    let (subject, proof) = &*SUBJECT;
    let report = verify(&subject.statement, &subject.claim().header(), subject.committed.root(), proof).unwrap();
    let lines: Vec<String> =
        report.phases.iter().map(|phase| format!("{} {:.2} {}", phase.name, phase.bits, phase.grinding)).collect();
    let pinned = ["lookups 114.81 16", "sumchecks 107.78 0", "weight opening 101.45 16", "witness opening 101.45 16"];
    assert_eq!(lines, pinned);
    assert_eq!(format!("{:.2}", report.bits()), "100.44");
}
