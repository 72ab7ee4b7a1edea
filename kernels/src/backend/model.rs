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

/// A model's weights with the commitment to them, for any number of proofs.
pub struct ResidentModel {
    entries: BTreeMap<String, Entries>,
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

    pub(super) fn entries(&self, name: &str) -> &Entries {
        &self.entries[name]
    }

    pub(super) fn tree(&self) -> &Tree {
        self.tree.as_ref().expect("a statement with weights has a commitment")
    }
}

impl Cuda {
    /// Take the weights of a statement to the device, as wide as they are stored, and commit to them. Any statement of the model gives the
    /// same commitment.
    ///
    /// # Errors
    /// [`DeviceError`], also for weights in a file that cannot be read to its end; [`ProveError::Misfit`] for weights of another model,
    /// [`obelysk_statement::CompileError::Unsupported`] for a size that the code cannot hold.
    pub fn model(&self, statement: &Statement, weights: &Weights) -> Result<ResidentModel, ProveError> {
        if let Some(misfit) =
            misfit(statement, Role::Weight, |name| weights.get(name).map(obelysk_witness::Entries::len))
        {
            return Err(ProveError::Misfit(misfit));
        }
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
            return Err(DeviceError::Lost { device, reason: unreadable.reason }.into());
        }
        let (mut root, mut tree) = (Digest::default(), None);
        if let Some(committed) = Committed::new(statement, Role::Weight)? {
            let of = |tensor| &entries[&statement.tensor(tensor).name];
            let columns = StackColumns::new(statement, &committed, of);
            let (own_root, own_tree) = commit(&self.kernels, &columns, committed.opening.codes[0].log_inverse_rate)?;
            (root, tree) = (own_root, Some(own_tree));
        }
        Ok(ResidentModel { entries, root, tree })
    }
}
