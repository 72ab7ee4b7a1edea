//! The residual stream. It is never committed as such: the input of a block is the embedding plus all earlier branches, a
//! product with the strictly lower triangular matrix over layers. That is how layers feed each other.

use std::sync::Arc;

use super::builder::{Builder, at, contraction, linear, monomial};
use super::norm::Limbs;
use super::rounding::minus;
use super::two_limbs::TwoLimbs;
use super::{Axes, Compiler};
use crate::axis::AxisId;
use crate::description::{Branch, BranchNorm, Rounding};
use crate::public::PublicTensor;
use crate::relation::{Access, Certificate, Contraction, Index, Interval, Linear, TensorId};
use crate::table::TableId;

/// A branch output per layer, and how it is rounded.
pub(super) struct BranchOutput {
    limbs: TwoLimbs,
    rounding: Rounding,
}

/// What is rounded to the output of a block: a sum of products, and what is added to it.
pub(super) struct Accumulator {
    pub(super) projection: Contraction,
    pub(super) summed: Vec<AxisId>,
    pub(super) added: Vec<(i64, Access)>,
}

/// What the other operations need of the stream.
pub(super) struct Stream {
    /// Input of attention, per layer.
    pub(super) attention: Limbs,
    /// Input of the feed-forward block, per layer.
    pub(super) feed_forward: Limbs,
    /// Output of attention, per layer.
    pub(super) attention_branch: BranchOutput,
    /// Output of the feed-forward block, per layer.
    pub(super) feed_forward_branch: BranchOutput,
    /// The sum of everything, input of the last norm.
    pub(super) output: TensorId,
}

impl BranchOutput {
    fn new(builder: &mut Builder, name: &str, axes: &[AxisId], format: Branch) -> Self {
        let Branch { rounding, low_bits, high_bits } = format;
        Self { limbs: TwoLimbs::new(builder, name, axes, [low_bits, high_bits]), rounding }
    }
}

impl Compiler<'_> {
    /// `tokens` has shape [entries, positions].
    pub(super) fn residual(&mut self, tokens: Vec<u32>) -> Stream {
        let Axes { layer, source_layer, entry, position, hidden, vocabulary, .. } = self.axes;
        let description = self.description;
        let stream_axes = [entry, position, hidden];
        let embedding_bound = self.weight_bound("embedding");
        let builder = &mut self.builder;

        let weight = builder.weight_entries("embedding", &[vocabulary, hidden], embedding_bound);
        let (rows, width) = (builder.size(position), description.shape.vocabulary);
        let one_hot = PublicTensor::OneHot { columns: Arc::new(tokens), rows, width };
        let one_hot = builder.public("tokens", &[entry, position, vocabulary], one_hot, Interval::new(0, 1));
        let magnitude = embedding_bound.magnitude;
        let embedded = builder.witness(
            "embedded",
            &stream_axes,
            Interval::new(-magnitude, magnitude),
            Certificate::Lemma("row of a weight"),
        );
        builder.product(
            "embedded: row of the token",
            &stream_axes,
            linear(&[(1, &at(embedded, &stream_axes))], 0),
            vec![contraction(1, &at(one_hot, &[entry, position, vocabulary]), &at(weight, &[vocabulary, hidden]))],
            &[vocabulary],
        );

        let axes = [layer, entry, position, hidden];
        let attention_branch = BranchOutput::new(builder, "attention_branch", &axes, description.residual.attention);
        let feed_forward_branch =
            BranchOutput::new(builder, "feed_forward_branch", &axes, description.residual.feed_forward);
        let attention = Limbs::new(builder, "attention_input", &axes, &description.hidden_norm);
        let feed_forward = Limbs::new(builder, "feed_forward_input", &axes, &description.hidden_norm);

        let earlier = PublicTensor::StrictlyLower { size: description.shape.layers };
        let earlier = builder.public("earlier layers", &[layer, source_layer], earlier, Interval::new(0, 1));
        let earlier = at(earlier, &[layer, source_layer]);
        let mut input = attention.terms(&axes);
        input.push((-1, at(embedded, &stream_axes)));
        let source = |tensor| at(tensor, &[source_layer, entry, position, hidden]);
        let branches = attention_branch.limbs.terms(source).into_iter().chain(feed_forward_branch.limbs.terms(source));
        builder.product(
            "attention_input: embedding and earlier branches",
            &axes,
            Linear { terms: input, constant: 0 },
            branches.map(|(coefficient, branch)| contraction(coefficient, &earlier, &branch)).collect(),
            &[source_layer],
        );

        let mut difference = feed_forward.terms(&axes);
        difference.extend(attention.terms(&axes).into_iter().map(|(c, limb)| (-c, limb)));
        difference.extend(attention_branch.limbs.at(&axes).into_iter().map(|(c, limb)| (-c, limb)));
        builder.zero(
            "feed_forward_input: attention input and branch",
            &axes,
            Linear { terms: difference, constant: 0 },
        );

        let layers = i64::try_from(description.shape.layers).expect("validated");
        let magnitude = magnitude
            + layers * (attention_branch.limbs.range().magnitude() + feed_forward_branch.limbs.range().magnitude());
        let output = builder.witness(
            "stream_output",
            &stream_axes,
            Interval::new(-magnitude, magnitude),
            Certificate::Lemma("sum of bounded terms"),
        );
        let over_layers = |tensor| Access {
            tensor,
            index: vec![Index::Sum, Index::Axis(entry), Index::Axis(position), Index::Axis(hidden)],
        };
        let mut sum = vec![(-1, at(output, &stream_axes)), (1, at(embedded, &stream_axes))];
        sum.extend(attention_branch.limbs.terms(over_layers));
        sum.extend(feed_forward_branch.limbs.terms(over_layers));
        builder.zero("stream_output: embedding and all branches", &stream_axes, Linear { terms: sum, constant: 0 });
        Stream { attention, feed_forward, attention_branch, feed_forward_branch, output }
    }
}

