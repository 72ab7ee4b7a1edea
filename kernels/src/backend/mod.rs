//! An NVIDIA GPU as a device of the prover: its verbs, made of kernels. Loops over values are the kernels'; what is left here is which of
//! them run, on which parts of which tensors.

mod commitment;
mod devices;
mod linear;
mod lookup;
mod memory;
mod model;
mod opening;
mod sumcheck;
mod tensors;
mod weigh;

use obelysk_prover::backend::{Backend, Evaluated, Fractions, Opened, OpeningRounds, ProductTerms, Rounds};
use obelysk_prover::{DeviceError, Rows};
use obelysk_statement::plan::{Committed, Plan};
use obelysk_statement::point::AxisPoints;
use obelysk_statement::tree::Digest;
use obelysk_statement::whir::ClaimGroup;
use obelysk_statement::{Challenge, Statement};
use obelysk_witness::Assignment;

use crate::kernels::Kernels;
use commitment::{CommittedRows, StackColumns};
use devices::Devices;

pub use memory::needed;
pub use model::{ResidentModel, ResidentWeights};
pub use tensors::Tensors;

/// One GPU or several of one machine.
pub struct Cuda {
    devices: Devices,
}

impl Cuda {
    /// A GPU with its kernels.
    #[must_use]
    pub fn new(kernels: Kernels) -> Self {
        Self::of_several(vec![kernels])
    }

    /// Several GPUs that share the work; the first one does what is not shared.
    ///
    /// # Panics
    /// Without a GPU.
    #[must_use]
    pub fn of_several(kernels: Vec<Kernels>) -> Self {
        Self { devices: Devices::new(kernels) }
    }
}

fn columns<'a>(committed: &'a Committed, values: &'a Tensors<'_>) -> StackColumns<'a> {
    StackColumns::new(values.statement, committed, |tensor| values.held(tensor))
}

impl Backend for Cuda {
    type Model = ResidentModel;
    type Values<'a> = Tensors<'a>;
    type Commitment = CommittedRows;

    fn root(&self, model: &ResidentModel) -> Digest {
        model.root()
    }

    fn values<'a>(
        &self,
        statement: &'a Statement,
        model: &'a ResidentModel,
        witness: Assignment,
    ) -> Result<Tensors<'a>, DeviceError> {
        Tensors::new(&self.devices, statement, model, witness)
    }

    fn commit(&self, committed: &Committed, values: &Tensors) -> Result<(Digest, CommittedRows), DeviceError> {
        let rows = commitment::commit(&self.devices, &columns(committed, values), &committed.opening.codes[0])?;
        Ok((rows.root(), rows))
    }

    fn fractions<'a>(
        &'a self,
        plan: &'a Plan,
        values: &'a Tensors<'_>,
        keys: [Challenge; 2],
    ) -> Result<Box<dyn Fractions + 'a>, DeviceError> {
        Ok(Box::new(lookup::Tree::new(&self.devices, plan, values, keys)?))
    }

    fn product<'a>(
        &'a self,
        values: &'a Tensors<'_>,
        terms: &ProductTerms,
        points: &AxisPoints,
    ) -> Result<(Challenge, Box<dyn Rounds + 'a>), DeviceError> {
        let rounds = sumcheck::product(&self.devices, values, terms, points)?;
        Ok((rounds.sum()?, Box::new(rounds)))
    }

    fn zerocheck<'a>(
        &'a self,
        values: &'a Tensors<'_>,
        rows: Rows<'a>,
        points: &AxisPoints,
    ) -> Result<Box<dyn Rounds + 'a>, DeviceError> {
        Ok(Box::new(sumcheck::zerocheck(&self.devices, values, &rows, points)?))
    }

    fn evaluate(
        &self,
        committed: &Committed,
        values: &Tensors,
        groups: Vec<ClaimGroup>,
    ) -> Result<Evaluated, DeviceError> {
        opening::evaluate(&self.devices, &committed.opening, &columns(committed, values), groups)
    }

    fn opening<'a>(
        &'a self,
        committed: &'a Committed,
        opened: Opened<'a, Self>,
        values: &'a Tensors<'_>,
        claims: &'a Evaluated,
        alpha: Challenge,
    ) -> Result<Box<dyn OpeningRounds + 'a>, DeviceError> {
        let tree = match opened {
            Opened::Model(model) => model.tree(),
            Opened::Witness(tree) => tree,
        };
        let columns = columns(committed, values);
        let rounds = opening::Opening::new(&self.devices, &committed.opening, columns, tree, claims, alpha)?;
        Ok(Box::new(rounds))
    }
}
