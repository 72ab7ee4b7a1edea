//! Bytes of proofs and steps of a transcript, pinned: whoever changes the protocol sees it, and says so with `cargo xtask bless`.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use obelysk_model::quantize::Precision;
use obelysk_statement::fiat_shamir::Step;
use obelysk_tests::derived::without_clamp_tables;
use obelysk_tests::messages::read;
use obelysk_tests::small::{HEADER, Small};
use obelysk_tests::subject::{Subject, fixture, quantized};

/// Compare with a file, or write it.
fn pinned(name: &str, lines: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if env::var_os("OBELYSK_BLESS").is_some() {
        fs::write(&path, lines).unwrap();
    }
    let pinned = fs::read_to_string(&path).unwrap();
    assert!(pinned == lines, "{name} is\n{lines}and was\n{pinned}`cargo xtask bless` pins it, if that is meant");
}

#[test]
fn proofs_have_the_bytes_that_they_had() {
    let model = without_clamp_tables(quantized(&fixture("qwen3"), Some(Precision::PLAIN)));
    let subject = Subject::of_model(model, &[&[5, 6]], 1);
    let proofs = [("small statement", Small::new().prove()), ("qwen3", subject.prove(&subject.witness).unwrap())];
    let lines = proofs.iter().fold(String::new(), |mut lines, (name, proof)| {
        let _ = writeln!(lines, "{name}: {} bytes, {}", proof.len(), blake3::hash(proof));
        lines
    });
    pinned("proofs.txt", &lines);
}

/// Runs of the same step are one line.
#[test]
fn a_transcript_has_the_steps_that_it_had() {
    let small = Small::new();
    let reading = read(&small.statement, HEADER, small.model.root(), &small.prove());
    let steps = reading.unwrap_or_else(|reason| panic!("the proof does not read like one: {reason}")).steps;
    let lines = steps.chunk_by(|left, right| left == right).fold(String::new(), |mut lines, run| {
        let step: &Step = &run[0];
        let _ = match run.len() {
            1 => writeln!(lines, "{step}"),
            count => writeln!(lines, "{step}, {count} times"),
        };
        lines
    });
    pinned("transcript.txt", &lines);
}
