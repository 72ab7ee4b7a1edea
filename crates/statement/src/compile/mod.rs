//! From a model's description and the tokens of one inference to the list of tensors and relations. One file per
//! operation of the decoder, with the same name as the integer engine's file that computes its witness.

pub mod builder;

mod attention;
mod entries;
mod feed_forward;
mod head;
mod norm;
mod output_projection;
mod residual;
mod rotary;
mod rounding;
mod scores;
mod softmax;
mod two_limbs;
mod validate;

use crate::axis::AxisId;
use crate::description::{Inference, ModelDescription, WeightBound};
use crate::functions::FunctionTable;
use crate::statement::{CompileError, Statement};
use builder::Builder;
pub use entries::{Entries, padded_size};
pub use norm::{carry_bits, carry_positions, limb_names, limb_range, output_norm};
pub use output_projection::{carry_bits_of, input_limb_names};
pub use rounding::UNCLAMPED_BITS;
pub use scores::{difference_end, largest_score, score_bits};
pub use softmax::denominator_shift;
pub use two_limbs::{LIMB_BITS, RANGE_BITS};
use validate::validate;
pub use validate::{ENTRIES_MAX, validate_description};

/// The axes that several operations share.
pub(crate) struct Axes {
    layer: AxisId,
    /// Runs over layers as the source of a branch.
    source_layer: AxisId,
    /// Runs over the inferences.
    entry: AxisId,
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
    /// Runs over the output tokens of an entry.
    row: AxisId,
}

/// Compile and check the statement of `inferences`, which share the weights and nothing else. Prover and verifier call this
/// with the same arguments.
///
/// # Errors
/// [`CompileError::Unsupported`] for a description or inferences outside the protocol's limits, otherwise the first
/// relation that is not sound for this description.
pub fn compile(description: &ModelDescription, inferences: &[Inference]) -> Result<Statement, CompileError> {
    validate(description, inferences)?;
    let shape = &description.shape;
    let entries = Entries::new(inferences);
    let mut builder = Builder::default();
    let axes = Axes {
        layer: builder.axis("layer", shape.padded_layers()),
        source_layer: builder.axis("source layer", shape.padded_layers()),
        entry: builder.axis("entry", entries.count()),
        position: builder.axis("position", entries.positions),
        key_position: builder.axis("key position", entries.positions),
        hidden: builder.axis("hidden", shape.hidden),
        kv_head: builder.axis("kv head", shape.kv_heads),
        group: builder.axis("group", shape.group),
        half: builder.axis("half", 2),
        pair: builder.axis("pair", shape.head_dim / 2),
        channel: builder.axis("channel", shape.head_dim),
        intermediate: builder.axis("intermediate", shape.intermediate),
        vocabulary: builder.axis("vocabulary", shape.vocabulary),
        row: builder.axis("output row", entries.rows),
    };
    let mut compiler = Compiler { description, axes, builder };
    let roots = FunctionTable::hidden_roots(description).add_to(&mut compiler.builder);
    let head_roots = FunctionTable::head_roots(description).map(|roots| roots.add_to(&mut compiler.builder));
    let residual = compiler.residual(entries.inputs());
    let Axes { layer, entry, position, hidden, .. } = compiler.axes;
    let normed = compiler.norm(
        "attention_norm",
        &description.hidden_norm,
        roots,
        &[layer, entry, position],
        &[hidden],
        &residual.attention,
    );
    compiler.attention(normed, roots, head_roots, &residual);
    let normed = compiler.norm(
        "feed_forward_norm",
        &description.hidden_norm,
        roots,
        &[layer, entry, position],
        &[hidden],
        &residual.feed_forward,
    );
    compiler.feed_forward(normed, roots, &residual);
    compiler.head(entries.output_rows(), roots, &residual);
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
