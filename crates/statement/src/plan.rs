//! The shape of a proof: everything that follows from the statement alone, and that both sides must agree on.

use crate::batch::{self, ProductBatch, ZerocheckBatch};
use crate::layout::{Layout, Role};
use crate::lookup::{Block, blocks, log_leaves};
use crate::point::{AxisPoints, Coordinate};
use crate::reduction::{Claims, Openings};
use crate::schedule::Schedule;
use crate::security::{self, SecurityReport};
use crate::statement::CompileError;
use crate::transcript::{Commitments, Transcript, sample_many};
use crate::{MODULUS, Statement};

/// A commitment's tables with the scheme that commits to them.
pub struct Committed {
    /// Tables.
    pub layout: Layout,
    /// Parameters.
    pub schedule: Schedule,
    /// The scheme.
    pub commitments: Commitments,
}

/// Everything about a proof that does not depend on values.
pub struct Plan<'a> {
    /// What is proven.
    pub statement: &'a Statement,
    /// The model's commitment, if the statement has weights.
    pub weights: Option<Committed>,
    /// The proof's own commitment.
    pub witness: Option<Committed>,
    /// Leaves of the lookup argument; empty without lookups.
    pub blocks: Vec<Block>,
    /// Sumchecks of products.
    pub products: Vec<ProductBatch>,
    /// Zerochecks of row relations.
    pub zerochecks: Vec<ZerocheckBatch>,
}

impl Committed {
    /// The commitment of a role; `None` if the statement has no such tensors.
    ///
    /// # Errors
    /// [`CompileError::Unsupported`] for a size that the code cannot hold.
    pub fn new(statement: &Statement, role: Role) -> Result<Option<Self>, CompileError> {
        let Some(layout) = Layout::new(statement, role) else { return Ok(None) };
        let (variables, schedule) = Schedule::of(&layout, role);
        let commitments = schedule.commitments(variables)?;
        Ok(Some(Self { layout, schedule, commitments }))
    }
}

impl<'a> Plan<'a> {
    /// Plan the proof of a statement.
    ///
    /// # Errors
    /// [`CompileError::Unsupported`] for a size that the code cannot hold.
    pub fn new(statement: &'a Statement) -> Result<Self, CompileError> {
        let blocks = blocks(statement);
        // Lookups are counted in the field: a value that is in no table would not be missed as often as the modulus.
        let leaves: u64 = blocks.iter().map(|block| 1u64 << block.log_size).sum();
        if leaves >= MODULUS.unsigned_abs() {
            let reason = format!("{leaves} lookups in one proof; the field counts {}", MODULUS - 1);
            return Err(CompileError::Unsupported(reason));
        }
        Ok(Self {
            statement,
            weights: Committed::new(statement, Role::Weight)?,
            witness: Committed::new(statement, Role::Witness)?,
            blocks,
            products: batch::products(statement),
            zerochecks: batch::zerochecks(statement),
        })
    }

    /// Variables of the lookup argument's tree.
    #[must_use]
    pub fn log_leaves(&self) -> usize {
        log_leaves(&self.blocks)
    }

    /// Draw the point at which outputs are compared, shared by all relations.
    pub fn draw_points(&self, transcript: &mut Transcript) -> AxisPoints {
        batch::challenged_axes(self.statement)
            .into_iter()
            .map(|axis| {
                let coordinates = sample_many(transcript, self.statement.axis(axis).bits());
                (axis, coordinates.into_iter().map(Coordinate::Value).collect())
            })
            .collect()
    }

    /// No claims yet.
    #[must_use]
    pub fn claims(&self) -> Claims<'_> {
        Claims::new(
            self.statement,
            self.weights.as_ref().map(|committed| &committed.layout),
            self.witness.as_ref().map(|committed| &committed.layout),
        )
    }

    /// The commitment of a role, if the statement has tensors of the role.
    #[must_use]
    pub fn committed(&self, role: Role) -> Option<&Committed> {
        match role {
            Role::Weight => self.weights.as_ref(),
            Role::Witness => self.witness.as_ref(),
        }
    }

    /// The openings of a role's claims; `None` if the statement has no tensors of the role.
    #[must_use]
    pub fn openings(&self, claims: &Claims, role: Role) -> Option<Openings> {
        claims.openings(role, self.committed(role)?.schedule.first_fold())
    }

    /// The security of a proof with these openings.
    ///
    /// # Errors
    /// [`CompileError::Insecure`] below the target.
    pub fn security(
        &self,
        weights: Option<&Openings>,
        witness: Option<&Openings>,
    ) -> Result<SecurityReport, CompileError> {
        let point_variables = batch::challenged_axes(self.statement);
        let point_variables: Vec<_> = point_variables.into_iter().collect();
        let point_variables = batch::variables(self.statement, &point_variables);
        let mut phases: Vec<_> = security::lookup(self.statement, &self.blocks).into_iter().collect();
        phases.push(security::sumchecks(self.statement, &self.products, &self.zerochecks, point_variables));
        let openings = [("weight opening", &self.weights, weights), ("witness opening", &self.witness, witness)];
        for (name, committed, opening) in openings {
            if let (Some(committed), Some(opening)) = (committed, opening) {
                let grinding = committed.schedule.grinding;
                phases.push(security::opening(name, &committed.commitments, &opening.protocol, grinding)?);
            }
        }
        SecurityReport { phases }.require_target()
    }
}
