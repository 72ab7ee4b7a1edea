//! Claims about commitments, and the rounds of their openings: first on one table per group of claims, over the index of a column; then on
//! the folded columns.

use obelysk_prover::DeviceError;
use obelysk_prover::backend::{Evaluated, OpenedRows, OpeningRounds};
use obelysk_statement::Challenge;
use obelysk_statement::eq::{eq, eq_table};
use obelysk_statement::tree::Digest;
use obelysk_statement::whir::{ClaimGroup, Code, OpeningPlan, powers, row_coordinates};
use p3_field::PrimeCharacteristicRing;

use super::commitment::{ChallengeColumns, CommittedRows, StackColumns, commit, open};
use super::devices::Devices;
use super::weigh::EqTables;
use crate::device::Buffer;
use crate::extension::{Extension, extensions};
use crate::kernels::Kernels;
use crate::sum::Places;

/// An opening in progress: the sumcheck of an inner product.
pub(super) struct Opening<'a> {
    devices: &'a Devices,
    kernels: &'a Kernels,
    plan: &'a OpeningPlan,
    columns: StackColumns<'a>,
    tree: &'a CommittedRows,
    groups: &'a [ClaimGroup],
    alpha: Challenge,
    /// Challenges of the rounds over the index of a column.
    point: Vec<Challenge>,
    /// Per column and group, `eq` of the group's first coordinates; then the folded columns.
    values: Buffer<Extension>,
    /// What the claims of the group say of the column; then the weights of all claims.
    weights: Buffer<Extension>,
    /// Code words of the folded columns; none once it was queried.
    folds: Vec<Option<CommittedFold>>,
}

/// A code word of the challenges' field.
struct CommittedFold {
    tree: CommittedRows,
    values: Buffer<Extension>,
    code: Code,
}

/// Evaluate tiles at the points of their groups.
pub(super) fn evaluate(
    devices: &Devices,
    plan: &OpeningPlan,
    columns: &StackColumns,
    mut groups: Vec<ClaimGroup>,
) -> Result<Evaluated, DeviceError> {
    let (stack, count, kernels) = (&plan.stack, 1usize << plan.stack.fold, devices.first());
    let mut partial = Vec::with_capacity(groups.len());
    for group in &mut groups {
        let (head, rest) = stack.split(group);
        let mut rest = EqTables::new(devices, &rest);
        let mut sums = kernels.device.zeros(group.tiles.len() * count)?;
        for (place, &tile) in group.tiles.iter().enumerate() {
            let stacked = &stack.tiles[tile];
            let entries = columns.by_column(devices, 0, tile)?;
            let places = Places { elements: &mut sums, first: place * count, stride: 1 };
            rest.sum(0, &entries, stacked.column_arity, stacked.columns(stack.fold), places)?;
        }
        let sums = kernels.device.challenges(&sums)?;
        let own: Vec<Vec<Challenge>> = sums.chunks_exact(count).map(<[Challenge]>::to_vec).collect();
        let head = eq_table(&head);
        let value = |own: &Vec<Challenge>| own.iter().zip(&head).map(|(&value, &weight)| value * weight).sum();
        group.values = own.iter().map(value).collect();
        partial.push(own);
    }
    Ok(Evaluated { groups, partial })
}

impl<'a> Opening<'a> {
    /// Begin from partial evaluations.
    pub(super) fn new(
        devices: &'a Devices,
        plan: &'a OpeningPlan,
        columns: StackColumns<'a>,
        tree: &'a CommittedRows,
        claims: &'a Evaluated,
        alpha: Challenge,
    ) -> Result<Self, DeviceError> {
        let (count, groups, kernels) = (1usize << plan.stack.fold, claims.groups.len(), devices.first());
        let (mut values, mut weights) = (vec![Challenge::ZERO; count * groups], vec![Challenge::ZERO; count * groups]);
        let mut power = powers(alpha);
        for (place, (group, partial)) in claims.groups.iter().zip(&claims.partial).enumerate() {
            for (column, own) in eq_table(&plan.stack.split(group).0).into_iter().enumerate() {
                values[column * groups + place] = own;
            }
            for (partial, power) in partial.iter().zip(&mut power) {
                for (column, &own) in partial.iter().enumerate() {
                    weights[column * groups + place] += own * power;
                }
            }
        }
        let [values, weights] = [values, weights].map(|table| kernels.device.upload(&extensions(&table)));
        let (values, weights) = (values?, weights?);
        let point = Vec::with_capacity(plan.stack.fold);
        let groups = &claims.groups;
        Ok(Self { devices, kernels, plan, columns, tree, groups, alpha, point, values, weights, folds: Vec::new() })
    }

