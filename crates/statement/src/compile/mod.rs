//! From a model's description and the tokens of one inference to the list of tensors and relations. One file per
//! operation of the decoder, with the same name as the integer engine's file that computes its witness.

mod attention;
mod builder;
mod feed_forward;
mod head;
mod norm;
mod residual;

use std::sync::Arc;

use crate::axis::AxisId;
use crate::description::{Inference, ModelDescription, SPECIFICATION, WeightBound};
use crate::statement::{CompileError, Statement};
pub use attention::denominator_shift;
use builder::Builder;
pub use norm::carry_bits;

/// The axes that several operations share.
pub(crate) struct Axes {
    layer: AxisId,
    /// Runs over layers as the source of a branch.
    source_layer: AxisId,
    position: AxisId,
    /// Runs over positions as the one attended to.
    key_position: AxisId,
    hidden: AxisId,
    kv_head: AxisId,
    group: AxisId,
    half: AxisId,
    pair: AxisId,
    channel: AxisId,
    intermediate: AxisId,
    vocabulary: AxisId,
    /// Runs over the output tokens.
    row: AxisId,
}

/// Compile and check the statement of one inference. Prover and verifier call this with the same arguments.
///
/// # Errors
/// [`CompileError::Unsupported`] for a description or inference outside the protocol's limits, otherwise the first
/// relation that is not sound for this description.
pub fn compile(description: &ModelDescription, inference: &Inference) -> Result<Statement, CompileError> {
    validate(description, inference)?;
    let shape = &description.shape;
    let tokens = padded_inputs(inference);
    let rows = padded_size(inference.output_tokens.len());
    let mut builder = Builder::default();
    let axes = Axes {
        layer: builder.axis("layer", shape.layers),
        source_layer: builder.axis("source layer", shape.layers),
        position: builder.axis("position", tokens.len()),
        key_position: builder.axis("key position", tokens.len()),
        hidden: builder.axis("hidden", shape.hidden),
        kv_head: builder.axis("kv head", shape.kv_heads),
        group: builder.axis("group", shape.group),
        half: builder.axis("half", 2),
        pair: builder.axis("pair", shape.head_dim / 2),
        channel: builder.axis("channel", shape.head_dim),
        intermediate: builder.axis("intermediate", shape.intermediate),
        vocabulary: builder.axis("vocabulary", shape.vocabulary),
        row: builder.axis("output row", rows),
    };
    let mut compiler = Compiler { description, axes, builder };
    let roots = compiler.reciprocal_root_table(&description.hidden_norm, "hidden");
    let head_roots = compiler.reciprocal_root_table(&description.query_norm, "head");
    let residual = compiler.residual(&tokens);
    let Axes { layer, position, hidden, .. } = compiler.axes;
    let normed = compiler.norm(
        "attention_norm",
        &description.hidden_norm,
        roots,
        &[layer, position],
        &[hidden],
        residual.attention,
    );
    compiler.attention(normed, head_roots, &residual);
    let normed = compiler.norm(
        "feed_forward_norm",
        &description.hidden_norm,
        roots,
        &[layer, position],
        &[hidden],
        residual.feed_forward,
    );
    compiler.feed_forward(normed, &residual);
    compiler.head(inference, rows, roots, &residual);
    let statement = compiler.builder.finish();
    statement.check()?;
    Ok(statement)
}

/// Operations append to the builder; each lives in a file of its own.
pub(crate) struct Compiler<'a> {
    description: &'a ModelDescription,
    axes: Axes,
    builder: Builder,
}

impl Compiler<'_> {
    fn weight_bound(&self, name: &str) -> WeightBound {
        self.description.weights[name]
    }
}

/// Names of the weight tensors, in commitment order.
pub const WEIGHTS: [&str; 11] = [
    "embedding",
    "query_weight",
    "key_weight",
    "value_weight",
    "query_gain",
    "key_gain",
    "output_weight",
    "gate_weight",
    "up_weight",
    "down_weight",
    "head_weight",
];

/// The smallest number with at most two set bits that is at least `size`: few tiles, little padding.
#[must_use]
pub fn padded_size(size: usize) -> usize {
    assert!(size >= 1, "nothing is not a size");
    let top = 1usize << size.ilog2();
    let rest = size - top;
    top + if rest == 0 { 0 } else { rest.next_power_of_two() }
}

/// Input tokens with dummies appended; causality hides them from every claimed row.
#[must_use]
pub fn padded_inputs(inference: &Inference) -> Vec<u32> {
    let mut tokens = inference.inputs();
    tokens.resize(padded_size(tokens.len()), 0);
    tokens
}

