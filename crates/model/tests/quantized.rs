//! The quantiser and the integer engine on real checkpoints.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use obelysk_model::ModelError;
use obelysk_model::calibration::Calibration;
use obelysk_model::checkpoint::Checkpoint;
use obelysk_model::config::ModelConfig;
use obelysk_model::float::FloatModel;
use obelysk_model::integer::{IntegerModel, argmax, is_whole_answer};
use obelysk_model::quality::{self, Gate};
use obelysk_model::quantize::{QuantizedModel, quantize};
use obelysk_model::template::ChatTemplate;
use obelysk_model::tokenizer::ModelTokenizer;
use obelysk_statement::{Inference, compile};
use obelysk_witness::check;

fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bundle/tiny-chat")
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models").join(name)
}

fn calibration(folder: &Path) -> Calibration {
    let template = ChatTemplate::open(folder).ok();
    Calibration::of(&ModelTokenizer::open(folder).unwrap(), template.as_ref()).unwrap()
}

fn quantized(folder: &Path) -> QuantizedModel {
    let (config, checkpoint) = (ModelConfig::read(folder).unwrap(), Checkpoint::open(folder).unwrap());
    quantize(&config, &checkpoint, &calibration(folder)).unwrap()
}

fn ask(question: &str) -> Vec<u32> {
    let prompt = ChatTemplate::open(&bundled()).unwrap().ask(question).unwrap();
    ModelTokenizer::open(&bundled()).unwrap().encode(&prompt).unwrap()
}

#[test]
fn the_integer_engine_is_within_one_percent_of_the_float_engine() {
    let model = quantized(&bundled());
    let float = FloatModel::open(&bundled()).unwrap();
    let tokenizer = ModelTokenizer::open(&bundled()).unwrap();
    let template = ChatTemplate::open(&bundled()).unwrap();
    let measured = quality::measure(&float, &model, &tokenizer, Some(&template)).unwrap();
    println!("{measured:?}");
    for (name, quality) in measured.sets() {
        assert!(quality.tokens > 300, "{name}: {quality:?}");
        assert!((quality.perplexity_int / quality.perplexity_float - 1.0).abs() <= 0.01, "{name}: {quality:?}");
    }
    assert!(measured.chat.top1_agreement >= 0.99, "{measured:?}");
    assert_eq!(Gate::default().misses(&measured), [""; 0]);
}

#[test]
fn a_sabotaged_layer_misses_the_gate_and_is_named() {
    let float = FloatModel::open(&bundled()).unwrap();
    let tokenizer = ModelTokenizer::open(&bundled()).unwrap();
    let template = ChatTemplate::open(&bundled()).unwrap();
    let sound = quantized(&bundled());
    for (weight, tensor) in [("down_weight", "feed-forward branch"), ("output_weight", "attention branch")] {
        for layer in 0..sound.description.shape.layers {
            let mut model = sound.clone();
            let entries = Arc::make_mut(&mut model.weights).get_mut(weight).unwrap();
            let size = entries.len() / sound.description.shape.padded_layers();
            // Another scale than the description states.
            (layer * size..(layer + 1) * size).for_each(|place| entries.set(place, entries.get(place) / 4));
            let measured = quality::measure(&float, &model, &tokenizer, Some(&template)).unwrap();
            let misses = Gate::default().misses(&measured);
            assert!(misses.iter().any(|miss| miss.contains("KL")), "{weight} of layer {layer}: {measured:?}");
            let first = &quality::deviations(&float, &model, &tokenizer).unwrap()[0];
            assert_eq!((first.tensor.as_str(), first.layer), (tensor, Some(layer)), "{first}");
        }
    }
}

#[test]
fn the_witness_of_an_answer_satisfies_every_relation() {
    let model = quantized(&bundled());
    let engine = IntegerModel::new(&model);
    let prompt_tokens = ask("What is 7 + 5?");
    let output_tokens = engine.generate(&prompt_tokens, 4, &[2]).unwrap();
    let inferences = [Inference { prompt_tokens, output_tokens }];
    let statement = compile(&model.description, &inferences).unwrap();
    let (witness, _) = engine.witness(&inferences).unwrap();
    check(&statement, &model.weights, &witness).unwrap();
}