    /// The sum of all columns by `eq` of the challenges.
    fn folded(&self) -> Result<Buffer<Extension>, DeviceError> {
        let (kernels, stack) = (self.kernels, &self.plan.stack);
        let mut weights = EqTables::new(self.devices, &self.point);
        let mut sums = kernels.device.zeros(1 << stack.column_variables())?;
        for (tile, stacked) in stack.tiles.iter().enumerate() {
            let entries = self.columns.by_entry(self.devices, 0, tile)?;
            let places = Places { elements: &mut sums, first: stacked.offset, stride: 1 };
            weights.sum(0, &entries, stacked.arity.min(stack.fold), stacked.length(), places)?;
        }
        Ok(sums)
    }

    /// The weights of all claims on the folded columns.
    fn column_weights(&self) -> Result<Buffer<Extension>, DeviceError> {
        let (kernels, stack) = (self.kernels, &self.plan.stack);
        let mut weights = kernels.device.zeros(1 << stack.column_variables())?;
        let mut power = Challenge::ONE;
        for group in self.groups {
            let (head, rest) = stack.split(group);
            let scale = eq(&head, &self.point);
            let table = kernels.eq_table(&rest)?;
            for &tile in &group.tiles {
                kernels.add_scaled(&mut weights, stack.tiles[tile].offset, power * scale, &table)?;
                power *= self.alpha;
            }
        }
        Ok(weights)
    }
}

impl OpeningRounds for Opening<'_> {
    fn polynomial(&mut self) -> Result<[Challenge; 2], DeviceError> {
        self.kernels.inner_product_round(&self.values, &self.weights)
    }

    fn fold(&mut self, challenge: Challenge) -> Result<(), DeviceError> {
        self.kernels.bind(&mut self.values, challenge.into())?;
        self.kernels.bind(&mut self.weights, challenge.into())?;
        if self.point.len() < self.plan.stack.fold {
            self.point.push(challenge);
            if self.point.len() == self.plan.stack.fold {
                self.values = self.folded()?;
                self.weights = self.column_weights()?;
            }
        }
        Ok(())
    }

    fn encode(&mut self, code: &Code) -> Result<Digest, DeviceError> {
        let values = self.kernels.device.copy(&self.values)?;
        let columns = ChallengeColumns { values: &values, fold: code.fold };
        let tree = commit(self.devices, &columns, code)?;
        let root = tree.root();
        self.folds.push(Some(CommittedFold { tree, values, code: code.clone() }));
        Ok(root)
    }

    fn rows(&mut self, code: usize, positions: &[usize]) -> Result<OpenedRows, DeviceError> {
        let Some(before) = code.checked_sub(1) else {
            return open(self.devices, &self.columns, &self.plan.codes[0], self.tree, positions);
        };
        let CommittedFold { tree, values, code } = self.folds[before].take().expect("a code word is queried once");
        let columns = ChallengeColumns { values: &values, fold: code.fold };
        open(self.devices, &columns, &code, &tree, positions)
    }

    fn weigh_rows(&mut self, code: &Code, positions: &[usize], gamma: Challenge) -> Result<(), DeviceError> {
        let rows: Vec<_> = positions.iter().map(|&position| row_coordinates(code, position)).collect();
        let factors: Vec<Challenge> = powers(gamma).skip(1).take(rows.len()).collect();
        self.kernels.weigh_rows(&mut self.weights, &rows, &factors)
    }

    fn values(&mut self) -> Result<Vec<Challenge>, DeviceError> {
        self.kernels.device.challenges(&self.values)
    }
}
