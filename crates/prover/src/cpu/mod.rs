//! The processor as a device: the exact field loops behind every verb, on all threads of the pool that calls.

mod along;
mod commitment;
mod fractions;
mod layer;
mod leaves;
#[cfg(test)]
mod parity;
mod product;
mod program;
mod tensors;
mod tiles;
pub mod tree;
mod weighted;
pub mod whir;
mod zerocheck;

use obelysk_statement::plan::{Committed, Plan};
use obelysk_statement::point::AxisPoints;
use obelysk_statement::tree::Digest;
use obelysk_statement::whir::ClaimGroup;
use obelysk_statement::{Challenge, Statement};
use obelysk_witness::Assignment;

use crate::backend::{Backend, DeviceError, Evaluated, Fractions, Opened, OpeningRounds, ProductTerms, Rounds};
use crate::zerocheck::Rows;
use tensors::Tensors;
use whir::{Codeword, Keep};

pub use commitment::CommittedModel;
pub(crate) use fractions::kept;

/// The processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Backend for Cpu {
    type Model = CommittedModel;
    type Values<'a> = Tensors<'a>;
    type Commitment = Codeword;

    fn root(&self, model: &CommittedModel) -> Digest {
        model.root()
    }

    fn values<'a>(
        &self,
        statement: &'a Statement,
        model: &'a CommittedModel,
        witness: Assignment,
    ) -> Result<Tensors<'a>, DeviceError> {
        let values = Tensors::new(statement, model.weights(), witness);
        values.read(())?;
        Ok(values)
    }

    fn commit(&self, committed: &Committed, values: &Tensors) -> Result<(Digest, Codeword), DeviceError> {
        let keep = Keep::of_values(&committed.opening.codes[0]);
        let codeword = whir::commit(&committed.opening, &values.cells(committed), keep);
        Ok((codeword.root(), codeword))
    }

    fn fractions<'a>(
        &'a self,
        plan: &'a Plan,
        values: &'a Tensors<'_>,
        keys: [Challenge; 2],
    ) -> Result<Box<dyn Fractions + 'a>, DeviceError> {
        Ok(Box::new(fractions::Tree::new(leaves::Leaves::new(plan, values, keys))))
    }

    fn product<'a>(
        &'a self,
        values: &'a Tensors<'_>,
        terms: &ProductTerms,
        points: &AxisPoints,
    ) -> Result<(Challenge, Box<dyn Rounds + 'a>), DeviceError> {
        let rounds = values.read(product::rounds(values, terms, points))?;
        Ok((rounds.sum(), Box::new(rounds)))
    }

    fn zerocheck<'a>(
        &'a self,
        values: &'a Tensors<'_>,
        rows: Rows<'a>,
        points: &AxisPoints,
    ) -> Result<Box<dyn Rounds + 'a>, DeviceError> {
        Ok(Box::new(zerocheck::rounds(values, rows, points)))
    }

    fn evaluate(
        &self,
        committed: &Committed,
        values: &Tensors,
        groups: Vec<ClaimGroup>,
    ) -> Result<Evaluated, DeviceError> {
        values.read(whir::evaluate(&committed.opening, &values.cells(committed), groups))
    }

    fn opening<'a>(
        &'a self,
        committed: &'a Committed,
        opened: Opened<'a, Self>,
        values: &'a Tensors<'_>,
        claims: &'a Evaluated,
        alpha: Challenge,
    ) -> Result<Box<dyn OpeningRounds + 'a>, DeviceError> {
        let codeword = match opened {
            Opened::Model(model) => model.codeword(),
            Opened::Witness(codeword) => codeword,
        };
        Ok(Box::new(whir::Rounds::new(&committed.opening, codeword, values.cells(committed), claims, alpha)))
    }
}
