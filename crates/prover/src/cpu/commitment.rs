//! A model's weights under their commitment.

use std::sync::Arc;

use obelysk_statement::layout::Role;
use obelysk_statement::plan::Committed;
use obelysk_statement::tree::Digest;
use obelysk_statement::{Statement, Value};
use obelysk_witness::{Entries, Unreadable, Weights, misfit, unreadable};

use super::tiles::read_weights;
use super::whir::{self, Codeword, Keep};
use crate::ProveError;
use crate::backend::DeviceError;

/// A model's weights with the commitment to them, for any number of proofs.
pub struct CommittedModel {
    weights: Arc<Weights>,
    /// None without weights.
    codeword: Option<Codeword>,
}

impl CommittedModel {
    /// Commit to the weights of a statement. Any statement of the model gives the same commitment. Its code word is not stored, nor are the
    /// lowest levels of its tree.
    ///
    /// # Errors
    /// [`DeviceError::Lost`] for weights in a file that cannot be read to its end,
    /// [`ProveError::Misfit`] for weights of another model, [`obelysk_statement::CompileError::Unsupported`] for a size that the code cannot hold.
    pub fn new(statement: &Statement, weights: Arc<Weights>) -> Result<Self, ProveError> {
        if let Some(misfit) = misfit(statement, Role::Weight, |name| weights.get(name).map(Entries::len)) {
            return Err(ProveError::Misfit(misfit));
        }
        let committed = Committed::new(statement, Role::Weight)?;
        let codeword = committed.map(|committed| {
            let cells = |tile: usize, first: usize, output: &mut [Value]| {
                let tile = &committed.layout.tiles[tile];
                read_weights(statement, weights[&statement.tensor(tile.tensor).name].as_ref(), tile, first, output);
            };
            whir::commit(&committed.opening, &cells, Keep::Top)
        });
        check_read(&weights)?;
        Ok(Self { weights, codeword })
    }

    /// The root, part of the model's digest. Zero for a statement without weights.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.codeword.as_ref().map_or(Digest::default(), Codeword::root)
    }

    /// The weights.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    pub(super) fn codeword(&self) -> &Codeword {
        self.codeword.as_ref().expect("a statement with weights has a commitment")
    }
}

/// Whether all weights could be read that were read so far.
pub(super) fn check_read(weights: &Weights) -> Result<(), DeviceError> {
    let lost = |own: Unreadable| DeviceError::Lost { device: own.path.display().to_string(), reason: own.reason };
    unreadable(weights).map_or(Ok(()), |unreadable| Err(lost(unreadable)))
}
