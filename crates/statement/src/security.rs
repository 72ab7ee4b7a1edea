//! The accounting of a proof's soundness error: every step, summed.

use crate::Statement;
use crate::batch::{ProductBatch, ZerocheckBatch, variables};
use crate::lookup::{Block, log_leaves};
use crate::schedule::LOOKUP_GRINDING;
use crate::statement::CompileError;

/// Bits that every proof must reach.
pub const TARGET_BITS: f64 = 100.0;
/// Binary logarithm of the number of challenges: `(2^31 - 1)^4`.
const CHALLENGE_BITS: f64 = 123.99;

/// One step of a proof.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Name.
    pub name: &'static str,
    /// Error as bits: `2^-bits`.
    pub bits: f64,
    /// Of which grinding, in bits per site at most.
    pub grinding: usize,
}

/// Errors of all steps.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityReport {
    /// Steps in order.
    pub phases: Vec<Phase>,
}

impl SecurityReport {
    /// Bits of the sum of all errors.
    #[must_use]
    pub fn bits(&self) -> f64 {
        -self.phases.iter().map(|phase| (-phase.bits).exp2()).sum::<f64>().log2()
    }

    /// # Errors
    /// [`CompileError::Insecure`] below [`TARGET_BITS`].
    pub fn require_target(self) -> Result<Self, CompileError> {
        let bits = self.bits();
        if bits >= TARGET_BITS { Ok(self) } else { Err(CompileError::Insecure { bits: format!("{bits:.1}") }) }
    }
}

/// The lookup argument: a polynomial identity in the key challenges, then a tree of sumchecks.
#[must_use]
pub fn lookup(statement: &Statement, blocks: &[Block]) -> Option<Phase> {
    if blocks.is_empty() {
        return None;
    }
    let leaves = log_leaves(blocks);
    let widest = statement.tables.iter().map(|table| table.rows.width()).max().unwrap_or(1);
    // The identity has total degree (columns + 1) per leaf; grinding precedes its challenges.
    let identity = CHALLENGE_BITS + LOOKUP_GRINDING as f64 - leaves as f64 - ((widest + 1) as f64).log2();
    // Layer k: one batching challenge, k rounds of degree 2, one branch; then the point is used once.
    let tree: usize = (0..leaves).map(|layer| 2 * layer + 2).sum::<usize>() + leaves;
    let tree = CHALLENGE_BITS - (tree as f64).log2();
    let bits = -((-identity).exp2() + (-tree).exp2()).log2();
    Some(Phase { name: "lookups", bits, grinding: LOOKUP_GRINDING })
}

/// Products and zerochecks: the point of the outputs, the batching, the rounds.
#[must_use]
pub fn sumchecks(
    statement: &Statement,
    products: &[ProductBatch],
    zerochecks: &[ZerocheckBatch],
    point_variables: usize,
) -> Phase {
    let relations = statement.relations.len();
    let rounds: usize =
        products.iter().map(|batch| variables(statement, &batch.axes()) * batch.degree()).sum::<usize>()
            + zerochecks.iter().map(|batch| variables(statement, &batch.axes) * batch.degree).sum::<usize>();
    // Each relation fails at the shared point with at most its variables, and in the batch with its power of lambda.
    let terms = rounds + relations * (point_variables + relations);
    Phase { name: "sumchecks", bits: CHALLENGE_BITS - (terms as f64).log2(), grinding: 0 }
}