#[test]
fn every_architecture_has_a_witness_beyond_its_window_too() {
    for name in ["qwen3", "llama31", "mistral", "phi3", "gemma2"] {
        let model = quantized(&fixture(name));
        let engine = IntegerModel::new(&model);
        let prompt_tokens: Vec<u32> = (5..25).collect();
        let output_tokens = engine.generate(&prompt_tokens, 3, &[]).unwrap();
        let inferences = [Inference { prompt_tokens, output_tokens }];
        let statement = compile(&model.description, &inferences).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (witness, _) = engine.witness(&inferences).unwrap();
        check(&statement, &model.weights, &witness).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn the_integer_engine_follows_every_architecture() {
    for name in ["qwen3", "llama31", "mistral", "phi3", "gemma2"] {
        let folder = fixture(name);
        let model = quantized(&folder);
        let quality = quality::measure_chat(
            &FloatModel::open(&folder).unwrap(),
            &model,
            &ModelTokenizer::open(&folder).unwrap(),
            None,
        )
        .unwrap();
        println!("{name}: {quality:?}");
        assert!((quality.perplexity_int / quality.perplexity_float - 1.0).abs() <= 0.01, "{name}: {quality:?}");
        assert!(quality.mean_kl <= 1e-2, "{name}: {quality:?}");
    }
}

#[test]
fn one_more_token_leaves_earlier_logits_alone() {
    let model = quantized(&bundled());
    let engine = IntegerModel::new(&model);
    let tokens = ask("What is Kubernetes?");
    let vocabulary = model.description.shape.vocabulary;
    let whole = engine.read(&mut engine.cache(), &tokens, tokens.len());
    let mut cache = engine.cache();
    for (position, token) in tokens.iter().enumerate() {
        let row = engine.read(&mut cache, &[*token], 1);
        assert_eq!(row, whole[position * vocabulary..][..vocabulary], "position {position}");
    }
}

#[test]
fn one_pass_over_all_tokens_computes_the_logits_of_one_pass_a_token() {
    let model = quantized(&bundled());
    let engine = IntegerModel::new(&model);
    let positions = model.description.shape.positions;
    let answer = |question: &str, limit: usize| {
        let prompt_tokens = ask(question);
        let (output_tokens, logits) = engine.generate_with_logits(&prompt_tokens, limit, &[2]).unwrap();
        let inference = Inference { prompt_tokens, output_tokens };
        assert!(is_whole_answer(&inference, limit, positions, &[2]));
        assert!(!is_whole_answer(&inference, limit, positions, &inference.output_tokens[..1]) || limit == 1);
        assert!(!is_whole_answer(&inference, inference.output_tokens.len() + 1, positions, &[]));
        (inference, logits)
    };
    let (inferences, logits): (Vec<_>, Vec<_>) = [("What is 7 + 5?", 3), ("What is Kubernetes?", 5), ("Say hello.", 1)]
        .map(|(q, n)| answer(q, n))
        .into_iter()
        .unzip();
    assert_eq!(engine.witness(&inferences).unwrap().1, logits);
}

#[test]
fn another_answer_has_no_witness() {
    let model = quantized(&bundled());
    let engine = IntegerModel::new(&model);
    let prompt_tokens = ask("What is 7 + 5?");
    let answer = argmax(&engine.read(&mut engine.cache(), &prompt_tokens, 1));
    let inference = Inference { prompt_tokens, output_tokens: vec![answer + 1] };
    assert!(matches!(engine.witness(&[inference]), Err(ModelError::Mismatch(_))));
}

#[test]
fn quantising_twice_gives_the_same_model_and_files_keep_it() {
    let model = quantized(&bundled());
    assert_eq!(model, quantized(&bundled()));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.json"), model.description.canonical_json()).unwrap();
    std::fs::write(folder.path().join("weights.q"), model.weight_bytes()).unwrap();
    assert_eq!(QuantizedModel::load(folder.path()).unwrap(), model);

    let description = String::from_utf8(model.description.canonical_json()).unwrap();
    let huge = description.replace("\"hidden\":128", "\"hidden\":9223372036854775807");
    assert_ne!(huge, description);
    std::fs::write(folder.path().join("model.json"), huge).unwrap();
    assert!(matches!(QuantizedModel::load(folder.path()), Err(ModelError::Corrupt { .. })), "no size overflows");
    std::fs::write(folder.path().join("model.json"), description).unwrap();

    let mut bytes = model.weight_bytes();
    bytes[1000] ^= 1;
    std::fs::write(folder.path().join("weights.q"), bytes).unwrap();
    assert!(matches!(QuantizedModel::load(folder.path()), Err(ModelError::Corrupt { .. })));
}

#[test]
fn weights_that_are_changed_under_an_engine_end_what_it_computes() {
    let model = quantized(&bundled());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.json"), model.description.canonical_json()).unwrap();
    let path = folder.path().join("weights.q");
    std::fs::write(&path, model.weight_bytes()).unwrap();
    let loaded = QuantizedModel::load(folder.path()).unwrap();
    let engine = IntegerModel::new(&loaded);
    let prompt = ask("What is 7 + 5?");
    engine.generate(&prompt, 1, &[]).unwrap();
    let zeroed = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&zeroed, &[0; 4096], 1000).unwrap();
    zeroed.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let told = engine.generate(&prompt, 1, &[]).unwrap_err();
    assert!(matches!(&told, ModelError::Weights(changed) if changed.path == path), "{told}");
}

#[test]
fn a_folder_is_no_file_of_weights() {
    let model = quantized(&bundled());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.json"), model.description.canonical_json()).unwrap();
    std::fs::create_dir(folder.path().join("weights.q")).unwrap();
    let refused = QuantizedModel::load(folder.path()).unwrap_err();
    assert!(refused.to_string().contains("not a regular file"), "{refused}");
}
