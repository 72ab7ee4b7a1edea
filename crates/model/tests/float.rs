//! The float engine against references of the framework that the models were trained with.

use std::path::{Path, PathBuf};

use obelysk_model::checkpoint::Checkpoint;
use obelysk_model::float::FloatModel;
use obelysk_model::template::ChatTemplate;
use obelysk_model::tokenizer::ModelTokenizer;
use safetensors::SafeTensors;
use serde_json::Value;

fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bundle/tiny-chat")
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models").join(name)
}

fn largest_difference(model: &FloatModel, reference: &Path) -> f32 {
    let bytes = std::fs::read(reference).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let words = |name: &str| -> Vec<[u8; 4]> {
        tensors.tensor(name).unwrap().data().chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]).collect()
    };
    let tokens: Vec<u32> = words("input_ids").into_iter().map(u32::from_le_bytes).collect();
    let expected: Vec<f32> = words("logits").into_iter().map(f32::from_le_bytes).collect();
    let actual = model.logits(&tokens);
    assert_eq!(actual.len(), expected.len());
    actual.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn logits_of_tiny_chat_are_within_1e_4_of_the_reference() {
    let difference =
        largest_difference(&FloatModel::open(&bundled()).unwrap(), &fixture("tiny-chat/reference.safetensors"));
    assert!(difference <= 1e-4, "{difference}");
}

#[test]
fn logits_of_every_architecture_are_within_1e_4_of_the_reference() {
    for name in ["qwen2", "qwen3", "llama31", "mistral", "phi3", "gemma2"] {
        let folder = fixture(name);
        let difference = largest_difference(&FloatModel::open(&folder).unwrap(), &folder.join("reference.safetensors"));
        assert!(difference <= 1e-4, "{name}: {difference}");
    }
}

#[test]
fn a_sharded_checkpoint_holds_the_same_tensors() {
    let (whole, sharded) =
        (Checkpoint::open(&fixture("qwen3")).unwrap(), Checkpoint::open(&fixture("qwen3_sharded")).unwrap());
    assert_eq!(sharded.shards().len(), 5);
    assert_eq!(whole.names().collect::<Vec<_>>(), sharded.names().collect::<Vec<_>>());
    for name in whole.names() {
        assert_eq!(whole.tensor(name).unwrap(), sharded.tensor(name).unwrap(), "{name}");
    }
}

#[test]
fn tiny_chat_answers_as_in_its_references() {
    let model = FloatModel::open(&bundled()).unwrap();
    let tokenizer = ModelTokenizer::open(&bundled()).unwrap();
    let template = ChatTemplate::open(&bundled()).unwrap();
    let references: Value =
        serde_json::from_slice(&std::fs::read(fixture("tiny-chat/reference.json")).unwrap()).unwrap();
    for reference in references.as_array().unwrap() {
        let ids = |name: &str| -> Vec<u32> {
            reference[name].as_array().unwrap().iter().map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect()
        };
        let prompt = template.ask(reference["question"].as_str().unwrap()).unwrap();
        assert_eq!(prompt, reference["prompt"].as_str().unwrap());
        let tokens = tokenizer.encode(&prompt).unwrap();
        assert_eq!(tokens, ids("prompt_ids"));
        let mut streamed = Vec::new();
        let output = model.generate(&tokens, 48, |token| streamed.push(token)).unwrap();
        assert_eq!(output, ids("output_ids"));
        assert_eq!(streamed, output);
        assert_eq!(tokenizer.decode(&output), reference["text"].as_str().unwrap());
    }
}
