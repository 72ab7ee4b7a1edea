//! The rounds of an opening: first on one table per group of claims, over the index of a column; then on the folded columns.

use obelysk_statement::eq::{eq, eq_table};
use obelysk_statement::tree::Digest;
use obelysk_statement::whir::{ClaimGroup, Code, OpeningPlan, powers, row_coordinates};
use obelysk_statement::{Challenge, Value};
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;

use super::cells::{Cells, ChallengeColumns, folded};
use super::codeword::{Codeword, Keep};
use super::coordinates::{Coordinates, add_product, add_scaled, round};
use crate::backend::{DeviceError, Evaluated, OpenedRows, OpeningRounds};
use crate::bind::bind;

/// An opening in progress.
pub(in crate::cpu) struct Rounds<'a, C> {
    plan: &'a OpeningPlan,
    codeword: &'a Codeword,
    cells: C,
    groups: &'a [ClaimGroup],
    alpha: Challenge,
    /// Challenges of the rounds over the index of a column.
    point: Vec<Challenge>,
    state: State,
    /// Code words of the folded columns; none once it was queried.
    folds: Vec<Option<CommittedFold>>,
}

enum State {
    /// Per group: `eq` of its first coordinates, and what its claims say of every column.
    Columns(Vec<(Vec<Challenge>, Vec<Challenge>)>),
    /// The folded columns, and the weights of all claims on them.
    Entries(Coordinates, Coordinates),
}

/// A code word of the challenges' field.
struct CommittedFold {
    codeword: Codeword,
    values: Coordinates,
    fold: usize,
}

impl<'a, C: Cells> Rounds<'a, C> {
    /// Begin from partial evaluations.
    pub(in crate::cpu) fn new(
        plan: &'a OpeningPlan,
        codeword: &'a Codeword,
        cells: C,
        claims: &'a Evaluated,
        alpha: Challenge,
    ) -> Self {
        let mut weights = powers(alpha);
        let tables = claims.groups.iter().zip(&claims.partial).map(|(group, partial)| {
            let mut sum = vec![Challenge::ZERO; 1 << plan.stack.fold];
            for (partial, weight) in partial.iter().zip(&mut weights) {
                sum.iter_mut().zip(partial).for_each(|(sum, &value)| *sum += value * weight);
            }
            (eq_table(&plan.stack.split(group).0), sum)
        });
        let state = State::Columns(tables.collect());
        let point = Vec::with_capacity(plan.stack.fold);
        Self { plan, codeword, cells, groups: &claims.groups, alpha, point, state, folds: Vec::new() }
    }

    fn entries(&mut self) -> (&mut Coordinates, &mut Coordinates) {
        match &mut self.state {
            State::Entries(values, weights) => (values, weights),
            State::Columns(_) => unreachable!("the columns are folded first"),
        }
    }
}

impl<C: Cells> OpeningRounds for Rounds<'_, C> {
    fn polynomial(&mut self) -> Result<[Challenge; 2], DeviceError> {
        Ok(match &self.state {
            State::Columns(tables) => {
                let mut coefficients = [Challenge::ZERO; 2];
                for (left, right) in tables {
                    let half = left.len() / 2;
                    for index in 0..half {
                        coefficients[0] += left[index] * right[index];
                        coefficients[1] += (left[half + index] - left[index]) * (right[half + index] - right[index]);
                    }
                }
                coefficients
            }
            State::Entries(values, weights) => round(values, weights),
        })
    }

    fn fold(&mut self, challenge: Challenge) -> Result<(), DeviceError> {
        match &mut self.state {
            State::Columns(tables) => {
                for (left, right) in tables {
                    bind(left, challenge);
                    bind(right, challenge);
                }
                self.point.push(challenge);
                if self.point.len() == self.plan.stack.fold {
                    let values = folded(&self.plan.stack, &self.cells, &eq_table(&self.point));
                    self.cells.check()?;
                    let weights = column_weights(self.plan, self.groups, self.alpha, &self.point);
                    self.state = State::Entries(values, weights);
                }
            }
            State::Entries(values, weights) => {
                values.bind(challenge);
                weights.bind(challenge);
            }
        }
        Ok(())
    }

    fn encode(&mut self, code: &Code) -> Result<Digest, DeviceError> {
        let values = self.entries().0.clone();
        let columns = ChallengeColumns { values: &values, fold: code.fold };
        let codeword = Codeword::new(&columns, code.log_inverse_rate, Keep::of_challenges(code));
        let root = codeword.root();
        self.folds.push(Some(CommittedFold { codeword, values, fold: code.fold }));
        Ok(root)
    }

    fn rows(&mut self, code: usize, positions: &[usize]) -> Result<OpenedRows, DeviceError> {
        let Some(before) = code.checked_sub(1) else {
            let rows = self.codeword.open_tiles(&self.plan.stack, &self.cells, positions);
            return self.cells.check().map(|()| rows);
        };
        let CommittedFold { codeword, values, fold } = self.folds[before].take().expect("a code word is queried once");
        Ok(codeword.open(&ChallengeColumns { values: &values, fold }, positions))
    }

    fn weigh_rows(&mut self, code: &Code, positions: &[usize], gamma: Challenge) -> Result<(), DeviceError> {
        add_rows(code, positions, gamma, self.entries().1);
        Ok(())
    }

    fn values(&mut self) -> Result<Vec<Challenge>, DeviceError> {
        Ok(self.entries().0.to_vec())
    }
}

/// The weights of all claims on the folded columns.
fn column_weights(plan: &OpeningPlan, groups: &[ClaimGroup], alpha: Challenge, point: &[Challenge]) -> Coordinates {
    let mut weights = Coordinates::zero(1 << plan.stack.column_variables());
    let mut power = Challenge::ONE;
    for group in groups {
        let (head, rest) = plan.stack.split(group);
        let scale = eq(&head, point);
        let table = Coordinates::eq_table(&rest);
        for &tile in &group.tiles {
            let target = weights.part_mut(plan.stack.tiles[tile].offset, table.len());
            add_product(target, power * scale, table.part(0, table.len()));
            power *= alpha;
        }
    }
    weights
}

/// Add the weights of queried rows: a power of the challenge times the products of the row's coordinates.
fn add_rows(code: &Code, positions: &[usize], gamma: Challenge, weights: &mut Coordinates) {
    let rows: Vec<Vec<Value>> = positions.iter().map(|&position| row_coordinates(code, position)).collect();
    // The coordinates of an index within a task, and those of the task.
    let low = code.column_variables().min(10);
    let inner: Vec<Vec<Value>> = rows.iter().map(|row| products(&row[row.len() - low..], Value::ONE)).collect();
    let outer: Vec<Vec<Challenge>> =
        rows.iter().zip(powers(gamma).skip(1)).map(|(row, power)| products(&row[..row.len() - low], power)).collect();
    weights.parts_mut(1 << low).enumerate().for_each(|(task, [a, b, c, d])| {
        for (inner, outer) in inner.iter().zip(&outer) {
            add_scaled([&mut *a, &mut *b, &mut *c, &mut *d], outer[task], inner);
        }
    });
}

/// `scale` times the product of the coordinates at which an index has a one, for every index.
fn products<S: PrimeCharacteristicRing + Copy + std::ops::Mul<Value, Output = S>>(
    coordinates: &[Value],
    scale: S,
) -> Vec<S> {
    let mut table = vec![scale];
    for &coordinate in coordinates {
        table = table.iter().flat_map(|&value| [value, value * coordinate]).collect();
    }
    table
}
