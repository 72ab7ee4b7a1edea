//! Last norm, logits and argmax of every output token.
//!
//! The logits are not committed: `best(row) - logit(row, v) - [v < token(row)] = 2^15 high + low` with both limbs not
//! negative says that no logit exceeds `best` and that those of lower ids are smaller; that the difference is zero at
//! the claimed token makes `best` its logit.

use std::sync::Arc;

use super::builder::{at, contraction, linear};
use super::norm::Limbs;
use super::residual::Stream;
use super::{Axes, Compiler, output_rows};
use crate::description::Inference;
use crate::public::PublicTensor;
use crate::relation::Interval;
use crate::table::TableId;

/// Bits of each limb of a logit difference.
const LIMB_BITS: u32 = 15;

impl Compiler<'_> {
    pub(super) fn head(&mut self, inference: &Inference, rows: usize, roots: TableId, stream: &Stream) {
        let Axes { position, hidden, vocabulary, row, .. } = self.axes;
        let description = self.description;
        let (positions, tokens) = output_rows(inference, rows);
        let width = self.builder.size(position);
        let builder = &mut self.builder;
        let selected = builder.public(
            "output positions",
            &[row, position],
            PublicTensor::OneHot { columns: positions, width },
            Interval::new(0, 1),
        );
        let limbs = Limbs::new(builder, "head_input", &[row, hidden], &description.hidden_norm);
        builder.product(
            "head_input: stream at the output positions",
            &[row, hidden],
            crate::Linear { terms: limbs.terms(&[row, hidden]), constant: 0 },
            vec![contraction(1, &at(selected, &[row, position]), &at(stream.output, &[position, hidden]))],
            &[position],
        );
        let normed = self.norm("head_norm", &description.hidden_norm, roots, &[row], &[hidden], &limbs);

        let bound = self.weight_bound("head_weight");
        let builder = &mut self.builder;
        let weight = builder.weight("head_weight", &[vocabulary, hidden], bound);
        let vocabulary_size = description.shape.vocabulary;
        let below = PublicTensor::Below { bounds: Arc::clone(&tokens), width: vocabulary_size };
        let below = builder.public("lower ids", &[row, vocabulary], below, Interval::new(0, 1));
        let claimed = PublicTensor::OneHot { columns: tokens, width: vocabulary_size };
        let claimed = builder.public("output tokens", &[row, vocabulary], claimed, Interval::new(0, 1));

        let best_low = at(builder.unsigned("best.low", &[row], LIMB_BITS), &[row]);
        let best_high = at(builder.signed("best.high", &[row], LIMB_BITS), &[row]);
        let axes = [row, vocabulary];
        let low = at(builder.unsigned("logit_gap.low", &axes, LIMB_BITS), &axes);
        let high = at(builder.unsigned("logit_gap.high", &axes, LIMB_BITS), &axes);
        let unit = 1 << LIMB_BITS;
        builder.product(
            "logit_gap: best minus logit",
            &axes,
            linear(&[(unit, &best_high), (1, &best_low), (-1, &at(below, &axes)), (-unit, &high), (-1, &low)], 0),
            vec![contraction(1, &at(normed, &[row, hidden]), &at(weight, &[vocabulary, hidden]))],
            &[hidden],
        );
        builder.product(
            "logit_gap: none at the output token",
            &[row],
            linear(&[], 0),
            vec![contraction(unit, &at(claimed, &axes), &high), contraction(1, &at(claimed, &axes), &low)],
            &[vocabulary],
        );
    }
}
