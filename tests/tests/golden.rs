//! Bytes of proofs, pinned: whoever changes the protocol sees it, and says so with `cargo xtask bless`.

use std::path::Path;
use std::{env, fs};

use obelysk_model::quantize::Precision;
use obelysk_prover::Honesty;
use obelysk_tests::derived::without_clamp_tables;
use obelysk_tests::small::{Lies, Small};
use obelysk_tests::subject::{Subject, fixture, quantized};

#[test]
fn proofs_have_the_bytes_that_they_had() {
    let model = without_clamp_tables(quantized(&fixture("qwen3"), Some(Precision::PLAIN)));
    let subject = Subject::of_model(model, &[&[5, 6]], 1);
    let proofs = [
        ("small statement", Small::new().forge(Lies::default())),
        ("qwen3", subject.prove(&subject.witness, Honesty::Checked).unwrap()),
    ];
    let lines: String = proofs
        .iter()
        .map(|(name, proof)| format!("{name}: {} bytes, {}\n", proof.len(), blake3::hash(proof)))
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/proofs.txt");
    if env::var_os("OBELYSK_BLESS").is_some() {
        fs::write(&path, &lines).unwrap();
    }
    let pinned = fs::read_to_string(&path).unwrap();
    assert!(pinned == lines, "proofs are\n{lines}and were\n{pinned}`cargo xtask bless` pins them, if that is meant");
}
