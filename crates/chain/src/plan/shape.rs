//! Everything about a proof but its equations: how many rounds, claims, codes and queries it has.

use obelysk_statement::CompileError;
use obelysk_statement::batch::variables;
use obelysk_statement::layout::Role;
use obelysk_statement::plan::{Committed, Plan};
use obelysk_statement::schedule::LOOKUP_GRINDING;

use super::claims::Claims;
use super::inputs::Inputs;

/// Version of the encoding, the first entry of a plan.
pub const VERSION: u16 = 1;

/// A sumcheck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sumcheck {
    /// Rounds.
    pub variables: usize,
    /// Degree of each round's polynomial, 2 to 4.
    pub degree: usize,
}

/// One codeword of an opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeShape {
    /// Variables that are folded before its rows are opened.
    pub fold: usize,
    /// Depth of its tree.
    pub log_rows: usize,
    /// Bits of work before the challenge of each fold.
    pub fold_grinding: usize,
    /// Rows that are drawn.
    pub queries: usize,
    /// Bits of work before they are.
    pub query_grinding: usize,
}

/// One opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningShape {
    /// Whether it is of the witness, whose root is a message of the proof.
    pub witness: bool,
    /// Claims about it.
    pub claims: usize,
    /// Variables of the polynomial.
    pub variables: usize,
    /// Codewords in order.
    pub codes: Vec<CodeShape>,
    /// Variables of the polynomial in clear.
    pub last_variables: usize,
    /// Bits of work before the challenge of each of its folds.
    pub last_grinding: usize,
}

/// The shape of a proof, in the order in which it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Words of public inputs.
    pub public_words: usize,
    /// Binary logarithm of the number of leaves of the lookup argument; 0 without one.
    pub log_leaves: usize,
    /// Bits of work before it.
    pub lookup_grinding: usize,
    /// Challenges of the axes' points.
    pub axis_challenges: usize,
    /// Product sumchecks.
    pub products: Vec<Sumcheck>,
    /// Zerochecks.
    pub zerochecks: Vec<Sumcheck>,
    /// Openings.
    pub openings: Vec<OpeningShape>,
}

impl Shape {
    /// # Errors
    /// [`CompileError::Unsupported`] for rows or rounds that a contract does not read.
    pub(super) fn new(plan: &Plan, inputs: &Inputs, claims: &Claims) -> Result<Self, CompileError> {
        let statement = plan.statement;
        let openings = plan.commitments.iter().enumerate();
        let zerochecks = plan.zerochecks.iter().map(|batch| {
            if !(2..=4).contains(&batch.degree) {
                return Err(CompileError::Unsupported(format!("a zerocheck of degree {} in a contract", batch.degree)));
            }
            Ok(Sumcheck { variables: variables(statement, &batch.axes), degree: batch.degree })
        });
        Ok(Self {
            public_words: statement.public_inputs().len(),
            log_leaves: if plan.blocks.is_empty() { 0 } else { plan.log_leaves() },
            lookup_grinding: LOOKUP_GRINDING,
            axis_challenges: inputs.axis_challenges as usize,
            products: plan
                .products
                .iter()
                .map(|batch| Sumcheck { variables: variables(statement, &batch.axes()), degree: batch.degree() })
                .collect(),
            zerochecks: zerochecks.collect::<Result<_, _>>()?,
            openings: openings
                .map(|(place, committed)| OpeningShape::new(committed, claims.count(place)))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The entries of the plan's first part.
    ///
    /// # Errors
    /// [`CompileError::Unsupported`] for a number of more than 16 bits.
    pub(super) fn encode(&self) -> Result<Vec<u16>, CompileError> {
        let mut numbers: Vec<usize> = vec![VERSION.into(), self.public_words];
        numbers.extend([self.log_leaves, self.lookup_grinding, self.axis_challenges]);
        for sumchecks in [&self.products, &self.zerochecks] {
            numbers.push(sumchecks.len());
            numbers.extend(sumchecks.iter().flat_map(|sumcheck| [sumcheck.variables, sumcheck.degree]));
        }
        numbers.push(self.openings.len());
        for opening in &self.openings {
            numbers.extend([opening.witness.into(), opening.claims, opening.variables, opening.codes.len()]);
            for code in &opening.codes {
                numbers.extend([code.fold, code.log_rows, code.fold_grinding, code.queries, code.query_grinding]);
            }
            numbers.extend([opening.last_variables, opening.last_grinding]);
        }
        let entries = numbers.into_iter().map(u16::try_from).collect::<Result<_, _>>();
        entries.map_err(|_| CompileError::Unsupported("a number of a plan has more than 16 bits".into()))
    }
}

impl OpeningShape {
    fn new(committed: &Committed, claims: usize) -> Result<Self, CompileError> {
        let opening = &committed.opening;
        let codes = opening.codes.iter().enumerate().map(|(place, code)| {
            // Rows are whole felts of eight words; a challenge is four.
            if code.fold < if place == 0 { 3 } else { 1 } {
                return Err(CompileError::Unsupported("rows of fewer than eight words in a contract".into()));
            }
            // A sum of as many powers of two is below the modulus of felts.
            if code.queries > QUERIES_MAX {
                let reason = format!("{} queries in a contract, which sorts {QUERIES_MAX}", code.queries);
                return Err(CompileError::Unsupported(reason));
            }
            Ok(CodeShape {
                fold: code.fold,
                log_rows: code.log_rows(),
                fold_grinding: code.fold_grinding,
                queries: code.queries,
                query_grinding: code.query_grinding,
            })
        });
        Ok(Self {
            witness: committed.role == Role::Witness,
            claims,
            variables: opening.variables(),
            codes: codes.collect::<Result<_, _>>()?,
            last_variables: opening.last_variables,
            last_grinding: opening.last_grinding,
        })
    }
}

/// Most rows that a contract draws of one codeword.
pub const QUERIES_MAX: usize = 240;
