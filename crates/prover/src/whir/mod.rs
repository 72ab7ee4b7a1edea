//! Opens a commitment: the other side of the verifier's folder of the same name.

mod cells;
mod codeword;
mod coordinates;
mod transform;

pub use cells::{Cells, Tiles};
pub use codeword::{Codeword, Columns, Keep, OpenedRows};
pub use coordinates::Coordinates;

use obelysk_statement::eq::{eq, eq_table};
use obelysk_statement::fiat_shamir::{FiatShamir, Label};
use obelysk_statement::whir::{ClaimGroup, Code, OpeningPlan, powers, row_coordinates};
use obelysk_statement::{Challenge, Value};
use obelysk_verifier::whir::{Fold, Opening, Rows};
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;

use crate::backend::DeviceError;
use crate::bind::bind;
pub(crate) use cells::folded;
use cells::{ChallengeColumns, StackColumns, partial_evaluations};
use coordinates::{add_product, add_scaled, round};
pub(crate) use transform::halfway_bytes;

/// Commit to the tiles of a plan's stack.
#[must_use]
pub fn commit<C: Cells>(plan: &OpeningPlan, cells: &C, keep: Keep) -> Codeword {
    let columns = StackColumns { stack: &plan.stack, cells };
    Codeword::new(&columns, plan.codes[0].log_inverse_rate, keep)
}

/// A commitment that can be opened. Everything that reads the committed cells is behind this, so that another device can
/// hold them.
pub trait Committed {
    /// The sum of `weights[column] * column`.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn folded(&self, weights: &[Challenge]) -> Result<Coordinates, DeviceError>;
    /// Rows of the codeword at sorted, distinct positions.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn open(&self, positions: &[usize]) -> Result<OpenedRows, DeviceError>;
}

/// A codeword of tiles in the memory of the processor.
pub struct CommittedTiles<'a, C> {
    /// Where the tiles lie.
    pub plan: &'a OpeningPlan,
    /// Their codeword.
    pub codeword: &'a Codeword,
    /// Their entries.
    pub cells: &'a C,
}

impl<C: Cells> Committed for CommittedTiles<'_, C> {
    fn folded(&self, weights: &[Challenge]) -> Result<Coordinates, DeviceError> {
        Ok(folded(&self.plan.stack, self.cells, weights))
    }

    fn open(&self, positions: &[usize]) -> Result<OpenedRows, DeviceError> {
        Ok(self.codeword.open_tiles(&self.plan.stack, self.cells, positions))
    }
}

/// A codeword of the challenges' field.
struct CommittedFold {
    codeword: Codeword,
    values: Coordinates,
    fold: usize,
}

impl CommittedFold {
    fn new(values: &Coordinates, code: &Code) -> Self {
        let values = values.clone();
        let columns = ChallengeColumns { values: &values, fold: code.fold };
        let codeword = Codeword::new(&columns, code.log_inverse_rate, Keep::of_challenges(code));
        Self { codeword, values, fold: code.fold }
    }

    fn open(&self, positions: &[usize]) -> OpenedRows {
        self.codeword.open(&ChallengeColumns { values: &self.values, fold: self.fold }, positions)
    }
}

/// Claims with what their openings begin from.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The claims.
    pub groups: Vec<ClaimGroup>,
    /// One value per column for each claim of each group.
    pub partial: Vec<Vec<Vec<Challenge>>>,
}

/// Evaluate the tiles of groups at the groups' points: what a prover claims.
#[must_use]
pub fn evaluate<C: Cells>(plan: &OpeningPlan, cells: &C, groups: Vec<ClaimGroup>) -> Evaluated {
    let evaluated = groups.into_par_iter().map(|mut group| {
        let (head, rest) = plan.stack.split(&group);
        let (head, rest) = (eq_table(&head), Coordinates::eq_table(&rest));
        let tiles = group.tiles.par_iter();
        let partial: Vec<Vec<Challenge>> =
            tiles.map(|&tile| partial_evaluations(&plan.stack, cells, tile, &rest)).collect();
        let value = |partial: &Vec<Challenge>| partial.iter().zip(&head).map(|(&value, &weight)| value * weight).sum();
        group.values = partial.iter().map(value).collect();
        (group, partial)
    });
    let (groups, partial) = evaluated.unzip();
    Evaluated { groups, partial }
}

