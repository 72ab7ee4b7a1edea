//! Descriptions with the shapes of published models. Their formats are such that they compile; no weights belong to them.

use obelysk_statement::description::{Inference, ModelDescription, Norm, Shape, WeightBound};

use crate::subject::{fixture, quantized};

/// Models by name, the fixture that is like them, and their shapes with as many positions as a description may have.
#[must_use]
pub fn models() -> Vec<(&'static str, ModelDescription)> {
    let shape = |[layers, hidden, intermediate, kv_heads, group, head_dim, vocabulary]: [usize; 7]| Shape {
        layers,
        hidden,
        intermediate,
        kv_heads,
        group,
        head_dim,
        vocabulary,
        positions: 1 << 13,
    };
    let [llama, qwen] = ["llama31", "qwen3"].map(|name| quantized(&fixture(name), None).description);
    let models = [
        ("SmolLM2-135M", &llama, [30, 576, 1536, 3, 3, 64, 49_152]),
        ("SmolLM2-360M", &llama, [32, 960, 2560, 5, 3, 64, 49_152]),
        ("SmolLM2-1.7B", &llama, [24, 2048, 8192, 32, 1, 64, 49_152]),
        ("Llama-3.2-1B", &llama, [16, 2048, 8192, 8, 4, 64, 128_256]),
        ("Qwen3-0.6B", &qwen, [28, 1024, 3072, 8, 2, 128, 151_936]),
        ("Qwen3-1.7B", &qwen, [28, 2048, 6144, 8, 2, 128, 151_936]),
        ("Qwen3-14B", &qwen, [40, 5120, 17_408, 8, 5, 128, 151_936]),
    ];
    models.map(|(name, like, sizes)| (name, with_shape(like, shape(sizes)))).into()
}

/// The description with another shape, in formats that hold at any.
#[must_use]
pub fn with_shape(like: &ModelDescription, shape: Shape) -> ModelDescription {
    let mut description = like.clone();
    description.shape = shape;
    description.windows = vec![None; shape.layers];
    let attention = &mut description.attention;
    // Products of queries and keys have 30 bits.
    attention.rotated_end = ((1 << 28) / shape.head_dim as u32).isqrt() - 1;
    description.hidden_norm =
        Norm { limbs: 3, limb_bits: 9, highest_bits: 9, digits: 15, lowest: 6, shift: 13, ..description.hidden_norm };
    for bound in description.weights.values_mut() {
        *bound = WeightBound { magnitude: 127, row_mass: 4000, row_norm: 300 };
    }
    description
}

/// An inference of so many positions, one of which answers.
#[must_use]
pub fn inference(positions: usize) -> Inference {
    Inference { prompt_tokens: vec![5; positions], output_tokens: vec![7] }
}
