//! What a device does for the prover. Every verb is an exact function of its arguments, so every device makes the same proof; what
//! depends on an order, the transcript and the claims, never leaves the driver.

use obelysk_statement::batch::ProductBatch;
use obelysk_statement::plan::{Committed, Plan};
use obelysk_statement::point::AxisPoints;
use obelysk_statement::relation::Contraction;
use obelysk_statement::tree::Digest;
use obelysk_statement::whir::{ClaimGroup, Code};
use obelysk_statement::{Challenge, Statement, Value};
use obelysk_witness::Assignment;

use crate::zerocheck::Rows;

/// What a device could not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// It has no machine code of the kernels.
    #[error("there are no kernels for {device}: {reason}")]
    NoKernelImage {
        /// Its name.
        device: String,
        /// Why there is none.
        reason: String,
    },
    /// It has too little memory.
    #[error("{device} has {free} bytes free; {needed} more are needed")]
    OutOfMemory {
        /// Its name.
        device: String,
        /// Bytes that were asked for.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// It does not answer any more, or not as it should.
    #[error("{device} was lost: {reason}")]
    Lost {
        /// Its name.
        device: String,
        /// What it or its driver reported.
        reason: String,
    },
    /// It lacks something that this proof needs.
    #[error("{0}")]
    Unsupported(String),
}

/// The products of one sumcheck, as `sum over terms of scale * left * right`.
pub struct ProductTerms<'a> {
    /// Shared and summed axes.
    pub batch: &'a ProductBatch,
    /// Scales, in which the batching challenge and the coefficients are, and factors.
    pub terms: Vec<(Challenge, &'a Contraction)>,
}

/// A device.
pub trait Backend: Sync {
    /// Weights with their commitment.
    type Model;
    /// Values of all tensors of a statement.
    type Values<'a>;
    /// What opens the commitment to a witness.
    type Commitment;

    /// The root of a model's commitment; zero for a model without weights.
    fn root(&self, model: &Self::Model) -> Digest;

    /// Take over the values of a statement's tensors, multiplicities included.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn values<'a>(
        &self,
        statement: &'a Statement,
        model: &'a Self::Model,
        witness: Assignment,
    ) -> Result<Self::Values<'a>, DeviceError>;

    /// Commit to the witness.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn commit(
        &self,
        committed: &Committed,
        values: &Self::Values<'_>,
    ) -> Result<(Digest, Self::Commitment), DeviceError>;

    /// The tree of the lookup argument's fractions under two challenges.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn fractions<'a>(
        &'a self,
        plan: &'a Plan,
        values: &'a Self::Values<'_>,
        keys: [Challenge; 2],
    ) -> Result<Box<dyn Fractions + 'a>, DeviceError>;

    /// A product sumcheck: its sum and its rounds.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn product<'a>(
        &'a self,
        values: &'a Self::Values<'_>,
        terms: &ProductTerms,
        points: &AxisPoints,
    ) -> Result<(Challenge, Box<dyn Rounds + 'a>), DeviceError>;

    /// A zerocheck's rounds.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn zerocheck<'a>(
        &'a self,
        values: &'a Self::Values<'_>,
        rows: Rows<'a>,
        points: &AxisPoints,
    ) -> Result<Box<dyn Rounds + 'a>, DeviceError>;

    /// Evaluate tiles of a commitment at the points of their groups.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn evaluate(
        &self,
        committed: &Committed,
        values: &Self::Values<'_>,
        groups: Vec<ClaimGroup>,
    ) -> Result<Evaluated, DeviceError>;

    /// The opening of a commitment at claims, summed by powers of a challenge.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn opening<'a>(
        &'a self,
        committed: &'a Committed,
        opened: Opened<'a, Self>,
        values: &'a Self::Values<'_>,
        claims: &'a Evaluated,
        alpha: Challenge,
    ) -> Result<Box<dyn OpeningRounds + 'a>, DeviceError>;
}

/// Whose commitment is opened.
pub enum Opened<'a, B: Backend + ?Sized> {
    /// The model's.
    Model(&'a B::Model),
    /// That to the witness.
    Witness(&'a B::Commitment),
}

impl<B: Backend + ?Sized> Clone for Opened<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend + ?Sized> Copy for Opened<'_, B> {}

/// A sumcheck in progress: the first variable that is not bound yet is the most significant one.
pub trait Rounds {
    /// Values of the round polynomial at 0, 2, 3, .. up to its degree.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn polynomial(&mut self) -> Result<Vec<Challenge>, DeviceError>;

    /// Bind the variable.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn fold(&mut self, challenge: Challenge) -> Result<(), DeviceError>;
}

/// Claims with what their openings begin from.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The claims.
    pub groups: Vec<ClaimGroup>,
    /// One value per column for each claim of each group.
    pub partial: Vec<Vec<Vec<Challenge>>>,
}

/// Opened rows of a code word.
pub struct OpenedRows {
    /// Entries, row after row.
    pub entries: Vec<Value>,
    /// What leads from them to the root.
    pub siblings: Vec<Digest>,
}

/// An opening in progress: the sumcheck of what was committed times the weights of all claims. The first variable that is not bound yet is
/// the most significant one: those of the columns' index, then those of their entries.
pub trait OpeningRounds {
    /// The round polynomial: its constant coefficient and that of the square.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn polynomial(&mut self) -> Result<[Challenge; 2], DeviceError>;

    /// Bind the variable.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn fold(&mut self, challenge: Challenge) -> Result<(), DeviceError>;

    /// Commit to what the folds left, as the next code word.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn encode(&mut self, code: &Code) -> Result<Digest, DeviceError>;

    /// Rows of a code word, of which the first is that of the commitment, at sorted, distinct positions. Asked once for each, in
    /// order, when the next one has been encoded already.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn rows(&mut self, code: usize, positions: &[usize]) -> Result<OpenedRows, DeviceError>;

    /// Add the weights of queried rows of a code word: row `k` counts `gamma^(k + 1)`.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn weigh_rows(&mut self, code: &Code, positions: &[usize], gamma: Challenge) -> Result<(), DeviceError>;

    /// What the folds left.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn values(&mut self) -> Result<Vec<Challenge>, DeviceError>;
}

/// A binary tree of fractions: a node's children are half a layer apart, and its fraction is their sum.
pub trait Fractions {
    /// Denominator of the root.
    fn root(&self) -> Challenge;

    /// The layer of `2^k` nodes for a point of `k` coordinates: `n0 d1 + n1 d0 + lambda d0 d1` over its nodes' children.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn layer<'a>(&'a mut self, lambda: Challenge, point: &[Challenge]) -> Result<Box<dyn Layer + 'a>, DeviceError>;
}

/// The sumcheck of one layer of fractions in progress.
pub trait Layer {
    /// The quadratic `sum over the later variables of eq(later coordinates) * (n0 d1 + n1 d0 + lambda d0 d1)` in the first variable that is
    /// not bound yet: its value at 0 and its leading coefficient.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn polynomial(&mut self) -> Result<[Challenge; 2], DeviceError>;

    /// Bind the variable.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn fold(&mut self, challenge: Challenge) -> Result<(), DeviceError>;

    /// Numerator and denominator of the first child, then of the second, when every variable is bound.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn children(&mut self) -> Result<[Challenge; 4], DeviceError>;
}
