//! The residual stream. It is never committed as such: the input of a block is the embedding plus all earlier branches, a
//! product with the strictly lower triangular matrix over layers. That is how layers feed each other.

use std::sync::Arc;

use super::builder::{Builder, at, contraction, linear, monomial, rounded};
use super::norm::Limbs;
use super::{Axes, Compiler};
use crate::axis::AxisId;
use crate::description::{Branch, BranchNorm};
use crate::public::PublicTensor;
use crate::relation::{Access, Certificate, Contraction, Index, Interval, TensorId};
use crate::table::TableId;

/// A branch output `2^low_bits high + low` per layer.
pub(super) struct BranchOutput {
    pub(super) low: TensorId,
    pub(super) high: TensorId,
    format: Branch,
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
        Self {
            low: builder.unsigned(&format!("{name}.low"), axes, format.low_bits),
            high: builder.signed(&format!("{name}.high"), axes, format.high_bits),
            format,
        }
    }

    /// The branch's value as weighted accesses.
    pub(super) fn terms(&self, address: impl Fn(TensorId) -> Access) -> Vec<(i64, Access)> {
        vec![(1 << self.format.low_bits, address(self.high)), (1, address(self.low))]
    }

    fn magnitude(&self) -> i64 {
        1 << (self.format.low_bits + self.format.high_bits - 1)
    }
}

impl Compiler<'_> {
    pub(super) fn residual(&mut self, tokens: &[u32]) -> Stream {
        let Axes { layer, source_layer, position, hidden, vocabulary, .. } = self.axes;
        let description = self.description;
        let embedding_bound = self.weight_bound("embedding");
        let builder = &mut self.builder;

        let weight = builder.weight("embedding", &[vocabulary, hidden], embedding_bound);
        let one_hot = PublicTensor::OneHot { columns: Arc::new(tokens.to_vec()), width: description.shape.vocabulary };
        let one_hot = builder.public("tokens", &[position, vocabulary], one_hot, Interval::new(0, 1));
        let magnitude = embedding_bound.magnitude;
        let embedded = builder.witness(
            "embedded",
            &[position, hidden],
            Interval::new(-magnitude, magnitude),
            Certificate::Lemma("row of a weight"),
        );
        builder.product(
            "embedded: row of the token",
            &[position, hidden],
            linear(&[(1, &at(embedded, &[position, hidden]))], 0),
            vec![contraction(1, &at(one_hot, &[position, vocabulary]), &at(weight, &[vocabulary, hidden]))],
            &[vocabulary],
        );

        let axes = [layer, position, hidden];
        let attention_branch = BranchOutput::new(builder, "attention_branch", &axes, description.residual.attention);
        let feed_forward_branch =
            BranchOutput::new(builder, "feed_forward_branch", &axes, description.residual.feed_forward);
        let bits = description.hidden_norm.limb_bits;
        let attention = signed_limbs(builder, "attention_input", &axes, bits);
        let feed_forward = signed_limbs(builder, "feed_forward_input", &axes, bits);

        let earlier = PublicTensor::StrictlyLower { size: description.shape.layers };
        let earlier = builder.public("earlier layers", &[layer, source_layer], earlier, Interval::new(0, 1));
        let earlier = at(earlier, &[layer, source_layer]);
        let mut input = limb_terms(attention, &axes, bits);
        input.push((-1, at(embedded, &[position, hidden])));
        let source = |tensor| at(tensor, &[source_layer, position, hidden]);
        let branches = attention_branch.terms(source).into_iter().chain(feed_forward_branch.terms(source));
        builder.product(
            "attention_input: embedding and earlier branches",
            &axes,
            crate::Linear { terms: input, constant: 0 },
            branches.map(|(coefficient, branch)| contraction(coefficient, &earlier, &branch)).collect(),
            &[source_layer],
        );

        let mut difference = limb_terms(feed_forward, &axes, bits);
        difference.extend(limb_terms(attention, &axes, bits).into_iter().map(|(c, limb)| (-c, limb)));
        difference.extend(attention_branch.terms(|tensor| at(tensor, &axes)).into_iter().map(|(c, limb)| (-c, limb)));
        builder.zero(
            "feed_forward_input: attention input and branch",
            &axes,
            crate::Linear { terms: difference, constant: 0 },
        );

        let layers = i64::try_from(description.shape.layers).expect("validated");
        let magnitude = magnitude + layers * (attention_branch.magnitude() + feed_forward_branch.magnitude());
        let output = builder.witness(
            "stream_output",
            &[position, hidden],
            Interval::new(-magnitude, magnitude),
            Certificate::Lemma("sum of bounded terms"),
        );
        let over_layers =
            |tensor| Access { tensor, index: vec![Index::Sum, Index::Axis(position), Index::Axis(hidden)] };
        let mut sum = vec![(-1, at(output, &[position, hidden])), (1, at(embedded, &[position, hidden]))];
        sum.extend(attention_branch.terms(over_layers));
        sum.extend(feed_forward_branch.terms(over_layers));
        builder.zero(
            "stream_output: embedding and all branches",
            &[position, hidden],
            crate::Linear { terms: sum, constant: 0 },
        );
        Stream { attention, feed_forward, attention_branch, feed_forward_branch, output }
    }
}

