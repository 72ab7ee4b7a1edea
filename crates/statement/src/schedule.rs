//! Parameters of the commitments: a function of role and size, the same on both sides.

use p3_whir::parameters::{FoldingFactor, ProtocolParameters, SecurityAssumption, WhirConfig};

use crate::circle::CircleCode;
use crate::layout::{Layout, Role};
use crate::statement::CompileError;
use crate::transcript::{Commitments, Transcript, merkle};
use crate::{Challenge, Value};

/// Grinding before the challenges of the lookup argument, in bits.
pub const LOOKUP_GRINDING: usize = 16;

/// What a commitment's code, folds and grinding are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Variables folded per round.
    pub folds: Vec<usize>,
    /// Binary logarithm of the inverse rate of the first codeword.
    pub log_inverse_rate: usize,
    /// Those of the later codewords.
    pub later_rates: Vec<usize>,
    /// Most bits of grinding per site.
    pub grinding: usize,
    /// Security of each term, in bits; the sum over terms is what counts.
    pub term_security: usize,
}

/// Variables left when the rest is sent in clear.
const LAST: usize = 6;

/// Commitments from here on, in variables, fold more at first: less is left to commit to and to hash.
const LARGE: usize = 32;

/// The first fold of a commitment of a role to `2^variables` cells.
fn first_fold(variables: usize, role: Role) -> usize {
    match role {
        _ if variables >= LARGE => 8,
        Role::Weight => 6,
        Role::Witness => 5,
    }
}

impl Schedule {
    /// The variables and the schedule of the commitment to a layout. A larger first fold pads narrow tables to more cells, never
    /// to fewer.
    #[must_use]
    pub fn of(layout: &Layout, role: Role) -> (usize, Self) {
        let fold = first_fold(layout.variables(first_fold(0, role)), role);
        let variables = layout.variables(fold);
        (variables, Self::new(variables, role))
    }

    /// Variables folded in the first round.
    #[must_use]
    pub fn first_fold(&self) -> usize {
        self.folds[0]
    }

    /// The schedule of a commitment to `2^variables` cells.
    fn new(variables: usize, role: Role) -> Self {
        let log_inverse_rate = match role {
            Role::Weight if variables <= 22 => 3,
            _ => 1,
        };
        let mut folds = vec![first_fold(variables, role)];
        let mut left = variables - folds[0];
        while left > LAST {
            let fold = left.min(4);
            folds.push(fold);
            left -= fold;
        }
        // A codeword may shrink from round to round, never grow, and its rate need not fall below 1/8.
        let mut rate = log_inverse_rate;
        let later_rates = folds[..folds.len() - 1]
            .iter()
            .map(|fold| {
                rate = (rate + fold - 1).min(3.max(rate));
                rate
            })
            .collect();
        let grinding = match variables {
            ..18 => 12,
            18..LARGE => 16,
            _ => 20,
        };
        // The union bound over a larger commitment has more and larger terms.
        let term_security = 104 + variables / 8;
        Self { folds, log_inverse_rate, later_rates, grinding, term_security }
    }

    /// The commitment scheme with this schedule.
    ///
    /// # Errors
    /// [`CompileError::Unsupported`] for a size that the code cannot hold.
    pub fn commitments(&self, variables: usize) -> Result<Commitments, CompileError> {
        let parameters = ProtocolParameters {
            starting_log_inv_rate: self.log_inverse_rate,
            round_log_inv_rates: self.later_rates.clone(),
            folding_factor: FoldingFactor::PerRound(self.folds.clone()),
            soundness_type: SecurityAssumption::UniqueDecoding,
            security_level: self.term_security,
            pow_bits: self.grinding,
        };
        let config = WhirConfig::<Challenge, Value, Transcript>::new_with_domain(variables, parameters, &CircleCode)
            .map_err(|error| CompileError::Unsupported(format!("a commitment to 2^{variables} cells: {error}")))?;
        Ok(Commitments::new(config, CircleCode, merkle()))
    }
}
