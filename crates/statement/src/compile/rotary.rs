//! Queries and keys: projected, normalised where the model does so, and rotated by their position.

use super::builder::{at, contraction, monomial};
use super::norm::Limbs;
use super::rounding::HighestLimb;
use super::{Axes, Compiler};
use crate::axis::AxisId;
use crate::description::{Norm, Rounding};
use crate::functions;
use crate::relation::{Access, Index, Interval, TensorId};
use crate::table::TableId;

/// Everything that differs between queries and keys.
pub(super) struct Projection<'a> {
    pub(super) name: &'a str,
    pub(super) weight: TensorId,
    pub(super) bias: Option<TensorId>,
    pub(super) rounding: Rounding,
    pub(super) rotary_shift: u32,
    pub(super) norm: Option<HeadNorm<'a>>,
    /// Axes of one head: kv head, and group for queries.
    pub(super) heads: &'a [AxisId],
}

/// The norm of a head.
pub(super) struct HeadNorm<'a> {
    pub(super) norm: &'a Norm,
    pub(super) roots: TableId,
    pub(super) gain: TensorId,
}

/// Projected heads: in limbs where a norm follows, else one number.
enum Projected<'a> {
    Normed(Limbs, &'a HeadNorm<'a>),
    Whole(HighestLimb),
}

impl Compiler<'_> {
    /// Cosines and sines of this inference's positions, the first of all that the model has.
    pub(super) fn rotary_tables(&mut self) -> [Access; 2] {
        let Axes { position, pair, .. } = self.axes;
        let description = self.description;
        let one = 1 << description.attention.rotary_fraction;
        let longest = self.builder.axis("longest", functions::rotary_positions(&description.shape));
        ["cosine", "sine"].map(|name| {
            let tensor = self.builder.constant(name, &[longest, pair], Interval::new(-one, one));
            Access { tensor, index: vec![Index::First(position), Index::Axis(pair)] }
        })
    }

    /// Project, normalise and scale by the gain where the model does so, and rotate by the position.
    pub(super) fn rotated(&mut self, normed: TensorId, [cosine, sine]: [&Access; 2], p: &Projection) -> TensorId {
        let Axes { layer, entry, position, half, pair, .. } = self.axes;
        let name = p.name;
        let rows = [&[layer, entry, position], p.heads].concat();
        let axes = [rows.as_slice(), &[half, pair]].concat();
        let (unit, gain) = self.projected(normed, &rows, &axes, p);

        let builder = &mut self.builder;
        let end = i64::from(self.description.attention.rotated_end);
        let output = builder.within(&format!("{name}_rotated"), &axes, Interval::new(-end, end));
        let remainder = builder.wide(&format!("{name}_rotated.remainder"), &axes, p.rotary_shift, false);
        let outer = [rows.as_slice(), &[pair]].concat();
        let of_half = |tensor, axes: &[AxisId], which| {
            let mut access = at(tensor, axes);
            let place = access.index.len() - 2;
            access.index[place] = Index::Fixed(which);
            access
        };
        let turned = |sign, which, by: &Access| {
            let mut factors = vec![of_half(unit, &axes, which)];
            factors.extend(gain.map(|gain| of_half(gain, &[layer, half, pair], which)));
            factors.push(by.clone());
            monomial(sign, &factors.iter().collect::<Vec<_>>())
        };
        for which in 0..2 {
            let sign = if which == 0 { -1 } else { 1 };
            let mut monomials = vec![
                turned(1, which, cosine),
                turned(sign, 1 - which, sine),
                monomial(1 << (p.rotary_shift - 1), &[]),
                monomial(-1 << p.rotary_shift, &[&of_half(output, &axes, which)]),
            ];
            let limbs = remainder.iter().map(|(unit, limb)| monomial(-unit, &[&of_half(limb.tensor, &axes, which)]));
            monomials.extend(limbs);
            builder.rows(&format!("{name}_rotated: half {which}"), &outer, monomials);
        }
        output
    }

    /// The projected heads, normalised where the model does so, and the gain that their entries still lack.
    fn projected(
        &mut self,
        normed: TensorId,
        rows: &[AxisId],
        axes: &[AxisId],
        p: &Projection,
    ) -> (TensorId, Option<TensorId>) {
        let Axes { layer, entry, position, hidden, half, pair, .. } = self.axes;
        let name = p.name;
        let end = i64::from(self.description.attention.projected_end);
        let builder = &mut self.builder;
        let Rounding { shift, unclamped_bits } = p.rounding;
        let projected = match &p.norm {
            Some(norm) => Projected::Normed(Limbs::new(builder, name, axes, norm.norm, unclamped_bits), norm),
            None => {
                let range = Interval::new(-end, end);
                Projected::Whole(builder.highest_limb((name, name), axes, range, unclamped_bits))
            }
        };
        let unclamped = match &projected {
            Projected::Normed(limbs, _) => limbs.unclamped_terms(axes),
            Projected::Whole(whole) => vec![(1, at(whole.unclamped, axes))],
        };
        let mut output = builder.rounded(name, axes, shift, &unclamped);
        let heads = [&[layer], p.heads, &[half, pair]].concat();
        output.terms.extend(p.bias.map(|bias| (-1, at(bias, &heads))));
        let weight_axes = [heads.as_slice(), &[hidden]].concat();
        let projection = contraction(1, &at(normed, &[layer, entry, position, hidden]), &at(p.weight, &weight_axes));
        builder.product(&format!("{name}: projection"), axes, output, vec![projection], &[hidden]);
        match projected {
            Projected::Normed(limbs, HeadNorm { norm, roots, gain }) => {
                let unit = self.norm(&format!("{name}_norm"), norm, *roots, rows, &[half, pair], &limbs);
                (unit, Some(*gain))
            }
            Projected::Whole(whole) => (whole.value, None),
        }
    }
}
