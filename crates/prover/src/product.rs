//! Sumchecks of products.

use obelysk_statement::batch::{ProductBatch, variables};
use obelysk_statement::point::AxisPoints;
use obelysk_statement::reduction::constant;
use obelysk_statement::transcript::Transcript;
use obelysk_statement::{Challenge, Relation, Statement};
use obelysk_verifier::proof::Sumcheck;
use p3_field::PrimeCharacteristicRing;

use crate::backend::{Backend, DeviceError, ProductTerms};
use crate::sumcheck;

/// Prove a batch of products. Its messages, and the point where it ends.
pub(crate) fn prove<B: Backend>(
    backend: &B,
    statement: &Statement,
    values: &B::Values<'_>,
    batch: &ProductBatch,
    lambda: Challenge,
    points: &AxisPoints,
    transcript: &mut Transcript,
) -> Result<(Sumcheck, Vec<Challenge>), DeviceError> {
    let mut terms = Vec::new();
    let mut power = Challenge::ONE;
    for &position in &batch.relations {
        let Relation::Product { contractions, .. } = &statement.relations[position].relation else {
            unreachable!("batches name products")
        };
        terms.extend(contractions.iter().map(|contraction| (power * constant(contraction.coefficient), contraction)));
        power *= lambda;
    }
    let (sum, mut rounds) = backend.product(values, &ProductTerms { batch, terms }, points)?;
    sumcheck::prove(rounds.as_mut(), variables(statement, &batch.axes()), batch.degree(), sum, transcript)
}
