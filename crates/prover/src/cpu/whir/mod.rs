//! Commitments on the processor, and the loops of their openings.

mod cells;
mod codeword;
mod coordinates;
mod rounds;
mod transform;

pub use cells::{Cells, Tiles};
pub use codeword::{Codeword, Columns, Keep};
pub use coordinates::Coordinates;

use obelysk_statement::eq::eq_table;
use obelysk_statement::fiat_shamir::FiatShamir;
use obelysk_statement::whir::{ClaimGroup, OpeningPlan};
use obelysk_statement::{Challenge, Value};
use obelysk_verifier::whir::Opening;
use rayon::prelude::*;

use crate::backend::{DeviceError, Evaluated};
use crate::whir::open;
use cells::{StackColumns, partial_evaluations};
pub(super) use rounds::Rounds;
pub(crate) use transform::halfway_bytes;

/// Commit to the tiles of a plan's stack.
#[must_use]
pub fn commit<C: Cells>(plan: &OpeningPlan, cells: &C, keep: Keep) -> Codeword {
    let columns = StackColumns { stack: &plan.stack, cells };
    Codeword::new(&columns, plan.codes[0].log_inverse_rate, keep)
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

impl<C: Cells> CommittedTiles<'_, C> {
    /// Open at claims whose values were absorbed, as was the root.
    ///
    /// # Errors
    /// None on a processor.
    pub fn open(&self, claims: &Evaluated, transcript: &mut FiatShamir) -> Result<Opening, DeviceError> {
        let cells = |tile: usize, first: usize, output: &mut [Value]| self.cells.read(tile, first, output);
        let rounds = |alpha| Box::new(Rounds::new(self.plan, self.codeword, cells, claims, alpha));
        open(self.plan, &claims.groups, |alpha| Ok(rounds(alpha)), transcript)
    }
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
