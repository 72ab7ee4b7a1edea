//! The two commitments and their openings.

use obelysk_statement::layout::{Role, Tile};
use obelysk_statement::plan::Committed;
use obelysk_statement::reduction::Openings;
use obelysk_statement::transcript::{Commitments, Opening, Root, Transcript, start};
use obelysk_statement::{Assignment, Challenge, CompileError, Statement, Value};
use p3_commit::MultilinearPcs;
use p3_field::PrimeCharacteristicRing;
use p3_matrix::dense::RowMajorMatrix;
use p3_sumcheck::PrescribedPointPcs;
use p3_sumcheck::layout::{Layout as _, SuffixProver, Table};

use crate::tensors::append_tile;

/// What the prover keeps of a commitment.
pub(crate) type CommitmentData = <Commitments as MultilinearPcs<Challenge, Transcript>>::ProverData;

/// The commitment to a model's weights. A proof consumes it: with large models there is no room for two.
#[derive(Clone)]
pub struct WeightCommitment {
    root: [u8; 32],
    data: Option<CommitmentData>,
}

impl WeightCommitment {
    /// Commit to the weights of a statement. Any statement of the model gives the same commitment.
    ///
    /// # Errors
    /// [`CompileError::Unsupported`] for a size that the code cannot hold.
    pub fn new(statement: &Statement, weights: &Assignment) -> Result<Self, CompileError> {
        let Some(committed) = Committed::new(statement, Role::Weight)? else {
            return Ok(Self { root: [0; 32], data: None });
        };
        let append = |tile: &Tile, output: &mut Vec<Value>| {
            let values = &weights[&statement.tensor(tile.tensor).name];
            append_tile(statement, values, tile, output, |&value| Value::from_i32(value));
        };
        // The root enters each proof's transcript through its start; this one is discarded.
        let mut scratch = start(&[], &Statement::default(), &[0; 32]);
        let (root, data) = commit(&committed, append, &mut scratch);
        Ok(Self { root: crate::bytes_of_root(&root), data: Some(data) })
    }

    /// The root, part of the model's digest. Zero for a statement without weights.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.root
    }

    pub(crate) fn into_data(self) -> CommitmentData {
        self.data.expect("a statement with weights has a commitment")
    }
}

/// Commit to all tiles of a layout, whose values come from `append`, and absorb the root.
pub(crate) fn commit(
    committed: &Committed,
    append: impl Fn(&Tile, &mut Vec<Value>),
    transcript: &mut Transcript,
) -> (Root, CommitmentData) {
    let tables: Vec<Table<Value>> = committed
        .layout
        .tables
        .iter()
        .map(|table| {
            let width = table.columns.len().max(1);
            let mut values = Vec::with_capacity(width << table.arity);
            for &tile in &table.columns {
                append(&committed.layout.tiles[tile], &mut values);
            }
            values.resize(width << table.arity, Value::ZERO);
            Table::new(RowMajorMatrix::new(values, 1 << table.arity))
        })
        .collect();
    let witness = SuffixProver::<Value, Challenge>::new_witness(tables, committed.schedule.folds[0]);
    MultilinearPcs::<Challenge, Transcript>::commit(&committed.commitments, witness, transcript)
        .expect("the schedule was made for this size")
}

/// Open a commitment at the claims' points.
pub(crate) fn open(
    committed: &Committed,
    data: CommitmentData,
    openings: &Openings,
    transcript: &mut Transcript,
) -> Result<Opening, CompileError> {
    committed
        .commitments
        .open_at(data, &openings.protocol, &openings.points, transcript)
        .map_err(|error| CompileError::Unsupported(format!("an opening with this many claims: {error}")))
}
