//! Engines of another model: of other constants, other weights or other tokens, under the digest of the one that is trusted.

use std::sync::Arc;

use obelysk_model::integer::IntegerModel;
use obelysk_statement::ModelDescription;
use obelysk_statement::description::{Activation, Inference};

use super::Cheat;
use crate::derived::refitted;
use crate::subject::Subject;

/// A change of a description that leaves all shapes as they are, and the relations that then do not hold.
pub type Constant = (&'static str, fn(&mut ModelDescription), &'static [&'static str]);

/// Constants of models with norms of heads.
pub const CONSTANTS: [Constant; 8] = [
    (
        "roots of another numerator",
        |model| model.hidden_norm.constant += model.hidden_norm.constant / 16,
        &["attention_norm.root: table", "feed_forward_norm.root: table", "head_norm.root: table"],
    ),
    (
        "roots of another numerator in heads",
        |model| {
            let norms = model.head_norms.as_mut().expect("a model with norms of heads");
            norms.query.constant -= norms.query.constant / 16;
            norms.key.constant = norms.query.constant;
        },
        &["query_norm.root: table", "key_norm.root: table"],
    ),
    (
        "another epsilon",
        |model| model.hidden_norm.epsilon += 1 << 24,
        &[
            "attention_norm: sum 0 of limb products",
            "feed_forward_norm: sum 0 of limb products",
            "head_norm: sum 0 of limb products",
        ],
    ),
    (
        "another epsilon in query heads",
        |model| model.head_norms.as_mut().expect("a model with norms of heads").query.epsilon += 1 << 16,
        &["query_norm: sum 0 of limb products"],
    ),
    (
        "another epsilon in key heads",
        |model| model.head_norms.as_mut().expect("a model with norms of heads").key.epsilon += 1 << 16,
        &["key_norm: sum 0 of limb products"],
    ),
    (
        "frequencies of another base",
        |model| model.rotary.theta = 10,
        &["query_rotated: half 0", "query_rotated: half 1", "key_rotated: half 0", "key_rotated: half 1"],
    ),
    ("another activation", |model| model.feed_forward.activation = Activation::GeluTanh, &["activation: table"]),
    ("gates of another scale", |model| model.feed_forward.gate_fraction -= 1, &["activation: table"]),
];

/// Constants of models with caps and windows, three tokens long, whose windows are two wide.
pub const CONSTANTS_OF_WINDOWS: [Constant; 4] = [
    (
        "a wider window",
        |model| model.windows.iter_mut().flatten().for_each(|window| *window = 3),
        &["is_maximum: seen", "numerator: seen", "probability: seen"],
    ),
    (
        "a narrower window",
        |model| model.windows.iter_mut().flatten().for_each(|window| *window = 1),
        &["numerator: exponential", "probability: exponential"],
    ),
    (
        "a lower cap",
        |model| {
            let cap = model.attention.score_cap.as_mut().expect("a model with a cap");
            cap.peak -= cap.peak / 4;
        },
        &["capped_score: table"],
    ),
    (
        "a steeper cap",
        |model| {
            let cap = model.attention.score_cap.as_mut().expect("a model with a cap");
            cap.step += cap.step / 2;
        },
        &["capped_score: table"],
    ),
];

/// The relations that read each weight: of every model, of models with norms of heads, and of models with norms of branches.
pub const READERS: [(&str, &[&str]); 15] = [
    ("embedding", &["embedded: row of the token"]),
    ("query_weight", &["query: projection"]),
    ("key_weight", &["key: projection"]),
    ("value_weight", &["value: projection"]),
    ("gate_weight", &["gate: projection"]),
    ("up_weight", &["up: projection"]),
    ("head_weight", &["logit_gap: best minus logit"]),
    ("query_gain", &["query_rotated: half 0", "query_rotated: half 1"]),
    ("key_gain", &["key_rotated: half 0", "key_rotated: half 1"]),
    ("output_weight", &["attention_branch: projection"]),
    ("down_weight", &["feed_forward_branch: projection"]),
    ("output_weight", &["attention_output: projection"]),
    ("down_weight", &["feed_forward_output: projection"]),
    ("attention_output_gain", &["attention_branch: norm times gain"]),
    ("feed_forward_output_gain", &["feed_forward_branch: norm times gain"]),
];

/// An engine of other constants.
#[must_use]
pub fn of_constants(trusted: &Subject, (name, change, _): &Constant) -> Cheat {
    let mut other = trusted.model.clone();
    change(&mut other.description);
    Cheat::of_engine(name, trusted, &refitted(other))
}

/// For every weight: an engine that reads it backwards, and the relations that then do not hold. Its bounds are the same, and so is
/// every shape.
#[must_use]
pub fn of_weights(trusted: &Subject) -> Vec<(Cheat, Vec<&'static str>)> {
    let stated = |reader: &str| trusted.statement.relations.iter().any(|named| named.name == reader);
    let read = READERS.into_iter().filter(|(name, readers)| {
        trusted.model.weights.contains_key(*name) && readers.iter().all(|reader| stated(reader))
    });
    let backwards = read.map(|(name, readers)| {
        let mut other = trusted.model.clone();
        let weights = Arc::make_mut(&mut other.weights);
        let entries = weights.get_mut(name).expect("a weight");
        let backwards: Vec<i32> = entries.iter().collect();
        backwards.iter().rev().enumerate().for_each(|(place, &entry)| entries.set(place, entry));
        (Cheat::of_engine(&format!("{name} backwards"), trusted, &other), readers.to_vec())
    });
    backwards.collect()
}

/// Layers of every matrix in another order.
#[must_use]
pub fn of_layers_swapped(trusted: &Subject) -> Cheat {
    let mut other = trusted.model.clone();
    let layers = other.description.shape.padded_layers();
    let weights = Arc::make_mut(&mut other.weights);
    for name in other.description.weights.keys() {
        let is_stacked = !["embedding", "head_weight", "stream_top"].contains(&name.as_str());
        if is_stacked {
            let entries = weights.get_mut(name).expect("a weight");
            let size = entries.len() / layers;
            let before: Vec<i32> = entries.iter().collect();
            let rotated = before.iter().cycle().skip(size).take(before.len());
            rotated.enumerate().for_each(|(place, &entry)| entries.set(place, entry));
        }
    }
    Cheat::of_engine("layers in another order", trusted, &other)
}

/// The answer to another prompt of the same length.
///
/// # Panics
/// If the engine refuses a prompt.
#[must_use]
pub fn of_another_prompt(trusted: &Subject, prompt: &[u32]) -> Cheat {
    let engine = IntegerModel::new(&trusted.model);
    let [asked] = trusted.inferences.as_slice() else { panic!("one inference") };
    let outputs = asked.output_tokens.len();
    let output_tokens = engine.generate(prompt, outputs, &[]).expect("a valid prompt");
    let read = Inference { prompt_tokens: prompt.to_vec(), output_tokens };
    let (witness, _) = engine.witness(std::slice::from_ref(&read)).expect("the engine's own answers");
    let claimed = Inference { prompt_tokens: asked.prompt_tokens.clone(), output_tokens: read.output_tokens };
    Cheat::new("the answer to another prompt", trusted, vec![claimed], witness)
}

/// The answer after all but the last token of the prompt, which is the dummy that pads positions: one place before the right one.
///
/// # Panics
/// If the prompt does not end in the dummy, or loses a position of its padded size without it.
#[must_use]
pub fn of_the_position_before(trusted: &Subject) -> Cheat {
    let engine = IntegerModel::new(&trusted.model);
    let [asked] = trusted.inferences.as_slice() else { panic!("one inference") };
    let (0, prompt) = asked.prompt_tokens.split_last().map(|(&last, rest)| (last, rest)).expect("a prompt") else {
        panic!("the prompt ends in the dummy");
    };
    let output_tokens = engine.generate(prompt, 1, &[]).expect("a valid prompt");
    let read = Inference { prompt_tokens: prompt.to_vec(), output_tokens };
    let (witness, _) = engine.witness(std::slice::from_ref(&read)).expect("the engine's own answers");
    let claimed = Inference { prompt_tokens: asked.prompt_tokens.clone(), output_tokens: read.output_tokens };
    Cheat::new("the output position is one too low", trusted, vec![claimed], witness)
}
