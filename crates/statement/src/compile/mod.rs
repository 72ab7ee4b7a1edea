//! From a model's description and the tokens of one inference to the list of tensors and relations. One file per
//! operation of the decoder, with the same name as the integer engine's file that computes its witness.

mod attention;
mod builder;
mod feed_forward;
mod head;
mod norm;
mod residual;
mod rotary;
mod rounding;
mod softmax;
mod validate;

use std::sync::Arc;

use crate::axis::AxisId;
use crate::description::{Inference, ModelDescription, WeightBound};
use crate::statement::{CompileError, Statement};
use builder::Builder;
pub use norm::{carry_bits, carry_positions, limb_names, output_norm};
pub use softmax::denominator_shift;
use validate::validate;
pub use validate::validate_description;

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
    let head_roots = description.head_norms.map(|norms| compiler.reciprocal_root_table(&norms.query, "head"));
    let residual = compiler.residual(&tokens);
    let Axes { layer, position, hidden, .. } = compiler.axes;
    let normed = compiler.norm(
        "attention_norm",
        &description.hidden_norm,
        roots,
        &[layer, position],
        &[hidden],
        &residual.attention,
    );
    compiler.attention(normed, roots, head_roots, &residual);
    let normed = compiler.norm(
        "feed_forward_norm",
        &description.hidden_norm,
        roots,
        &[layer, position],
        &[hidden],
        &residual.feed_forward,
    );
    compiler.feed_forward(normed, roots, &residual);
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
