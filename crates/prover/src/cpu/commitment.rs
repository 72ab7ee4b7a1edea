//! Commitments and their openings.

use std::sync::Arc;

use obelysk_statement::layout::{Role, Tile};
use obelysk_statement::plan::Committed;
use obelysk_statement::reduction::Openings;
use obelysk_statement::transcript::{Commitments, Opening, Root, Transcript, start};
use obelysk_statement::{Challenge, Statement, Value};
use obelysk_verifier::proof::root_bytes;
use obelysk_witness::{Entries, EntriesRef, Weights, misfit};
use p3_commit::MultilinearPcs;
use p3_field::PrimeCharacteristicRing;
use p3_matrix::dense::RowMajorMatrix;
use p3_sumcheck::PrescribedPointPcs;
use p3_sumcheck::layout::{Layout as _, SuffixProver, Table};

use super::tensors::append_tile;
use crate::ProveError;
use crate::backend::DeviceError;

/// What the prover keeps of a commitment.
pub type CommitmentData = <Commitments as MultilinearPcs<Challenge, Transcript>>::ProverData;

/// A model's weights with the commitment to them, for any number of proofs.
#[derive(Clone)]
pub struct CommittedModel {
    weights: Arc<Weights>,
    root: [u8; 32],
    data: Option<CommitmentData>,
}

impl CommittedModel {
    /// Commit to the weights of a statement. Any statement of the model gives the same commitment.
    ///
    /// # Errors
    /// [`ProveError::Misfit`] for weights of another model, [`obelysk_statement::CompileError::Unsupported`] for a size that the code cannot hold.
    pub fn new(statement: &Statement, weights: Arc<Weights>) -> Result<Self, ProveError> {
        if let Some(misfit) = misfit(statement, Role::Weight, |name| weights.get(name).map(Entries::len)) {
            return Err(ProveError::Misfit(misfit));
        }
        let Some(committed) = Committed::new(statement, Role::Weight)? else {
            return Ok(Self { weights, root: [0; 32], data: None });
        };
        let append = |tile: &Tile, output: &mut Vec<Value>| match weights[&statement.tensor(tile.tensor).name].as_ref()
        {
            EntriesRef::I16(entries) => append_tile(statement, entries, tile, output),
            EntriesRef::I32(entries) => append_tile(statement, entries, tile, output),
        };
        // The root enters each proof's transcript through its start; this one is discarded.
        let mut scratch = start(&[], &Statement::default(), &[0; 32]);
        let (root, data) = commit(&committed, append, &mut scratch);
        let root = root_bytes(&root).expect("a tree has one root");
        Ok(Self { weights, root, data: Some(data) })
    }

    /// The root, part of the model's digest. Zero for a statement without weights.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.root
    }

    /// The weights.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    pub(super) fn data(&self) -> &CommitmentData {
        self.data.as_ref().expect("a statement with weights has a commitment")
    }
}

/// Commit to all tiles of a layout, whose values come from `append`, and absorb the root.
pub(super) fn commit(
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
    let witness = SuffixProver::<Value, Challenge>::new_witness(tables, committed.schedule.first_fold());
    MultilinearPcs::<Challenge, Transcript>::commit(&committed.commitments, witness, transcript)
        .expect("the schedule was made for this size")
}

/// Open a commitment at the claims' points.
pub(super) fn open(
    committed: &Committed,
    data: CommitmentData,
    openings: &Openings,
    transcript: &mut Transcript,
) -> Result<Opening, DeviceError> {
    let opened = committed.commitments.open_at(data, &openings.protocol, &openings.points, transcript);
    opened.map_err(|error| DeviceError::Unsupported(format!("an opening with this many claims: {error}")))
}
