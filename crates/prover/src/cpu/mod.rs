//! The processor as a device: the exact field loops behind every verb, on all threads of the pool that calls.

mod commitment;
mod fractions;
mod layer;
mod leaves;
mod product;
mod tensors;
mod zerocheck;

use obelysk_statement::layout::Tile;
use obelysk_statement::plan::{Committed, Plan};
use obelysk_statement::point::AxisPoints;
use obelysk_statement::reduction::Openings;
use obelysk_statement::transcript::{Opening, Root, Transcript};
use obelysk_statement::{Challenge, Statement, Value};
use obelysk_witness::Assignment;
use p3_field::{ExtensionField, Field};

use crate::backend::{Backend, DeviceError, Fractions, ProductTerms, Rounds};
use crate::zerocheck::Rows;
use commitment::CommitmentData;
use tensors::Tensors;

pub use commitment::CommittedModel;

/// Field elements side by side in one register.
type PackedValue = <Value as Field>::Packing;
/// As many challenges.
type PackedChallenge = <Challenge as ExtensionField<Value>>::ExtensionPacking;

/// The processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Backend for Cpu {
    type Model = CommittedModel;
    type Values<'a> = Tensors<'a>;
    type Commitment = CommitmentData;

    fn root(&self, model: &CommittedModel) -> [u8; 32] {
        model.root()
    }

    fn values<'a>(
        &self,
        statement: &'a Statement,
        model: &'a CommittedModel,
        witness: Assignment,
    ) -> Result<Tensors<'a>, DeviceError> {
        Ok(Tensors::new(statement, model.weights(), witness))
    }

    fn commit(
        &self,
        committed: &Committed,
        values: &Tensors,
        transcript: &mut Transcript,
    ) -> Result<(Root, CommitmentData), DeviceError> {
        let append = |tile: &Tile, output: &mut Vec<Value>| values.append_tile(tile, output);
        Ok(commitment::commit(committed, append, transcript))
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
        let rounds = product::Pairs::new(values, terms, points);
        Ok((rounds.sum(), Box::new(rounds)))
    }

    fn zerocheck<'a>(
        &'a self,
        values: &'a Tensors<'_>,
        rows: Rows<'a>,
        points: &AxisPoints,
    ) -> Result<Box<dyn Rounds + 'a>, DeviceError> {
        Ok(Box::new(zerocheck::Zerocheck::new(values, rows, points)))
    }

    fn open_model(
        &self,
        committed: &Committed,
        model: &CommittedModel,
        openings: &Openings,
        transcript: &mut Transcript,
    ) -> Result<Opening, DeviceError> {
        commitment::open(committed, model.data().clone(), openings, transcript)
    }

    fn open(
        &self,
        committed: &Committed,
        commitment: CommitmentData,
        openings: &Openings,
        transcript: &mut Transcript,
    ) -> Result<Opening, DeviceError> {
        commitment::open(committed, commitment, openings, transcript)
    }
}
