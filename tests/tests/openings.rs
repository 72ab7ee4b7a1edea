//! The opening of a commitment by itself: claims that are wrong one by one and right together are refused.

use std::sync::LazyLock;

use obelysk_prover::cpu::whir::{Codeword, CommittedTiles, Keep, Tiles, commit, evaluate};
use obelysk_statement::Challenge;
use obelysk_statement::fiat_shamir::{FiatShamir, Label};
use obelysk_statement::schedule::Schedule;
use obelysk_statement::whir::{ClaimGroup, OpeningPlan, Stack};
use obelysk_verifier::whir::{OpeningError, Reader, verify};
use p3_field::PrimeCharacteristicRing;

/// Variables of the tiles, the last two of which are of claims at one point.
const ARITIES: [usize; 4] = [12, 9, 6, 6];

struct Fixture {
    plan: OpeningPlan,
    tiles: Vec<Vec<i16>>,
    codeword: Codeword,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let plan = OpeningPlan::new(Stack::new(&ARITIES, 6, 12), &Schedule::new(13, 6)).expect("a plan");
    let entry = |index: usize, tile: usize| (((index + tile) * 0x9e37_79b9) >> 20 & 0xfff) as i16 - 2048;
    let tile = |(tile, arity): (usize, usize)| (0..1 << arity).map(|index| entry(index, tile)).collect();
    let tiles: Vec<Vec<i16>> = ARITIES.into_iter().enumerate().map(tile).collect();
    let codeword = commit(&plan, &Tiles(tiles.iter().map(Vec::as_slice).collect()), Keep::Codeword);
    Fixture { plan, tiles, codeword }
});

/// What the verifier says of changed claims, each about a tile at a point of its own but for the last two.
fn outcome(change: impl FnOnce(&mut [ClaimGroup])) -> Result<(), OpeningError> {
    let Fixture { plan, tiles, codeword } = &*FIXTURE;
    let cells = Tiles(tiles.iter().map(Vec::as_slice).collect());
    let mut transcript = FiatShamir::default();
    transcript.absorb(Label::ROOT, &codeword.root().0);
    let groups = [vec![0], vec![1], vec![2, 3]].into_iter().map(|tiles| ClaimGroup {
        point: transcript.challenges(ARITIES[tiles[0]]),
        tiles,
        values: Vec::new(),
    });
    let mut claims = evaluate(plan, &cells, groups.collect());
    change(&mut claims.groups);
    for group in &claims.groups {
        transcript.absorb_challenges(Label::CLAIMS, &group.values);
    }
    let mut verifier = transcript.clone();
    let opening = CommittedTiles { plan, codeword, cells: &cells }.open(&claims, &mut transcript);
    let bytes = opening.expect("the processor opens anything").encode();
    verify(plan, codeword.root(), &claims.groups, &mut Reader::new(&bytes), &mut verifier)
}

#[test]
fn values_that_make_up_for_each_other_are_refused() {
    assert_eq!(FIXTURE.plan.codes.len(), 2);
    assert_eq!(outcome(|_| {}), Ok(()));
    let across = |groups: &mut [ClaimGroup]| {
        groups[0].values[0] += Challenge::ONE;
        groups[1].values[0] -= Challenge::ONE;
    };
    assert_eq!(outcome(across), Err(OpeningError::Values));
    let within = |groups: &mut [ClaimGroup]| {
        groups[2].values[0] += Challenge::ONE;
        groups[2].values[1] -= Challenge::ONE;
    };
    assert_eq!(outcome(within), Err(OpeningError::Values));
}

#[test]
fn values_of_other_tiles_or_points_are_refused() {
    assert_eq!(outcome(|groups| groups[2].values.swap(0, 1)), Err(OpeningError::Values));
    assert_eq!(outcome(|groups| groups[1].values[0] = groups[0].values[0]), Err(OpeningError::Values));
}

#[test]
fn as_many_values_as_claims_are_needed() {
    // The verifier takes the number from the statement; whoever calls it by itself is told.
    let Fixture { plan, codeword, .. } = &*FIXTURE;
    let verdict = |values: usize, tile: usize, coordinates: usize| {
        let point = vec![Challenge::TWO; coordinates];
        let groups = [ClaimGroup { point, tiles: vec![tile], values: vec![Challenge::ONE; values] }];
        verify(plan, codeword.root(), &groups, &mut Reader::new(&[]), &mut FiatShamir::default())
    };
    assert!(matches!(verdict(1, 2, 6), Err(OpeningError::Unreadable(_))));
    for (values, tile, coordinates) in [(0, 2, 6), (2, 2, 6), (1, 4, 6), (1, 2, 5)] {
        let refused = verdict(values, tile, coordinates);
        assert!(matches!(refused, Err(OpeningError::Claims(_))), "{refused:?}");
    }
}