impl Compiler<'_> {
    /// State that the branch of block `name` is its output projection, rounded; in between it is normalised over the
    /// hidden axis and scaled where the model does so.
    pub(super) fn branch(
        &mut self,
        name: &str,
        branch: &BranchOutput,
        norm: Option<&BranchNorm>,
        roots: TableId,
        projection: Contraction,
        summed: &[AxisId],
    ) {
        let Axes { layer, position, hidden, .. } = self.axes;
        let axes = [layer, position, hidden];
        let shift = branch.format.shift;
        let terms = branch.terms(|tensor| at(tensor, &axes));
        let builder = &mut self.builder;
        let Some(BranchNorm { shift: output_shift, norm }) = norm else {
            let remainder = builder.unsigned(&format!("{name}_branch.remainder"), &axes, shift);
            let output = rounded(shift, &by_reference(&terms), &at(remainder, &axes));
            builder.product(&format!("{name}_branch: projection"), &axes, output, vec![projection], summed);
            return;
        };
        let limbs = signed_limbs(builder, &format!("{name}_output"), &axes, norm.limb_bits);
        let remainder = builder.unsigned(&format!("{name}_output.remainder"), &axes, *output_shift);
        let output_terms = limb_terms(limbs, &axes, norm.limb_bits);
        let output = rounded(*output_shift, &by_reference(&output_terms), &at(remainder, &axes));
        builder.product(&format!("{name}_output: projection"), &axes, output, vec![projection], summed);
        let unit = self.norm(&format!("{name}_output_norm"), norm, roots, &[layer, position], &[hidden], limbs);

        let gain_name = format!("{name}_output_gain");
        let bound = self.weight_bound(&gain_name);
        let builder = &mut self.builder;
        let gain = builder.weight(&gain_name, &[layer, hidden], bound);
        let remainder = builder.unsigned(&format!("{name}_branch.remainder"), &axes, shift);
        let mut monomials = vec![
            monomial(1, &[&at(unit, &axes), &at(gain, &[layer, hidden])]),
            monomial(1 << (shift - 1), &[]),
            monomial(-1, &[&at(remainder, &axes)]),
        ];
        monomials.extend(terms.iter().map(|(coefficient, limb)| monomial(-(coefficient << shift), &[limb])));
        builder.rows(&format!("{name}_branch: norm times gain"), &axes, monomials);
    }
}

fn by_reference(terms: &[(i64, Access)]) -> Vec<(i64, &Access)> {
    terms.iter().map(|(coefficient, access)| (*coefficient, access)).collect()
}

/// Two committed signed limbs.
pub(super) fn signed_limbs(builder: &mut Builder, name: &str, axes: &[AxisId], bits: u32) -> Limbs {
    Limbs {
        low: builder.signed(&format!("{name}.low"), axes, bits),
        high: builder.signed(&format!("{name}.high"), axes, bits),
    }
}

/// `2^bits high + low`.
pub(super) fn limb_terms(limbs: Limbs, axes: &[AxisId], bits: u32) -> Vec<(i64, Access)> {
    vec![(1 << bits, at(limbs.high, axes)), (1, at(limbs.low, axes))]
}
