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

/// The first fold of a commitment of a role.
#[must_use]
pub fn first_fold(role: Role) -> usize {
    match role {
        Role::Weight => 6,
        Role::Witness => 5,
    }
}

impl Schedule {
    /// The schedule of a commitment to `2^variables` cells.
    #[must_use]
    pub fn new(variables: usize, role: Role) -> Self {
        let log_inverse_rate = match role {
            Role::Weight if variables <= 22 => 3,
            _ => 1,
        };
        let mut folds = vec![first_fold(role)];
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
        let grinding = if variables < 18 { 12 } else { 16 };
        // The union bound over a larger commitment has more and larger terms.
        let term_security = 104 + variables / 8;
        Self { folds, log_inverse_rate, later_rates, grinding, term_security }
    }

    /// Variables folded by the first round.
    #[must_use]
    pub fn first_fold(&self) -> usize {
        self.folds[0]
    }
}
