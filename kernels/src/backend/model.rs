//! A model's weights in a device's memory, under their commitment.

use std::collections::BTreeMap;

use obelysk_prover::{DeviceError, ProveError};
use obelysk_statement::Statement;
use obelysk_statement::layout::Role;
use obelysk_statement::plan::Committed;
use obelysk_statement::tree::Digest;
use obelysk_witness::{Loaded, Weights, misfit, unreadable};

use super::Cuda;
use super::commitment::{StackColumns, commit};
use crate::tree::Tree;
use crate::view::Entries;

/// A model's weights, as wide as they are stored.
pub struct ResidentWeights {
    entries: BTreeMap<String, Entries>,
    bytes: u64,
}

/// A model's weights with the commitment to them, for any number of proofs.
pub struct ResidentModel {
    weights: ResidentWeights,
    root: Digest,
    /// None without weights.
    tree: Option<Tree>,
}

impl ResidentModel {
    /// The root, part of the model's digest. Zero for a statement without weights.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.root
    }

    /// The weights without their commitment.
    #[must_use]
    pub fn weights(&self) -> &ResidentWeights {
        &self.weights
    }

    pub(super) fn entries(&self, name: &str) -> &Entries {
        self.weights.entries(name)
    }

    pub(super) fn tree(&self) -> &Tree {
        self.tree.as_ref().expect("a statement with weights has a commitment")
    }
}

impl ResidentWeights {
    /// What they take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn entries(&self, name: &str) -> &Entries {
        &self.entries[name]
    }
}

impl Cuda {
    /// Take weights to the device.
    ///
    /// # Errors
    /// [`DeviceError`], also for weights in a file that cannot be read to its end.
    pub fn weights(&self, weights: &Weights) -> Result<ResidentWeights, DeviceError> {
        let device = &self.kernels.device;
        let mut entries = BTreeMap::new();
        for (name, own) in weights {
            let on_device = match own.as_ref().load() {
                Loaded::I16(values) => Entries::Narrow(device.upload(&values)?),
                Loaded::I32(values) => Entries::Wide(device.upload(&values)?),
            };
            entries.insert(name.clone(), on_device);
        }
        if let Some(unreadable) = unreadable(weights) {
            let device = unreadable.path.display().to_string();
            return Err(DeviceError::Lost { device, reason: unreadable.reason });
        }
        Ok(ResidentWeights { entries, bytes: weights.values().map(|own| own.bytes() as u64).sum() })
    }

    /// Commit to the weights of a statement. Any statement of the model gives the same commitment.
    ///
    /// # Errors
    /// [`DeviceError`]; [`ProveError::Misfit`] for weights of another model, [`obelysk_statement::CompileError::Unsupported`] for a size that
    /// the code cannot hold.
    pub fn model(&self, statement: &Statement, weights: ResidentWeights) -> Result<ResidentModel, ProveError> {
        if let Some(misfit) = misfit(statement, Role::Weight, |name| weights.entries.get(name).map(Entries::len)) {
            return Err(ProveError::Misfit(misfit));
        }
        let (mut root, mut tree) = (Digest::default(), None);
        if let Some(committed) = Committed::new(statement, Role::Weight)? {
            let of = |tensor| weights.entries(&statement.tensor(tensor).name);
            let columns = StackColumns::new(statement, &committed, of);
            let (own_root, own_tree) = commit(&self.kernels, &columns, committed.opening.codes[0].log_inverse_rate)?;
            (root, tree) = (own_root, Some(own_tree));
        }
        Ok(ResidentModel { weights, root, tree })
    }
}
