//! Checks the opening of a commitment, message by message. Counts come from the plan and from the drawn positions, so that
//! nothing in a proof decides how much is read.

mod message;
mod reader;

pub use message::{Fold, Opening, Rows};
pub use reader::{Reader, Unreadable};

use obelysk_statement::eq::eq_table;
use obelysk_statement::fiat_shamir::{FiatShamir, Label};
use obelysk_statement::tree::Digest;
use obelysk_statement::whir::{
    ClaimGroup, Code, Misfit, OpeningPlan, encoded, evaluated, powers, row_coordinates, row_weight,
};
use obelysk_statement::words::word;
use obelysk_statement::{Challenge, Value};

use crate::tree::{root, sibling_count};

/// Why an opening is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    /// Claims about something else.
    #[error(transparent)]
    Claims(#[from] Misfit),
    /// The bytes are not those of an opening.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A proof of work is missing.
    #[error("a proof of work of {bits} bits in the opening is wrong")]
    Work {
        /// Bits asked for.
        bits: usize,
    },
    /// Rows that were not committed to.
    #[error("the opened rows of codeword {code} do not lead to its root")]
    Root {
        /// Which, from 0.
        code: usize,
    },
    /// The last polynomial is not what the last codeword folds to.
    #[error("the last polynomial contradicts row {row} of the last codeword")]
    Last {
        /// Which row.
        row: usize,
    },
    /// The folded claims do not hold.
    #[error("the committed values are not the claimed ones")]
    Values,
}

/// Weights that the queries of one codeword add.
struct Queried {
    /// Variables that were folded before.
    folded: usize,
    /// A power of the challenge and the coordinates of each row.
    rows: Vec<(Challenge, Vec<Value>)>,
}

/// An opening as far as it was read.
struct Walk<'a, 'b> {
    plan: &'a OpeningPlan,
    reader: &'a mut Reader<'b>,
    transcript: &'a mut FiatShamir,
    /// What is left to be shown: the sum of the weighted polynomial over all indices.
    sum: Challenge,
    /// Challenges of the folds.
    point: Vec<Challenge>,
}

/// Check that the polynomial under `root` takes the claimed values. The root and the values were absorbed before.
///
/// # Errors
/// Why the opening is not accepted.
pub fn verify(
    plan: &OpeningPlan,
    root: Digest,
    groups: &[ClaimGroup],
    reader: &mut Reader,
    transcript: &mut FiatShamir,
) -> Result<(), OpeningError> {
    plan.stack.check(groups)?;
    transcript.absorb(Label::OPEN, &[plan.variables() as u32, ClaimGroup::count(groups) as u32]);
    let alpha = transcript.challenge();
    let sum = ClaimGroup::sum(groups, alpha);
    let mut walk = Walk { plan, reader, transcript, sum, point: Vec::with_capacity(plan.variables()) };
    let mut queried = Vec::with_capacity(plan.codes.len());
    let mut roots = vec![root];
    for (index, code) in plan.codes.iter().enumerate() {
        if let Some(before) = index.checked_sub(1) {
            let root = walk.reader.digest()?;
            walk.transcript.absorb(Label::ROOT, &root.0);
            roots.push(root);
            let rows = walk.rows(before, roots[before])?;
            queried.push(walk.combine(rows));
        }
        walk.folds(code.fold, code.fold_grinding)?;
    }
    let last = walk.reader.challenges(1 << plan.last_variables)?;
    walk.transcript.absorb_challenges(Label::CLEAR, &last);
    let before = plan.codes.len() - 1;
    for (row, coordinates, value) in walk.rows(before, roots[before])? {
        if encoded(&last, &coordinates) != value {
            return Err(OpeningError::Last { row });
        }
    }
    walk.folds(plan.last_variables, plan.last_grinding)?;
    let Walk { sum, point, .. } = walk;
    let mut weight = plan.stack.weight(groups, alpha, &point);
    for Queried { folded, rows } in queried {
        weight += rows.iter().map(|(power, row)| *power * row_weight(row, &point[folded..])).sum::<Challenge>();
    }
    let value = evaluated(&last, &point[plan.variables() - plan.last_variables..]);
    if sum == weight * value { Ok(()) } else { Err(OpeningError::Values) }
}

impl Walk<'_, '_> {
    fn work(&mut self, bits: usize) -> Result<(), OpeningError> {
        if bits == 0 {
            return Ok(());
        }
        let witness = word(self.reader.value()?);
        if self.transcript.check(witness, bits) { Ok(()) } else { Err(OpeningError::Work { bits }) }
    }

    /// Rounds of a sumcheck of degree two, whose messages lack the linear coefficient: it follows from the sum.
    fn folds(&mut self, count: usize, grinding: usize) -> Result<(), OpeningError> {
        for _ in 0..count {
            let constant = self.reader.challenge()?;
            let square = self.reader.challenge()?;
            self.transcript.absorb_challenges(Label::FOLD, &[constant, square]);
            self.work(grinding)?;
            let challenge = self.transcript.challenge();
            let linear = self.sum - constant - constant - square;
            self.sum = constant + challenge * (linear + challenge * square);
            self.point.push(challenge);
        }
        Ok(())
    }

    /// The queried rows of a codeword whose folds are done: each with its coordinates and its fold.
    fn rows(&mut self, code: usize, expected: Digest) -> Result<Vec<(usize, Vec<Value>, Challenge)>, OpeningError> {
        let shape: &Code = &self.plan.codes[code];
        self.work(shape.query_grinding)?;
        let positions = self.transcript.positions(shape.queries, shape.log_rows());
        let weights = eq_table(&self.point[self.point.len() - shape.fold..]);
        let mut leaves = Vec::with_capacity(positions.len());
        let mut folded = Vec::with_capacity(positions.len());
        for &row in &positions {
            let (digest, value) = if code == 0 {
                let entries = self.reader.values(weights.len())?;
                let digest = Digest::of_row(entries.iter().map(|&entry| word(entry)));
                (digest, weights.iter().zip(entries).map(|(&weight, entry)| weight * entry).sum())
            } else {
                let entries = self.reader.challenges(weights.len())?;
                let digest = Digest::of_row(obelysk_statement::words::words_of(&entries));
                (digest, weights.iter().zip(entries).map(|(&weight, entry)| weight * entry).sum())
            };
            leaves.push(digest);
            folded.push((row, row_coordinates(shape, row), value));
        }
        let siblings = self.reader.digests(sibling_count(&positions, shape.log_rows()))?;
        if root(&positions, &leaves, &siblings, shape.log_rows()) == Some(expected) {
            Ok(folded)
        } else {
            Err(OpeningError::Root { code })
        }
    }

    /// Add what the rows say to what is left to be shown.
    fn combine(&mut self, rows: Vec<(usize, Vec<Value>, Challenge)>) -> Queried {
        let gamma = self.transcript.challenge();
        let weighted = rows.into_iter().zip(powers(gamma).skip(1)).map(|((_, coordinates, value), power)| {
            self.sum += power * value;
            (power, coordinates)
        });
        let rows = weighted.collect();
        Queried { folded: self.point.len(), rows }
    }
}
