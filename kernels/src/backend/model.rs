//! A model's weights in a device's memory, under their commitment.

use std::collections::BTreeMap;

use obelysk_prover::{DeviceError, ProveError};
use obelysk_statement::Statement;
use obelysk_statement::layout::Role;
use obelysk_statement::plan::Committed;
use obelysk_statement::tree::Digest;
use obelysk_witness::{Loaded, Weights, misfit, unreadable};

use super::Cuda;
use super::commitment::{CommittedRows, StackColumns, commit};
use super::tensors::Held;
use crate::view::Entries;

/// A model's weights, as wide as they are stored, each on one device.
pub struct ResidentWeights {
    /// With the device's place.
    entries: BTreeMap<String, (usize, Entries)>,
    bytes: u64,
}

/// A model's weights with the commitment to them, for any number of proofs.
pub struct ResidentModel {
    weights: ResidentWeights,
    root: Digest,
    /// None without weights.
    tree: Option<CommittedRows>,
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

    pub(super) fn held(&self, name: &str) -> Held<'_> {
        self.weights.held(name)
    }

    pub(super) fn tree(&self) -> &CommittedRows {
        self.tree.as_ref().expect("a statement with weights has a commitment")
    }
}

impl ResidentWeights {
    /// What they take, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn held(&self, name: &str) -> Held<'_> {
        let (device, entries) = &self.entries[name];
        Held::on_one(*device, entries)
    }
}

impl Cuda {
    /// Take weights to the device.
    ///
    /// # Errors
    /// [`DeviceError`], also for weights in a file that cannot be read to its end.
    pub fn weights(&self, weights: &Weights) -> Result<ResidentWeights, DeviceError> {
        let mut entries = BTreeMap::new();
        let places = places(weights, self.devices.all().len());
        for (name, own) in weights {
            let place = places[name.as_str()];
            let device = &self.devices.all()[place].device;
            let on_device = match own.as_ref().load() {
                Loaded::I16(values) => Entries::Narrow(device.upload(&values)?),
                Loaded::I32(values) => Entries::Wide(device.upload(&values)?),
            };
            entries.insert(name.clone(), (place, on_device));
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
        if let Some(misfit) =
            misfit(statement, Role::Weight, |name| weights.entries.get(name).map(|(_, entries)| entries.len()))
        {
            return Err(ProveError::Misfit(misfit));
        }
        let (mut root, mut tree) = (Digest::default(), None);
        if let Some(committed) = Committed::new(statement, Role::Weight)? {
            let of = |tensor| weights.held(&statement.tensor(tensor).name);
            let columns = StackColumns::new(statement, &committed, of);
            let rows = commit(&self.devices, &columns, &committed.opening.codes[0])?;
            (root, tree) = (rows.root(), Some(rows));
        }
        Ok(ResidentModel { weights, root, tree })
    }
}

/// The device of every weight: the largest first, each to the one that holds least. The first device has most to do besides, so it comes last.
pub(super) fn places(weights: &Weights, devices: usize) -> BTreeMap<&str, usize> {
    let mut sizes: Vec<(usize, &str)> = weights.iter().map(|(name, own)| (own.bytes(), name.as_str())).collect();
    sizes.sort_by(|left, right| right.cmp(left));
    let (mut held, mut places) = (vec![0; devices], BTreeMap::new());
    for (bytes, name) in sizes {
        let place = (0..devices).rev().min_by_key(|&device| held[device]).expect("there is a device");
        held[place] += bytes;
        places.insert(name, place);
    }
    places
}
