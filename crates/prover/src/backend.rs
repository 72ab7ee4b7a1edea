//! What a device does for the prover. Every verb is an exact function of its arguments, so every device makes the same proof; what
//! depends on an order, the transcript and the claims, never leaves the driver.

use obelysk_statement::batch::ProductBatch;
use obelysk_statement::plan::{Committed, Plan};
use obelysk_statement::point::AxisPoints;
use obelysk_statement::relation::Contraction;
use obelysk_statement::tree::Digest;
use obelysk_statement::whir::ClaimGroup;
use obelysk_statement::{Challenge, Statement};
use obelysk_witness::Assignment;

use crate::whir::{Coordinates, Evaluated, OpenedRows};
use crate::zerocheck::Rows;

/// What a device could not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// It has too little memory.
    #[error("{device} has {free} bytes free; the proof needs {needed}")]
    OutOfMemory {
        /// Its name.
        device: String,
        /// Bytes that were asked for.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// It does not answer any more.
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

    /// The columns of a commitment, summed by weights.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn folded(
        &self,
        committed: &Committed,
        values: &Self::Values<'_>,
        weights: &[Challenge],
    ) -> Result<Coordinates, DeviceError>;

    /// Rows of a commitment's code word at sorted, distinct positions, with what leads from them to the root.
    ///
    /// # Errors
    /// [`DeviceError`].
    fn rows(
        &self,
        committed: &Committed,
        opened: Opened<Self>,
        values: &Self::Values<'_>,
        positions: &[usize],
    ) -> Result<OpenedRows, DeviceError>;
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
