//! How relations share sumchecks: products by what they sum over, zerochecks by their box.

use std::collections::{BTreeMap, BTreeSet};

use crate::Statement;
use crate::axis::AxisId;
use crate::relation::{Access, Relation};

/// Products that run in one sumcheck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductBatch {
    /// Axes that both factors of a contraction carry and the output keeps: bound by the sumcheck under `eq`.
    pub shared: Vec<AxisId>,
    /// Summed axes.
    pub summed: Vec<AxisId>,
    /// Positions in the statement.
    pub relations: Vec<usize>,
}

/// Row relations that run in one zerocheck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZerocheckBatch {
    /// The box.
    pub axes: Vec<AxisId>,
    /// Positions in the statement.
    pub relations: Vec<usize>,
    /// Degree of the summed polynomial, the restricted `eq` included.
    pub degree: usize,
}

impl ProductBatch {
    /// All axes that the sumcheck binds, in order of its variables.
    #[must_use]
    pub fn axes(&self) -> Vec<AxisId> {
        [self.shared.as_slice(), &self.summed].concat()
    }

    /// Degree of the summed polynomial.
    #[must_use]
    pub fn degree(&self) -> usize {
        if self.shared.is_empty() { 2 } else { 3 }
    }
}

/// Products that contract something, in batches.
#[must_use]
pub fn products(statement: &Statement) -> Vec<ProductBatch> {
    let mut batches: BTreeMap<(Vec<AxisId>, Vec<AxisId>), Vec<usize>> = BTreeMap::new();
    for (position, named) in statement.relations.iter().enumerate() {
        if let Relation::Product { contractions, summed, .. } = &named.relation
            && !contractions.is_empty()
        {
            let mut shared = BTreeSet::new();
            for contraction in contractions {
                let left = axes_of(&contraction.left);
                shared.extend(axes_of(&contraction.right).intersection(&left).filter(|axis| named.axes.contains(axis)));
            }
            let summed: BTreeSet<AxisId> = summed.iter().copied().collect();
            batches.entry((shared.into_iter().collect(), summed.into_iter().collect())).or_default().push(position);
        }
    }
    batches.into_iter().map(|((shared, summed), relations)| ProductBatch { shared, summed, relations }).collect()
}

/// Row relations in batches.
#[must_use]
pub fn zerochecks(statement: &Statement) -> Vec<ZerocheckBatch> {
    let mut batches: BTreeMap<Vec<AxisId>, (Vec<usize>, usize)> = BTreeMap::new();
    for (position, named) in statement.relations.iter().enumerate() {
        let degree = match &named.relation {
            Relation::Rows { monomials } => monomials.iter().map(|monomial| monomial.factors.len()).max().unwrap_or(0),
            Relation::Vanishing { .. } => 2,
            Relation::Product { .. } | Relation::Lookup(_) => continue,
        };
        let axes: BTreeSet<AxisId> = named.axes.iter().copied().collect();
        let entry = batches.entry(axes.into_iter().collect()).or_default();
        entry.0.push(position);
        entry.1 = entry.1.max(degree + 1);
    }
    batches.into_iter().map(|(axes, (relations, degree))| ZerocheckBatch { axes, relations, degree }).collect()
}

/// Axes that need a challenge point of their own: the free axes of products and the axes of boxes.
#[must_use]
pub fn challenged_axes(statement: &Statement) -> BTreeSet<AxisId> {
    let is_lookup = |relation: &Relation| matches!(relation, Relation::Lookup(_));
    let others = statement.relations.iter().filter(|named| !is_lookup(&named.relation));
    others.flat_map(|named| named.axes.iter().copied()).collect()
}

fn axes_of(access: &Access) -> BTreeSet<AxisId> {
    access.axes().collect()
}

/// Variables of a list of axes.
#[must_use]
pub fn variables(statement: &Statement, axes: &[AxisId]) -> usize {
    axes.iter().map(|&axis| statement.axis(axis).bits()).sum()
}
