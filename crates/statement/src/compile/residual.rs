//! The residual stream. What enters a layer is what the layer before received, plus its two branches, clamped to the range
//! of the stream: a product with the public matrix that is one just below its diagonal. That is how layers feed each other.

use std::sync::Arc;

use super::builder::{at, contraction, linear, monomial};
use super::norm::Limbs;
use super::output_projection::{BranchOutput, OutputProjection};
use super::rounding::minus;
use super::{Axes, Compiler};
use crate::axis::AxisId;
use crate::description::{BranchNorm, LowLimbs, Norm, StreamClamp};
use crate::public::PublicTensor;
use crate::relation::{Access, Certificate, Contraction, Index, Interval, Linear, TensorId};
use crate::table::TableId;

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
    /// Largest highest limb of each channel, where the stream is clamped.
    pub(super) top: Option<TensorId>,
}

impl Stream {
    /// What leaves a layer before it is clamped, as weighted accesses.
    fn leaving(&self, address: impl Fn(TensorId) -> Access) -> Vec<(i64, Access)> {
        [self.feed_forward.terms_by(&address), self.feed_forward_branch.terms(&address)].concat()
    }

    /// The sum of everything before the last clamp, at the positions that `selected` names: contractions over positions.
    pub(super) fn output(&self, axes: &Axes, last_layer: usize, selected: &Access) -> Vec<Contraction> {
        let Axes { entry, position, hidden, .. } = *axes;
        let of_last = |tensor| Access {
            tensor,
            index: vec![Index::Fixed(last_layer), Index::Axis(entry), Index::Axis(position), Index::Axis(hidden)],
        };
        let leaving = self.leaving(of_last).into_iter();
        leaving.map(|(unit, access)| contraction(unit, selected, &access)).collect()
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
        let residual = &description.residual;
        let (mean, product) = (description.attention.mean_limbs, description.feed_forward.hidden_limbs);
        // With a norm in between, the branch is rounded from the norm and not from sums of limbs.
        let limbs = |limbs| if description.branch_norms.is_some() { LowLimbs::NONE } else { limbs };
        let attention_branch = BranchOutput::new(builder, "attention_branch", &axes, residual.attention, limbs(mean));
        let feed_forward_branch =
            BranchOutput::new(builder, "feed_forward_branch", &axes, residual.feed_forward, limbs(product));
        let top = residual.clamp.map(|_| {
            let bound = self.weight_bound("stream_top");
            self.builder.weight_entries("stream_top", &[hidden], bound)
        });
        let (attention, input) = self.entering("attention_input", &axes, top);
        let feed_forward = Limbs::new(&mut self.builder, "feed_forward_input", &axes, &description.hidden_norm, 0);
        let stream = Stream { attention, feed_forward, attention_branch, feed_forward_branch, top };

        let builder = &mut self.builder;
        let layers = description.shape.padded_layers();
        let previous = PublicTensor::Previous { size: layers };
        let previous = builder.public("previous layer", &[layer, source_layer], previous, Interval::new(0, 1));
        let previous = at(previous, &[layer, source_layer]);
        // One entry that is not zero: the first layer reads the embedding.
        let corner = (0..layers * layers).map(|place| i32::from(place == 0)).collect();
        let first = PublicTensor::Dense { shape: vec![layers, layers], values: Arc::new(corner) };
        let first = builder.public("first layer", &[layer, source_layer], first, Interval::new(0, 1));
        builder.bound_row_mass(first, 1);
        let source = |tensor| at(tensor, &[source_layer, entry, position, hidden]);
        let leaving = stream.leaving(source).into_iter();
        let mut contractions: Vec<Contraction> =
            leaving.map(|(unit, access)| contraction(unit, &previous, &access)).collect();
        contractions.push(contraction(1, &at(first, &[layer, source_layer]), &at(embedded, &stream_axes)));
        builder.product("attention_input: what the layer before leaves", &axes, input, contractions, &[source_layer]);

        let mut difference = stream.feed_forward.terms(&axes);
        difference.extend(stream.attention.terms(&axes).into_iter().map(|(c, limb)| (-c, limb)));
        difference.extend(stream.attention_branch.at(&axes).into_iter().map(|(c, limb)| (-c, limb)));
        builder.zero(
            "feed_forward_input: attention input and branch",
            &axes,
            Linear { terms: difference, constant: 0 },
        );
        stream
    }

