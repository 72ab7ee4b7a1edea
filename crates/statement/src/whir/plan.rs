//! Codes, folds, queries and grinding of an opening: a function of its size and its schedule.

use p3_blake3::Blake3;
use p3_challenger::{HashChallenger, SerializingChallenger32};
use p3_whir::parameters::{FoldingFactor, ProtocolParameters, SecurityAssumption, WhirConfig};

use super::stack::Stack;
use crate::circle::CircleCode;
use crate::fiat_shamir::MOST_GRINDING;
use crate::schedule::Schedule;
use crate::statement::CompileError;
use crate::{Challenge, Value};

/// The configuration's type asks for a transcript; nothing of it is used.
type AnyTranscript = SerializingChallenger32<Value, HashChallenger<u8, Blake3, 32>>;

/// One codeword: the polynomial that is left, cut into columns, each encoded on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Variables of the polynomial.
    pub variables: usize,
    /// Of these, how many are folded next: binary logarithm of the number of columns.
    pub fold: usize,
    /// Binary logarithm of the inverse rate.
    pub log_inverse_rate: usize,
    /// Bits of work before the challenge of each fold.
    pub fold_grinding: usize,
    /// Rows that are opened, drawn with repetition.
    pub queries: usize,
    /// Bits of work before they are drawn.
    pub query_grinding: usize,
}

/// Everything about an opening that does not depend on values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningPlan {
    /// The tiles of the commitment.
    pub stack: Stack,
    /// Codewords in order. The first is over the base field, the others over the challenges' field.
    pub codes: Vec<Code>,
    /// Variables of the polynomial that is sent in clear.
    pub last_variables: usize,
    /// Bits of work before the challenge of each of its folds.
    pub last_grinding: usize,
}

impl Code {
    /// Variables of a column.
    #[must_use]
    pub fn column_variables(&self) -> usize {
        self.variables - self.fold
    }

    /// Binary logarithm of the number of rows: the depth of the tree.
    #[must_use]
    pub fn log_rows(&self) -> usize {
        self.column_variables() + self.log_inverse_rate
    }

    /// Binary logarithm of the number of entries of all rows.
    #[must_use]
    pub fn log_entries(&self) -> usize {
        self.log_rows() + self.fold
    }
}

impl OpeningPlan {
    /// Variables of the polynomial.
    #[must_use]
    pub fn variables(&self) -> usize {
        self.stack.variables
    }

    /// The opening of a commitment to the tiles of `stack`.
    ///
    /// # Errors
    /// [`CompileError::Unsupported`] for a size that the code cannot hold or a schedule that does not reach its
    /// security or does not fold the stack's columns first.
    pub fn new(stack: Stack, schedule: &Schedule) -> Result<Self, CompileError> {
        let variables = stack.variables;
        let refuse = |reason: &str| CompileError::Unsupported(format!("an opening of 2^{variables} cells: {reason}"));
        let parameters = schedule.protocol_parameters();
        let config = WhirConfig::<Challenge, Value, AnyTranscript>::new_with_domain(variables, parameters, &CircleCode)
            .map_err(|error| refuse(&error.to_string()))?;
        let rounds = config.round_parameters();
        let mut left = variables;
        let mut codes = Vec::with_capacity(rounds.len() + 1);
        for (index, &fold) in config.folding_schedule().iter().enumerate() {
            let before = index.checked_sub(1).map(|before| &rounds[before]);
            let (queries, query_grinding) = match rounds.get(index) {
                Some(round) => (round.num_queries, round.pow_bits),
                None => (config.terminal().num_queries, config.terminal().pow_bits),
            };
            codes.push(Code {
                variables: left,
                fold,
                log_inverse_rate: before.map_or(schedule.log_inverse_rate, |round| round.log_inv_rate),
                fold_grinding: before.map_or(config.starting_folding_pow_bits(), |round| round.folding_pow_bits),
                queries,
                query_grinding,
            });
            left -= fold;
        }
        if config.commitment_ood_samples() != 0 || rounds.iter().any(|round| round.ood_samples != 0) {
            return Err(refuse("unique decoding samples nothing out of the domain"));
        }
        if codes.first().is_none_or(|code| code.fold != stack.fold) {
            return Err(refuse(&format!("its columns are cut for a first fold of {}", stack.fold)));
        }
        if left == 0 {
            return Err(refuse("its folds leave no polynomial to send in clear"));
        }
        if schedule.grinding > MOST_GRINDING {
            return Err(refuse(&format!("{} bits of grinding; at most {MOST_GRINDING}", schedule.grinding)));
        }
        Ok(Self { stack, codes, last_variables: left, last_grinding: config.final_folding_pow_bits() })
    }
}

impl Schedule {
    /// The schedule as Plonky3 has it.
    #[must_use]
    pub fn protocol_parameters(&self) -> ProtocolParameters {
        ProtocolParameters {
            starting_log_inv_rate: self.log_inverse_rate,
            round_log_inv_rates: self.later_rates.clone(),
            folding_factor: FoldingFactor::PerRound(self.folds.clone()),
            soundness_type: SecurityAssumption::UniqueDecoding,
            security_level: self.term_security,
            pow_bits: self.grinding,
        }
    }
}
