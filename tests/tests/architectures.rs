//! Every architecture, from its checkpoint to a proof that a stranger accepts.

use std::path::Path;

use obelysk_model::float::FloatModel;
use obelysk_model::quality;
use obelysk_model::tokenizer::ModelTokenizer;
use obelysk_prover::Honesty;
use obelysk_tests::derived::qwen2;
use obelysk_tests::subject::{Subject, fixture};

/// Longer than the windows of the fixtures.
const PROMPT: std::ops::Range<u32> = 5..24;

fn is_proven(folder: &Path) -> Subject {
    let subject = Subject::new(folder, &PROMPT.collect::<Vec<_>>(), 3);
    let proof = subject.prove(&subject.witness, Honesty::Checked).unwrap();
    subject.verify(&proof).unwrap();
    subject
}

#[test]
fn llama_with_scaled_rotary_positions_is_proven() {
    is_proven(&fixture("llama31"));
}

#[test]
fn mistral_is_proven() {
    is_proven(&fixture("mistral"));
}

#[test]
fn phi_with_fused_matrices_and_windows_is_proven() {
    is_proven(&fixture("phi3"));
}

#[test]
fn gemma_with_caps_and_alternating_windows_and_norms_around_blocks_is_proven() {
    is_proven(&fixture("gemma2"));
}

#[test]
fn qwen3_is_proven() {
    is_proven(&fixture("qwen3"));
}

#[test]
fn qwen2_with_biases_is_proven_and_follows_the_float_engine() {
    for largest in [0.5, 20.0] {
        let folder = qwen2(largest);
        let subject = is_proven(folder.path());
        let float = FloatModel::open(folder.path()).unwrap();
        let tokenizer = ModelTokenizer::open(folder.path()).unwrap();
        let quality = quality::compare(&float, &subject.model, &tokenizer, None).unwrap();
        println!("{quality:?}");
        assert!((quality.perplexity_int / quality.perplexity_float - 1.0).abs() <= 0.01, "{quality:?}");
    }
}
