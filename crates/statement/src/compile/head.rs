//! Last norm, logits and argmax of every output token.
//!
//! The logits are not committed: `best(row) - logit(row, v) - [v < token(row)] = 2^15 high + low` with both limbs not
//! negative says that no logit exceeds `best` and that those of lower ids are smaller; that the difference is zero at
//! the claimed token makes `best` its logit.

use std::sync::Arc;

use super::builder::{at, contraction, linear};
use super::entries::OutputRows;
use super::residual::Stream;
use super::two_limbs::TwoLimbs;
use super::{Axes, Compiler};
use crate::public::PublicTensor;
use crate::relation::{Interval, Linear};
use crate::table::TableId;

/// Bits of each limb of a logit difference.
const LIMB_BITS: u32 = 15;

impl Compiler<'_> {
    pub(super) fn head(&mut self, outputs: OutputRows, roots: TableId, stream: &Stream) {
        let Axes { entry, position, hidden, vocabulary, row, .. } = self.axes;
        let description = self.description;
        let (output_rows, input_axes, axes) = ([entry, row], [entry, row, hidden], [entry, row, vocabulary]);
        let OutputRows { positions, tokens } = outputs;
        let (rows, width) = (self.builder.size(row), self.builder.size(position));
        let builder = &mut self.builder;
        let selected = builder.public(
            "output positions",
            &[entry, row, position],
            PublicTensor::OneHot { columns: positions, rows, width },
            Interval::new(0, 1),
        );
        let (limbs, input) = self.entering("head_input", &input_axes, stream.top);
        let last_layer = description.shape.layers - 1;
        let output = stream.output(&self.axes, last_layer, &at(selected, &[entry, row, position]));
        let name = "head_input: what the last layer leaves at the output positions";
        self.builder.product(name, &input_axes, input, output, &[position]);
        let normed = self.norm("head_norm", &description.hidden_norm, roots, &output_rows, &[hidden], &limbs);

        let bound = self.weight_bound("head_weight");
        let builder = &mut self.builder;
        let weight = builder.weight("head_weight", &[vocabulary, hidden], bound);
        let vocabulary_size = description.shape.vocabulary;
        let below = PublicTensor::Below { bounds: Arc::clone(&tokens), rows, width: vocabulary_size };
        let below = builder.public("lower ids", &axes, below, Interval::new(0, 1));
        let claimed = PublicTensor::OneHot { columns: tokens, rows, width: vocabulary_size };
        let claimed = builder.public("output tokens", &axes, claimed, Interval::new(0, 1));

        let mut difference = TwoLimbs::new(builder, "best", &output_rows, [LIMB_BITS, LIMB_BITS], 0).at(&output_rows);
        let low = at(builder.unsigned("logit_gap.low", &axes, LIMB_BITS), &axes);
        let high = at(builder.unsigned("logit_gap.high", &axes, LIMB_BITS), &axes);
        let unit = 1 << LIMB_BITS;
        difference.extend([(-1, at(below, &axes)), (-unit, high.clone()), (-1, low.clone())]);
        builder.product(
            "logit_gap: best minus logit",
            &axes,
            Linear { terms: difference, constant: 0 },
            vec![contraction(1, &at(normed, &input_axes), &at(weight, &[vocabulary, hidden]))],
            &[hidden],
        );
        builder.product(
            "logit_gap: none at the output token",
            &output_rows,
            linear(&[], 0),
            vec![contraction(unit, &at(claimed, &axes), &high), contraction(1, &at(claimed, &axes), &low)],
            &[vocabulary],
        );
    }
}
