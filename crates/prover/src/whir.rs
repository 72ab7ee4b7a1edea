//! Opens a commitment: the other side of the verifier's folder of the same name.

use obelysk_statement::Challenge;
use obelysk_statement::fiat_shamir::{FiatShamir, Label};
use obelysk_statement::whir::{ClaimGroup, Code, OpeningPlan};
use obelysk_verifier::whir::{Fold, Opening, Rows};

use crate::backend::{DeviceError, OpenedRows, OpeningRounds};

/// Open a commitment at claims whose values were absorbed, as was its root. `begin` makes the rounds of the claims' sum by powers of a
/// challenge.
///
/// # Errors
/// What the device reports.
pub fn open<'a>(
    plan: &OpeningPlan,
    claims: &[ClaimGroup],
    begin: impl FnOnce(Challenge) -> Result<Box<dyn OpeningRounds + 'a>, DeviceError>,
    transcript: &mut FiatShamir,
) -> Result<Opening, DeviceError> {
    transcript.absorb(Label::OPEN, &[plan.variables() as u32, ClaimGroup::count(claims) as u32]);
    let mut rounds = begin(transcript.challenge())?;
    let mut opening =
        Opening { folds: Vec::new(), roots: Vec::new(), rows: Vec::new(), last: Vec::new(), last_folds: Vec::new() };
    for (index, code) in plan.codes.iter().enumerate() {
        if let Some(before) = index.checked_sub(1) {
            let root = rounds.encode(code)?;
            transcript.absorb(Label::ROOT, &root.0);
            opening.roots.push(root);
            let (rows, positions) = open_rows(&plan.codes[before], before, rounds.as_mut(), transcript)?;
            opening.rows.push(rows);
            rounds.weigh_rows(&plan.codes[before], &positions, transcript.challenge())?;
        }
        opening.folds.push(folds(code.fold, code.fold_grinding, rounds.as_mut(), transcript)?);
    }
    opening.last = rounds.values()?;
    transcript.absorb_challenges(Label::CLEAR, &opening.last);
    let before = plan.codes.len() - 1;
    opening.rows.push(open_rows(&plan.codes[before], before, rounds.as_mut(), transcript)?.0);
    opening.last_folds = folds(plan.last_variables, plan.last_grinding, rounds.as_mut(), transcript)?;
    Ok(opening)
}

/// Rows of a code word whose folds are done.
fn open_rows(
    code: &Code,
    index: usize,
    rounds: &mut dyn OpeningRounds,
    transcript: &mut FiatShamir,
) -> Result<(Rows, Vec<usize>), DeviceError> {
    let work = work(code.query_grinding, transcript);
    let positions = transcript.positions(code.queries, code.log_rows());
    let OpenedRows { entries, siblings } = rounds.rows(index, &positions)?;
    Ok((Rows { work, entries, siblings }, positions))
}

/// Rounds of a sumcheck of degree two, whose messages lack the linear coefficient.
fn folds(
    count: usize,
    grinding: usize,
    rounds: &mut dyn OpeningRounds,
    transcript: &mut FiatShamir,
) -> Result<Vec<Fold>, DeviceError> {
    let mut folds = Vec::with_capacity(count);
    for _ in 0..count {
        let coefficients = rounds.polynomial()?;
        transcript.absorb_challenges(Label::FOLD, &coefficients);
        let work = work(grinding, transcript);
        rounds.fold(transcript.challenge())?;
        folds.push(Fold { coefficients, work });
    }
    Ok(folds)
}

fn work(bits: usize, transcript: &mut FiatShamir) -> Option<u32> {
    (bits > 0).then(|| crate::messages::work(bits, transcript))
}
