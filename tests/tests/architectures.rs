//! Every architecture, from its checkpoint to a proof that a stranger accepts.

use std::cmp::Ordering;
use std::path::Path;

use obelysk_model::float::FloatModel;
use obelysk_model::quality;
use obelysk_model::quantize::Precision;
use obelysk_model::template::ChatTemplate;
use obelysk_model::tokenizer::ModelTokenizer;
use obelysk_tests::derived::{narrowed, qwen2, qwen2_with_large_keys, spiked};
use obelysk_tests::subject::{Subject, fixture, quantized, tiny_chat};

/// Longer than the windows of the fixtures.
const PROMPT: std::ops::Range<u32> = 5..24;

/// At every precision, and at the one that the quantiser chooses.
fn is_proven(folder: &Path) -> Subject {
    for precision in [Precision::PLAIN, Precision::FINE] {
        proven(Subject::of_model(quantized(folder, Some(precision)), &[&PROMPT.collect::<Vec<_>>()], 3));
    }
    Subject::new(folder, &[&PROMPT.collect::<Vec<_>>()], 3)
}

fn proven(subject: Subject) -> Subject {
    let proof = subject.prove(&subject.witness).unwrap();
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
        let quality = quality::measure_chat(&float, &subject.model, &tokenizer, None).unwrap();
        println!("{quality:?}");
        assert!((quality.perplexity_int / quality.perplexity_float - 1.0).abs() <= 0.01, "{quality:?}");
    }
}

#[test]
fn key_biases_far_above_all_queries_cost_no_quality() {
    let folder = qwen2_with_large_keys(211.0);
    let model = quantized(folder.path(), Some(Precision::FINE));
    let float = FloatModel::open(folder.path()).unwrap();
    let tokenizer = ModelTokenizer::open(folder.path()).unwrap();
    let quality = quality::measure_chat(&float, &model, &tokenizer, None).unwrap();
    println!("{quality:?}");
    assert!(quality.mean_kl <= 5e-5, "{quality:?}");
}

fn has_limbs(subject: &Subject) -> bool {
    subject.model.description.feed_forward.hidden_limbs.count > 0
}

#[test]
fn activation_spikes_are_proven_in_limbs_with_norms_around_blocks_too() {
    let folder = spiked(&fixture("gemma2"), 4);
    assert!(has_limbs(&is_proven(folder.path())));
}

#[test]
fn activation_spikes_cost_no_quality() {
    let folder = spiked(&tiny_chat(), 4);
    let subject = is_proven(folder.path());
    assert!(has_limbs(&subject));
    let float = FloatModel::open(folder.path()).unwrap();
    let tokenizer = ModelTokenizer::open(folder.path()).unwrap();
    let template = ChatTemplate::open(folder.path()).unwrap();
    let quality = quality::measure_chat(&float, &subject.model, &tokenizer, Some(&template)).unwrap();
    println!("{quality:?}");
    assert!((quality.perplexity_int / quality.perplexity_float - 1.0).abs() <= 0.01, "{quality:?}");
    assert!(quality.top1_agreement >= 0.99, "{quality:?}");
}

#[test]
fn activations_that_are_clamped_are_proven() {
    for name in ["qwen3", "llama31", "gemma2"] {
        let model = narrowed(quantized(&fixture(name), Some(Precision::PLAIN)));
        let subject = Subject::of_model(model, &[&PROMPT.collect::<Vec<_>>()], 3);
        for tensor in ["query", "key", "value", "up", "feed_forward_hidden"] {
            let value = subject.witness.get(tensor).unwrap_or_else(|| &subject.witness[&format!("{tensor}.high")]);
            let changes = subject.witness[&format!("{tensor}.unclamped")].iter().zip(value);
            let changes: Vec<_> = changes.map(|(unclamped, value)| unclamped.cmp(value)).collect();
            assert!(changes.contains(&Ordering::Greater), "{name}: nothing of {tensor} is clamped from above");
            assert!(changes.contains(&Ordering::Less), "{name}: nothing of {tensor} is clamped from below");
        }
        proven(subject);
    }
}
