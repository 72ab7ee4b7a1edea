//! The statement as a contract follows it: no axis, tensor or relation is left, only how many rounds there are, and programs over a
//! tape of challenges. A plan is a constant of model and shape: tokens are public words.
//!
//! A proof's transcript absorbs the statement's digest, which a contract cannot recompute; what a contract records names the digests
//! of both, and whoever knows the model recomputes both.

mod claims;
mod equations;
mod inputs;
mod opening;
mod point;
mod program;
mod public;
mod shape;
mod table;

use obelysk_statement::blake2s::{hash_words, initial};
use obelysk_statement::plan::Plan;
use obelysk_statement::tree::Digest;
use obelysk_statement::{CompileError, Statement};

pub use program::{CONSTANTS, Operation};
pub use shape::{CodeShape, OpeningShape, Shape, Sumcheck, VERSION};

use claims::Claims;
use equations::Equations;
use inputs::Inputs;

/// State before the first block of a part of a plan.
const PART: [u32; 8] = initial(*b"obelpart");
/// State before the first block of the digests of all parts.
const PLAN: [u32; 8] = initial(*b"obelplan");

/// A plan: parts of entries of 16 bits, which a contract reads one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractPlan {
    /// The first part as numbers.
    pub shape: Shape,
    /// Numbers of rounds, degrees, claims, codes and queries.
    pub header: Vec<u16>,
    /// The equations that claimed values satisfy.
    pub equations: Vec<u16>,
    /// Per commitment: what its claims say at the end of its opening.
    pub openings: Vec<Vec<u16>>,
}

impl ContractPlan {
    /// Compile a statement.
    ///
    /// # Errors
    /// [`CompileError::Unsupported`] for what the encoding has no room for.
    pub fn new(statement: &Statement) -> Result<Self, CompileError> {
        let plan = Plan::new(statement)?;
        let inputs = Inputs::new(&plan);
        let mut claims = Claims::new(plan.commitments.len());
        // Claims are grouped once all are known: the first time over finds them.
        Equations::write(&plan, &inputs, &mut claims, 0);
        claims.settle(inputs.length);
        let values: usize = (0..plan.commitments.len()).map(|commitment| claims.count(commitment)).sum();
        let equations = Equations::write(&plan, &inputs, &mut claims, values as u32).finish()?;
        let openings = plan.commitments.iter().zip(&claims.groups);
        let openings = openings
            .map(|(committed, groups)| opening::write(&committed.opening.stack, groups, inputs.length).finish());
        let shape = Shape::new(&plan, &inputs, &claims)?;
        let header = shape.encode()?;
        Ok(Self { shape, header, equations, openings: openings.collect::<Result<_, _>>()? })
    }

    /// The parts in order.
    pub fn parts(&self) -> impl Iterator<Item = &[u16]> {
        [&self.header, &self.equations].into_iter().chain(&self.openings).map(Vec::as_slice)
    }

    /// The digest of every part, and of these.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of_state(hash_words(PLAN, self.parts().flat_map(|part| part_digest(part).0)))
    }
}

/// The digest of a part: an entry is a word.
#[must_use]
pub fn part_digest(part: &[u16]) -> Digest {
    Digest::of_state(hash_words(PART, part.iter().map(|&entry| entry.into())))
}
