//! Sumchecks of products.

use obelysk_statement::batch::{ProductBatch, variables};
use obelysk_statement::fiat_shamir::Label;
use obelysk_statement::point::AxisPoints;
use obelysk_statement::reduction::constant;
use obelysk_statement::{Challenge, Relation, Statement};
use p3_field::PrimeCharacteristicRing;

use crate::backend::{Backend, DeviceError, ProductTerms};
use crate::messages::Messages;
use crate::sumcheck;

/// Prove a batch of products. The point where it ends.
pub(crate) fn prove<B: Backend>(
    backend: &B,
    statement: &Statement,
    values: &B::Values<'_>,
    batch: &ProductBatch,
    lambda: Challenge,
    points: &AxisPoints,
    messages: &mut Messages,
) -> Result<Vec<Challenge>, DeviceError> {
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
    messages.challenges(Label::SUM, &[sum]);
    sumcheck::prove(rounds.as_mut(), variables(statement, &batch.axes()), batch.degree(), sum, messages)
}
