//! The one round loop: a polynomial, its absorption, a challenge, a fold.

use obelysk_statement::transcript::Transcript;
use obelysk_statement::{Challenge, Value};
use obelysk_verifier::proof::Sumcheck;
use p3_sumcheck::generic_degree::{GenericDegreeShape, ProverTranscript};

use crate::backend::{DeviceError, Rounds};

/// Run a sumcheck of `variables` rounds whose polynomials have this degree. Its messages, and the point where it ends.
pub(crate) fn prove(
    rounds: &mut dyn Rounds,
    variables: usize,
    degree: usize,
    claimed_sum: Challenge,
    transcript: &mut Transcript,
) -> Result<(Sumcheck, Vec<Challenge>), DeviceError> {
    let shape = GenericDegreeShape::new(variables, degree, obelysk_statement::schedule::ROUND_GRINDING);
    let mut messages = ProverTranscript::<Transcript, Value, Challenge>::new(transcript, shape, claimed_sum);
    let mut round_polys = Vec::with_capacity(variables);
    let mut point = Vec::with_capacity(variables);
    for _ in 0..variables {
        let polynomial = rounds.polynomial()?;
        let (challenge, _) = messages.round(&polynomial);
        rounds.fold(challenge)?;
        round_polys.push(polynomial);
        point.push(challenge);
    }
    messages.finish();
    Ok((Sumcheck { claimed_sum, round_polys, pow_witnesses: Vec::new() }, point))
}