impl Compiler<'_> {
    /// State that the branch of block `name` is the accumulator of its output projection, rounded; in between it is normalised
    /// over the hidden axis and scaled where the model does so.
    pub(super) fn branch(
        &mut self,
        name: &str,
        branch: &BranchOutput,
        norm: Option<&BranchNorm>,
        roots: TableId,
        accumulator: Accumulator,
    ) {
        let Axes { layer, entry, position, hidden, .. } = self.axes;
        let axes = [layer, entry, position, hidden];
        let terms = branch.limbs.at(&axes);
        let rounding = branch.rounding;
        let builder = &mut self.builder;
        let Some(BranchNorm { rounding: output_rounding, norm }) = norm else {
            let output = builder.rounded(&format!("{name}_branch"), &axes, rounding, &terms, branch.limbs.range());
            accumulator.state(builder, &format!("{name}_branch: projection"), &axes, output);
            return;
        };
        let output_name = format!("{name}_output");
        let limbs = Limbs::new(builder, &output_name, &axes, norm);
        let output = builder.rounded(&output_name, &axes, *output_rounding, &limbs.terms(&axes), limbs.range());
        accumulator.state(builder, &format!("{name}_output: projection"), &axes, output);
        let unit = self.norm(&format!("{name}_output_norm"), norm, roots, &[layer, entry, position], &[hidden], &limbs);

        let gain_name = format!("{name}_output_gain");
        let bound = self.weight_bound(&gain_name);
        let builder = &mut self.builder;
        let gain = builder.weight_entries(&gain_name, &[layer, hidden], bound);
        let output = builder.rounded(&format!("{name}_branch"), &axes, rounding, &terms, branch.limbs.range());
        let mut monomials = vec![monomial(1, &[&at(unit, &axes), &at(gain, &[layer, hidden])])];
        monomials.extend(minus(&output));
        builder.rows(&format!("{name}_branch: norm times gain"), &axes, monomials);
    }
}

impl Accumulator {
    /// State that this is `output`.
    fn state(self, builder: &mut Builder, name: &str, axes: &[AxisId], mut output: Linear) {
        output.terms.extend(self.added.into_iter().map(|(coefficient, access)| (-coefficient, access)));
        builder.product(name, axes, output, vec![self.projection], &self.summed);
    }
}
