//! Any shape of any architecture, not only those of published models.

use obelysk_model::float::FloatModel;
use obelysk_model::quality;
use obelysk_model::quantize::Precision;
use obelysk_model::tokenizer::ModelTokenizer;
use obelysk_tests::generated::Shape;
use obelysk_tests::subject::{Subject, quantized};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};

/// Shapes of each architecture that are tried.
const CASES: u32 = 3;

/// Shapes of an architecture, as odd as its rules allow.
fn shapes(architecture: &'static str) -> impl Strategy<Value = Shape> {
    let widths = (1usize..4, 9usize..140, 5usize..160, 1usize..4, 1usize..5, 1usize..20);
    let rest = (
        512usize..600,
        1usize..9,
        any::<bool>(),
        prop_oneof![Just(0.003f32), Just(0.03), Just(0.1), Just(0.4)],
        any::<u64>(),
    );
    (widths, rest).prop_map(move |(widths, (vocabulary, window, tied, spread, seed))| {
        let (layers, hidden, intermediate, kv_heads, group, half_head) = widths;
        let tied = tied || architecture == "Gemma2";
        Shape {
            architecture,
            layers,
            hidden,
            intermediate,
            kv_heads,
            group,
            half_head,
            vocabulary,
            window,
            tied,
            spread,
            seed,
        }
    })
}

#[test]
fn layers_of_three_tiles_become_one_with_idle_layers_and_answer_as_before() {
    for architecture in ["Llama", "Gemma2", "Qwen3"] {
        let shape = Shape {
            architecture,
            layers: 7,
            hidden: 24,
            intermediate: 20,
            kv_heads: 1,
            group: 2,
            half_head: 4,
            vocabulary: 512,
            window: 5,
            tied: true,
            spread: 0.1,
            seed: 7,
        };
        let folder = shape.checkpoint();
        let subject = Subject::of_model(quantized(folder.path(), None), &[&(5..17).collect::<Vec<_>>()], 2);
        let layers = &subject.statement.axes[0];
        assert_eq!((layers.name.as_str(), layers.size, layers.tiles().len()), ("layer", 8, 1));
        subject.verify(&subject.prove(&subject.witness).unwrap()).unwrap();
        // The engine that generates runs seven layers; the witness has the same answer.
        let weights = &subject.model.weights["query_weight"];
        let of_layer = weights.len() / 8;
        assert!((7 * of_layer..8 * of_layer).all(|place| weights.get(place) == 0));
        assert!((6 * of_layer..7 * of_layer).any(|place| weights.get(place) != 0));
    }
}

#[test]
fn checkpoints_of_any_shape_are_proven_and_follow_the_float_engine() {
    for architecture in ["Llama", "Mistral", "Phi3", "Gemma2", "Qwen2", "Qwen3"] {
        let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
        let random = TestRng::deterministic_rng(config.rng_algorithm);
        TestRunner::new_with_rng(config, random)
            .run(&shapes(architecture), |shape| {
                let folder = shape.checkpoint();
                let float = FloatModel::open(folder.path()).unwrap();
                let tokenizer = ModelTokenizer::open(folder.path()).unwrap();
                println!("{shape:?}");
                for precision in [None, Some(Precision::FINE)] {
                    let model = quantized(folder.path(), precision);
                    let subject = Subject::of_model(model, &[&(5..17).collect::<Vec<_>>()], 2);
                    let proof = subject.prove(&subject.witness).unwrap();
                    subject.verify(&proof).unwrap();
                    let quality = quality::measure_chat(&float, &subject.model, &tokenizer, None).unwrap();
                    println!(
                        "  {precision:?}: perplexity {} became {}, divergence {}, {} clamped",
                        quality.perplexity_float, quality.perplexity_int, quality.mean_kl, quality.saturation_rate
                    );
                    prop_assert!(quality.mean_kl <= 0.05, "{:?}", quality);
                }
                Ok(())
            })
            .unwrap();
    }
}