/// Open a commitment at claims whose values were absorbed, as was its root.
///
/// # Errors
/// What the device reports.
pub fn open(
    plan: &OpeningPlan,
    committed: &impl Committed,
    claims: &Evaluated,
    transcript: &mut FiatShamir,
) -> Result<Opening, DeviceError> {
    transcript.absorb(Label::OPEN, &[plan.variables() as u32, ClaimGroup::count(&claims.groups) as u32]);
    let alpha = transcript.challenge();
    let mut opening =
        Opening { folds: Vec::new(), roots: Vec::new(), rows: Vec::new(), last: Vec::new(), last_folds: Vec::new() };

    let (folds, mut point) = first_folds(plan, claims, alpha, transcript);
    opening.folds.push(folds);
    let mut values = committed.folded(&eq_table(&point))?;
    let mut weights = column_weights(plan, &claims.groups, alpha, &point);

    let mut before: Option<CommittedFold> = None;
    let open_before = |before: &Option<CommittedFold>, positions: &[usize]| match before {
        None => committed.open(positions),
        Some(fold) => Ok(fold.open(positions)),
    };
    for (last, code) in plan.codes.iter().zip(&plan.codes[1..]) {
        let fold = CommittedFold::new(&values, code);
        transcript.absorb(Label::ROOT, &fold.codeword.root().0);
        opening.roots.push(fold.codeword.root());
        let (rows, positions) = open_rows(last, transcript, |positions| open_before(&before, positions))?;
        opening.rows.push(rows);
        before = Some(fold);
        add_rows(last, &positions, transcript.challenge(), &mut weights);
        opening.folds.push(later_folds(
            code.fold,
            code.fold_grinding,
            &mut values,
            &mut weights,
            &mut point,
            transcript,
        ));
    }

    opening.last = values.to_vec();
    transcript.absorb_challenges(Label::CLEAR, &opening.last);
    let last = &plan.codes[plan.codes.len() - 1];
    opening.rows.push(open_rows(last, transcript, |positions| open_before(&before, positions))?.0);
    let (count, grinding) = (plan.last_variables, plan.last_grinding);
    opening.last_folds = later_folds(count, grinding, &mut values, &mut weights, &mut point, transcript);
    Ok(opening)
}

/// The rounds before the columns are folded, on one table per group.
fn first_folds(
    plan: &OpeningPlan,
    evaluated: &Evaluated,
    alpha: Challenge,
    transcript: &mut FiatShamir,
) -> (Vec<Fold>, Vec<Challenge>) {
    let mut weights = powers(alpha);
    let mut tables: Vec<(Vec<Challenge>, Vec<Challenge>)> = Vec::with_capacity(evaluated.groups.len());
    for (group, partial) in evaluated.groups.iter().zip(&evaluated.partial) {
        let mut sum = vec![Challenge::ZERO; 1 << plan.stack.fold];
        for (partial, weight) in partial.iter().zip(&mut weights) {
            sum.iter_mut().zip(partial).for_each(|(sum, &value)| *sum += value * weight);
        }
        tables.push((eq_table(&plan.stack.split(group).0), sum));
    }
    let code = &plan.codes[0];
    let mut folds = Vec::with_capacity(code.fold);
    let mut point = Vec::with_capacity(plan.variables());
    for _ in 0..code.fold {
        let mut coefficients = [Challenge::ZERO; 2];
        for (left, right) in &tables {
            let half = left.len() / 2;
            for index in 0..half {
                coefficients[0] += left[index] * right[index];
                coefficients[1] += (left[half + index] - left[index]) * (right[half + index] - right[index]);
            }
        }
        let (fold, challenge) = send(coefficients, code.fold_grinding, transcript);
        folds.push(fold);
        point.push(challenge);
        for (left, right) in &mut tables {
            bind(left, challenge);
            bind(right, challenge);
        }
    }
    (folds, point)
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

fn send(coefficients: [Challenge; 2], grinding: usize, transcript: &mut FiatShamir) -> (Fold, Challenge) {
    transcript.absorb_challenges(Label::FOLD, &coefficients);
    let work = work(grinding, transcript);
    (Fold { coefficients, work }, transcript.challenge())
}

fn work(bits: usize, transcript: &mut FiatShamir) -> Option<u32> {
    (bits > 0).then(|| crate::messages::work(bits, transcript))
}

fn open_rows(
    code: &Code,
    transcript: &mut FiatShamir,
    open: impl FnOnce(&[usize]) -> Result<OpenedRows, DeviceError>,
) -> Result<(Rows, Vec<usize>), DeviceError> {
    let work = work(code.query_grinding, transcript);
    let positions = transcript.positions(code.queries, code.log_rows());
    let OpenedRows { entries, siblings } = open(&positions)?;
    Ok((Rows { work, entries, siblings }, positions))
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

fn later_folds(
    count: usize,
    grinding: usize,
    values: &mut Coordinates,
    weights: &mut Coordinates,
    point: &mut Vec<Challenge>,
    transcript: &mut FiatShamir,
) -> Vec<Fold> {
    let mut folds = Vec::with_capacity(count);
    for _ in 0..count {
        let (fold, challenge) = send(round(values, weights), grinding, transcript);
        values.bind(challenge);
        weights.bind(challenge);
        folds.push(fold);
        point.push(challenge);
    }
    folds
}