    /// Limbs of the stream where a layer, or the head, reads it, and the left side of a relation whose right side becomes these
    /// limbs when its highest limb is clamped. Each channel has a range of its own: spikes are rare, and all channels together
    /// have to leave their sum of squares a place.
    pub(super) fn entering(&mut self, name: &str, axes: &[AxisId], top: Option<TensorId>) -> (Limbs, Linear) {
        let norm = &self.description.hidden_norm;
        let builder = &mut self.builder;
        let limbs = Limbs::new(builder, name, axes, norm, 0);
        let mut terms = limbs.terms(axes);
        if let (Some(top), Some(StreamClamp { excess_bits })) = (top, self.description.residual.clamp) {
            let (top, highest) = (at(top, &[self.axes.hidden]), at(limbs.highest(), axes));
            let unit = 1 << ((norm.limbs - 1) * norm.limb_bits);
            for (side, sign) in [("above", 1), ("below", -1)] {
                let inside = linear(&[(1, &top), (-sign, &highest)], 0);
                let highest_bits = norm.highest_bits;
                builder.range(&format!("{name}: highest limb not {side} its end"), axes, inside.clone(), highest_bits);
                let excess_name = format!("{name}.{side}");
                let excess = at(builder.unsigned(&excess_name, axes, excess_bits), axes);
                let relation = format!("{excess_name}: only at the end of the range");
                builder.vanishing(&relation, axes, linear(&[(1, &excess)], 0), inside);
                terms.push((sign * unit, excess));
            }
        }
        (limbs, Linear { terms, constant: 0 })
    }

    /// State that the branch of block `name` is the rounded accumulator of its output projection; in between it is normalised
    /// over the hidden axis and scaled where the model does so.
    pub(super) fn branch(
        &mut self,
        name: &str,
        branch: &BranchOutput,
        norm: Option<&BranchNorm>,
        roots: TableId,
        projection: &OutputProjection,
    ) {
        let Axes { layer, entry, position, hidden, .. } = self.axes;
        let axes = [layer, entry, position, hidden];
        let Some(BranchNorm { output: format, norm }) = norm else {
            self.builder.output_projection(&format!("{name}_branch"), &axes, branch, projection);
            return;
        };
        let output_name = format!("{name}_output");
        let output = BranchOutput::new(&mut self.builder, &output_name, &axes, *format, projection.input.low);
        self.builder.output_projection(&output_name, &axes, &output, projection);
        let limbs = self.normed_limbs(&output_name, &axes, norm, &output);
        let unit = self.norm(&format!("{name}_output_norm"), norm, roots, &[layer, entry, position], &[hidden], &limbs);

        let gain_name = format!("{name}_output_gain");
        let bound = self.weight_bound(&gain_name);
        let builder = &mut self.builder;
        let gain = builder.weight_entries(&gain_name, &[layer, hidden], bound);
        let output = builder.rounded(&format!("{name}_branch"), &axes, branch.top_shift(), &branch.unclamped_at(&axes));
        let mut monomials = vec![monomial(1, &[&at(unit, &axes), &at(gain, &[layer, hidden])])];
        monomials.extend(minus(&output));
        builder.rows(&format!("{name}_branch: norm times gain"), &axes, monomials);
    }

    /// The limbs that a norm reads of a rounded accumulator.
    fn normed_limbs(&mut self, name: &str, axes: &[AxisId], norm: &Norm, output: &BranchOutput) -> Limbs {
        let builder = &mut self.builder;
        let limbs = Limbs::new(builder, &format!("{name}_norm.input"), axes, norm, 0);
        let mut difference = limbs.terms(axes);
        difference.extend(output.at(axes).into_iter().map(|(c, limb)| (-c, limb)));
        let relation = format!("{name}_norm.input: the output in limbs");
        builder.zero(&relation, axes, Linear { terms: difference, constant: 0 });
        limbs
    }
}