/// The position and the claimed token of each output row. Padding rows repeat the last one.
pub(crate) fn output_rows(inference: &Inference, rows: usize) -> (Arc<Vec<u32>>, Arc<Vec<u32>>) {
    let last = inference.output_tokens.len() - 1;
    let first_position = inference.prompt_tokens.len() - 1;
    let position = |row: usize| u32::try_from(first_position + row.min(last)).expect("positions are few");
    let positions = (0..rows).map(position).collect();
    let tokens = (0..rows).map(|row| inference.output_tokens[row.min(last)]).collect();
    (Arc::new(positions), Arc::new(tokens))
}

fn validate(description: &ModelDescription, inference: &Inference) -> Result<(), CompileError> {
    let shape = &description.shape;
    let unsupported = |reason: String| Err(CompileError::Unsupported(reason));
    if description.specification != SPECIFICATION {
        return unsupported(format!("specification {}; this program knows {SPECIFICATION}", description.specification));
    }
    let sizes = [
        ("layers", shape.layers, 128),
        ("hidden", shape.hidden, 1 << 14),
        ("intermediate", shape.intermediate, 1 << 16),
        ("kv_heads", shape.kv_heads, 256),
        ("group", shape.group, 256),
        ("head_dim", shape.head_dim, 1 << 10),
        ("vocabulary", shape.vocabulary, 1 << 20),
        ("positions", shape.positions, 1 << 13),
    ];
    for (name, size, limit) in sizes {
        if size == 0 || size > limit {
            return unsupported(format!("{name} = {size}; the limits are 1 to {limit}"));
        }
    }
    if !shape.head_dim.is_multiple_of(2) {
        return unsupported(format!("head_dim = {}, an odd number", shape.head_dim));
    }
    for norm in [&description.hidden_norm, &description.query_norm, &description.key_norm] {
        norm::validate(norm)?;
    }
    if description.query_norm.constant != description.key_norm.constant {
        return unsupported("query and key norms with different constants".into());
    }
    let residual = &description.residual;
    let attention = &description.attention;
    let feed_forward = &description.feed_forward;
    let shifts = [
        ("attention branch shift", residual.attention.shift),
        ("feed-forward branch shift", residual.feed_forward.shift),
        ("query shift", attention.query_shift),
        ("key shift", attention.key_shift),
        ("query rotary shift", attention.query_rotary_shift),
        ("key rotary shift", attention.key_rotary_shift),
        ("score shift", attention.score_shift),
        ("value shift", attention.value_shift),
        ("gate shift", feed_forward.gate_shift),
        ("up shift", feed_forward.up_shift),
        ("hidden shift", feed_forward.hidden_shift),
        ("attention branch low bits", residual.attention.low_bits),
        ("attention branch high bits", residual.attention.high_bits),
        ("feed-forward branch low bits", residual.feed_forward.low_bits),
        ("feed-forward branch high bits", residual.feed_forward.high_bits),
        ("rotary fraction", attention.rotary_fraction),
        ("rotated bits", attention.rotated_bits),
        ("value bits", attention.value_bits),
        ("up bits", feed_forward.up_bits),
        ("hidden bits", feed_forward.hidden_bits),
        ("gate fraction", feed_forward.gate_fraction),
    ];
    for (name, value) in shifts {
        if !(1..=16).contains(&value) {
            return unsupported(format!("{name} = {value}; the limits are 1 to 16"));
        }
    }
    if attention.score_step == 0 || attention.score_step >> 48 != 0 || description.rotary_theta == 0 {
        return unsupported("a zero or huge score step or rotary base".into());
    }
    for name in WEIGHTS {
        match description.weights.get(name) {
            Some(bound) if (0..1 << 30).contains(&bound.magnitude) && (0..1 << 31).contains(&bound.row_mass) => {}
            Some(_) => return unsupported(format!("bounds of weight `{name}` out of range")),
            None => return unsupported(format!("weight `{name}` has no bounds")),
        }
    }
    if description.weights.len() != WEIGHTS.len() {
        return unsupported("weights that the architecture does not have".into());
    }
    if inference.prompt_tokens.is_empty() || inference.output_tokens.is_empty() {
        return unsupported("an inference without prompt or output tokens".into());
    }
    let positions = inference.positions();
    if positions > shape.positions {
        return unsupported(format!("{positions} positions; the model has {}", shape.positions));
    }
    let mut tokens = inference.prompt_tokens.iter().chain(&inference.output_tokens);
    if let Some(token) = tokens.find(|&&token| token as usize >= shape.vocabulary) {
        return unsupported(format!("token {token}; the vocabulary has {}", shape.vocabulary));
    }
    Ok(())
}
