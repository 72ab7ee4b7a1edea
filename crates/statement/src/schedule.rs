//! Parameters of the commitments: a function of role and size, the same on both sides.

use crate::layout::Role;

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

/// Commitments up to here, in variables, have a low first rate: few queries of what is cheap to encode.
const SMALL: usize = 22;
/// Commitments from here on, in variables, fold more at first: less is left to commit to and to hash.
const LARGE: usize = 31;

/// The first fold of a commitment of a role to about `2^variables` cells.
#[must_use]
pub fn first_fold(variables: usize, role: Role) -> usize {
    match role {
        _ if variables >= LARGE => 8,
        Role::Witness if variables > SMALL => 5,
        Role::Weight | Role::Witness => 6,
    }
}

impl Schedule {
    /// The schedule of a commitment to `2^variables` cells whose first round folds `first_fold` of them.
    #[must_use]
    pub fn new(variables: usize, first_fold: usize) -> Self {
        let log_inverse_rate = if variables <= SMALL { 3 } else { 1 };
        let mut folds = vec![first_fold];
        let mut left = variables - first_fold;
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
}
