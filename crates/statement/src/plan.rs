//! The shape of a proof: everything that follows from the statement alone, and that both sides must agree on.

use crate::Statement;
use crate::batch::{self, ProductBatch, ZerocheckBatch};
use crate::fiat_shamir::FiatShamir;
use crate::layout::{Layout, Role};
use crate::lookup::{Block, blocks, log_leaves};
use crate::point::{AxisPoints, Coordinate};
use crate::reduction::Claims;
use crate::schedule::{Schedule, first_fold};
use crate::security::{self, SecurityReport};
use crate::statement::CompileError;
use crate::whir::{OpeningPlan, Stack, opening_error};

/// Smallest commitment, in variables: below it, the code has no room for its queries.
const SMALLEST: usize = 12;

/// What a commitment holds, and how it is opened.
pub struct Committed {
    /// Whose tensors it holds.
    pub role: Role,
    /// Tiles.
    pub layout: Layout,
    /// Their places, codes and queries.
    pub opening: OpeningPlan,
}

/// Everything about a proof that does not depend on values.
pub struct Plan<'a> {
    /// What is proven.
    pub statement: &'a Statement,
    /// What is committed, in order of the openings; a role without tensors has no commitment.
    pub commitments: Vec<Committed>,
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
        // A larger first fold pads small tiles to more cells: the size without it decides.
        let arities = layout.arities();
        let fold = first_fold(Stack::new(&arities, 0, SMALLEST).variables, role);
        let stack = Stack::new(&arities, fold, SMALLEST);
        let schedule = Schedule::new(stack.variables, fold);
        let opening = OpeningPlan::new(stack, &schedule)?;
        Ok(Some(Self { role, layout, opening }))
    }
}

impl<'a> Plan<'a> {
    /// Plan the proof of a statement.
    ///
    /// # Errors
    /// [`CompileError::Unsupported`] for a size that the code cannot hold.
    pub fn new(statement: &'a Statement) -> Result<Self, CompileError> {
        let mut commitments = Vec::new();
        for role in Role::ALL {
            commitments.extend(Committed::new(statement, role)?);
        }
        Ok(Self {
            statement,
            commitments,
            blocks: blocks(statement),
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
    pub fn draw_points(&self, transcript: &mut FiatShamir) -> AxisPoints {
        batch::challenged_axes(self.statement)
            .into_iter()
            .map(|axis| {
                let coordinates = transcript.challenges(self.statement.axis(axis).bits());
                (axis, coordinates.into_iter().map(Coordinate::Value).collect())
            })
            .collect()
    }

    /// The commitment of a role, with its place in the list.
    #[must_use]
    pub fn commitment(&self, role: Role) -> Option<(usize, &Committed)> {
        self.commitments.iter().enumerate().find(|(_, committed)| committed.role == role)
    }

    /// No claims yet.
    #[must_use]
    pub fn claims(&self) -> Claims<'_> {
        Claims::new(self.statement, &self.commitments)
    }

    /// The security of a proof with these claims.
    ///
    /// # Errors
    /// [`CompileError::Insecure`] below the target.
    pub fn security(&self, claims: &Claims) -> Result<SecurityReport, CompileError> {
        let point_variables = batch::challenged_axes(self.statement);
        let point_variables: Vec<_> = point_variables.into_iter().collect();
        let point_variables = batch::variables(self.statement, &point_variables);
        let mut phases: Vec<_> = security::lookup(self.statement, &self.blocks).into_iter().collect();
        phases.push(security::sumchecks(self.statement, &self.products, &self.zerochecks, point_variables));
        for (place, committed) in self.commitments.iter().enumerate() {
            phases.push(opening_error(committed.role.opening_name(), &committed.opening, claims.count(place)));
        }
        SecurityReport { phases }.require_target()
    }
}
