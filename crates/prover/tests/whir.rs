//! Openings of stacked tiles: what the prover sends is accepted, and nothing else is.

use obelysk_prover::backend::Evaluated;
use obelysk_prover::cpu::whir::{Codeword, CommittedTiles, Keep, Tiles, commit, evaluate};
use obelysk_statement::fiat_shamir::{FiatShamir, Label, Step};
use obelysk_statement::schedule::Schedule;
use obelysk_statement::tree::Digest;
use obelysk_statement::whir::{ClaimGroup, OpeningPlan, Stack};
use obelysk_statement::{Challenge, Value};
use obelysk_verifier::whir::{Opening, OpeningError, Reader, verify};
use p3_field::PrimeCharacteristicRing;

/// Some tiles with claims about them.
struct Case {
    plan: OpeningPlan,
    tiles: Vec<Vec<i16>>,
    claims: Evaluated,
}

/// A proof of a case.
struct Proof {
    root: Digest,
    opening: Opening,
    steps: Vec<Step>,
}

/// Folds of `first`, then `later` variables; few bits of security, so that tests are fast.
fn schedule(variables: usize, [first, later]: [usize; 2], log_inverse_rate: usize, security: usize) -> Schedule {
    let mut folds = vec![first];
    while variables - folds.iter().sum::<usize>() > 6 {
        folds.push(later);
    }
    let later_rates = vec![log_inverse_rate.max(2); folds.len() - 1];
    Schedule { folds, log_inverse_rate, later_rates, grinding: 6, term_security: security }
}

fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

impl Case {
    /// Tiles of these arities; every point is claimed of every tile of its length.
    fn new(arities: &[usize], points: &[usize], folds: [usize; 2], log_inverse_rate: usize, security: usize) -> Self {
        let stack = Stack::new(arities, folds[0], 0);
        let schedule = schedule(stack.variables, folds, log_inverse_rate, security);
        let plan = OpeningPlan::new(stack, &schedule).expect("a plan");
        let mut random = random(7);
        let tiles: Vec<Vec<i16>> =
            arities.iter().map(|&arity| (0..1 << arity).map(|_| random() as i16).collect()).collect();
        let mut transcript = FiatShamir::default();
        transcript.absorb(Label::CLAIMS, &[1]);
        let groups = points.iter().map(|&length| {
            let tiles = (0..arities.len()).filter(|&tile| arities[tile] == length).collect();
            ClaimGroup { point: transcript.challenges(length), tiles, values: Vec::new() }
        });
        let groups = groups.collect();
        let cells = Tiles(tiles.iter().map(Vec::as_slice).collect());
        let claims = evaluate(&plan, &cells, groups);
        Self { plan, tiles, claims }
    }

    fn cells(&self) -> Tiles<'_, i16> {
        Tiles(self.tiles.iter().map(Vec::as_slice).collect())
    }

    fn commit(&self, keep: Keep) -> Codeword {
        commit(&self.plan, &self.cells(), keep)
    }

    fn transcript(&self, root: Digest) -> FiatShamir {
        let mut transcript = FiatShamir::recording();
        transcript.absorb(Label::ROOT, &root.0);
        let values: Vec<Challenge> = self.claims.groups.iter().flat_map(|group| group.values.clone()).collect();
        transcript.absorb_challenges(Label::CLAIMS, &values);
        transcript
    }

    fn prove(&self, keep: Keep) -> Proof {
        self.prove_with(&self.commit(keep))
    }

    fn prove_with(&self, codeword: &Codeword) -> Proof {
        let mut transcript = self.transcript(codeword.root());
        let committed = CommittedTiles { plan: &self.plan, codeword, cells: &self.cells() };
        let opening = committed.open(&self.claims, &mut transcript).expect("a processor");
        Proof { root: codeword.root(), opening, steps: transcript.steps().to_vec() }
    }

    fn verify_bytes(&self, root: Digest, bytes: &[u8]) -> Result<Vec<Step>, OpeningError> {
        let mut transcript = self.transcript(root);
        let mut reader = Reader::new(bytes);
        verify(&self.plan, root, &self.claims.groups, &mut reader, &mut transcript)?;
        reader.finish()?;
        Ok(transcript.steps().to_vec())
    }
}

fn cases() -> Vec<Case> {
    vec![
        Case::new(&[8], &[8], [3, 2], 1, 30),
        Case::new(&[9, 7, 7, 4, 2, 2, 0], &[9, 7, 7, 4, 2, 0], [3, 2], 1, 40),
        Case::new(&[10, 6, 10, 3], &[10, 6, 3, 10], [6, 2], 3, 40),
        Case::new(&[13], &[13, 13, 13], [2, 4], 2, 50),
        Case::new(&[11, 10, 3], &[11, 10], [4, 3], 3, 113),
    ]
}

#[test]
fn what_the_prover_sends_is_accepted_and_both_sides_take_the_same_steps() {
    for case in cases() {
        let proof = case.prove(Keep::Codeword);
        assert_eq!(case.verify_bytes(proof.root, &proof.opening.encode()), Ok(proof.steps));
    }
}

#[test]
fn openings_of_any_mix_of_tiles_are_accepted() {
    let mut random = random(11);
    for mix in 0..40 {
        let arities: Vec<usize> = (0..1 + random() % 9).map(|_| (random() % 9) as usize).collect();
        let points: Vec<usize> = (0..random() % 6).map(|_| arities[random() as usize % arities.len()]).collect();
        let first = 1 + (random() % 4) as usize;
        let case = Case::new(&[&[7 + first], &arities[..]].concat(), &points, [first, 2], 1 + mix % 3, 20);
        let proof = case.prove(if mix % 2 == 0 { Keep::Codeword } else { Keep::Top });
        assert_eq!(
            case.verify_bytes(proof.root, &proof.opening.encode()),
            Ok(proof.steps),
            "{arities:?} at {points:?}"
        );
    }
}

#[test]
fn claimed_values_are_the_multilinear_extensions_of_the_tiles() {
    for case in cases() {
        for group in &case.claims.groups {
            for (&tile, &value) in group.tiles.iter().zip(&group.values) {
                let entries: Vec<Challenge> =
                    case.tiles[tile].iter().map(|&entry| Challenge::from(Value::from_i16(entry))).collect();
                assert_eq!(obelysk_statement::whir::evaluated(&entries, &group.point), value);
            }
        }
    }
}

#[test]
fn the_bytes_do_not_depend_on_threads_nor_on_what_is_kept() {
    for case in cases() {
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let bytes = pool(1).install(|| case.prove(Keep::Codeword).opening.encode());
        assert_eq!(pool(2).install(|| case.prove(Keep::Codeword).opening.encode()), bytes);
        assert_eq!(pool(3).install(|| case.prove(Keep::Top).opening.encode()), bytes);
    }
}

#[test]
fn a_change_of_any_word_is_refused() {
    let case = &cases()[1];
    let proof = case.prove(Keep::Codeword);
    let words = proof.opening.words();
    for index in 0..words.len() {
        for change in [1, 1 << 30, 1 << 31] {
            let mut words = words.clone();
            words[index] ^= change;
            let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
            assert!(case.verify_bytes(proof.root, &bytes).is_err(), "word {index} with {change} is accepted");
        }
    }
}

#[test]
fn bytes_that_are_cut_off_left_over_or_random_are_refused() {
    let case = &cases()[0];
    let proof = case.prove(Keep::Codeword);
    let bytes = proof.opening.encode();
    for length in (0..bytes.len()).step_by(7) {
        let refused = case.verify_bytes(proof.root, &bytes[..length]);
        assert!(matches!(refused, Err(OpeningError::Unreadable(_))), "{length}: {refused:?}");
    }
    let longer = [&bytes[..], &[0; 4]].concat();
    assert_eq!(
        case.verify_bytes(proof.root, &longer),
        Err(OpeningError::Unreadable(obelysk_verifier::whir::Unreadable::Long { bytes: 4 }))
    );
    let mut random = random(3);
    for _ in 0..100 {
        let noise: Vec<u8> = (0..bytes.len()).map(|index| if index % 4 == 3 { 0 } else { random() as u8 }).collect();
        assert!(case.verify_bytes(proof.root, &noise).is_err());
    }
}

#[test]
fn each_check_refuses_what_it_is_for() {
    let case = &cases()[3];
    let proof = case.prove(Keep::Codeword);
    assert!(case.plan.codes.len() > 2 && case.plan.codes[0].query_grinding > 0);
    let refused = |change: &dyn Fn(&mut Opening)| {
        let mut opening = proof.opening.clone();
        change(&mut opening);
        case.verify_bytes(proof.root, &opening.encode()).expect_err("a changed opening is refused")
    };
    let next = |work: &mut Option<u32>| *work = work.map(|work| work + 1);
    let bits = case.plan.codes[0].query_grinding;
    assert_eq!(refused(&|opening| next(&mut opening.rows[0].work)), OpeningError::Work { bits });
    for code in 0..case.plan.codes.len() {
        assert_eq!(refused(&|opening| opening.rows[code].entries[0] += Value::ONE), OpeningError::Root { code });
        if !proof.opening.rows[code].siblings.is_empty() {
            assert_eq!(refused(&|opening| opening.rows[code].siblings[0].0[0] ^= 1), OpeningError::Root { code });
        }
    }
    let last = refused(&|opening| opening.last[0] += Challenge::ONE);
    assert!(
        matches!(last, OpeningError::Work { .. } | OpeningError::Root { .. } | OpeningError::Unreadable(_)),
        "{last}"
    );
    let fold = |opening: &mut Opening, coefficient: usize| {
        opening.last_folds.last_mut().expect("a last fold").coefficients[coefficient] += Challenge::ONE;
    };
    assert_eq!(refused(&|opening| fold(opening, 0)), OpeningError::Values);
    assert_eq!(refused(&|opening| fold(opening, 1)), OpeningError::Values);
}

#[test]
fn a_fold_without_its_work_is_refused() {
    let case = &cases()[4];
    let bits = case.plan.codes[0].fold_grinding;
    assert!(bits > 0, "this case grinds before folds");
    let mut proof = case.prove(Keep::Codeword);
    let work = &mut proof.opening.folds[0][1].work;
    *work = work.map(|work| work + 1);
    assert_eq!(case.verify_bytes(proof.root, &proof.opening.encode()), Err(OpeningError::Work { bits }));
}

#[test]
fn a_false_value_point_or_root_is_refused_though_honest_code_proves_it() {
    for mut case in cases() {
        let honest = case.claims.groups.clone();
        let group = honest.len() / 2;
        let last = honest[group].values.len() - 1;

        case.claims.groups[group].values[last] += Challenge::ONE;
        let proof = case.prove(Keep::Codeword);
        assert_eq!(case.verify_bytes(proof.root, &proof.opening.encode()), Err(OpeningError::Values));

        case.claims.groups = honest.clone();
        if let Some(coordinate) = case.claims.groups[group].point.last_mut() {
            *coordinate += Challenge::ONE;
            let proof = case.prove(Keep::Codeword);
            assert_eq!(case.verify_bytes(proof.root, &proof.opening.encode()), Err(OpeningError::Values));
        }

        case.claims.groups = honest.clone();
        let proof = case.prove(Keep::Codeword);
        let bytes = proof.opening.encode();
        let mut other = proof.root;
        other.0[0] ^= 1;
        assert!(case.verify_bytes(other, &bytes).is_err());
        let mut transcript = case.transcript(proof.root);
        let refused = verify(&case.plan, other, &case.claims.groups, &mut Reader::new(&bytes), &mut transcript);
        assert_eq!(refused, Err(OpeningError::Root { code: 0 }));
    }
}

#[test]
fn false_values_that_cancel_are_refused() {
    for mut case in cases() {
        let count: usize = case.claims.groups.iter().map(|group| group.values.len()).sum();
        if count < 2 {
            continue;
        }
        let mut values = case.claims.groups.iter_mut().flat_map(|group| &mut group.values);
        *values.next().expect("a first claim") += Challenge::ONE;
        *values.last().expect("another claim") -= Challenge::ONE;
        let proof = case.prove(Keep::Codeword);
        assert_eq!(case.verify_bytes(proof.root, &proof.opening.encode()), Err(OpeningError::Values));
    }
}

#[test]
fn cells_other_than_the_committed_ones_are_refused() {
    for mut case in cases() {
        let commitment = case.commit(Keep::Codeword);
        case.tiles[0][3] ^= 1;
        case.claims = evaluate(&case.plan, &case.cells(), case.claims.groups.clone());
        let proof = case.prove_with(&commitment);
        let refused = case.verify_bytes(proof.root, &proof.opening.encode());
        let only_code = case.plan.codes.len() == 1;
        assert!(
            matches!(refused, Err(OpeningError::Values))
                || only_code && matches!(refused, Err(OpeningError::Last { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn claims_about_something_else_are_an_error() {
    let mut case = cases().remove(0);
    let proof = case.prove(Keep::Codeword);
    let bytes = proof.opening.encode();
    case.claims.groups[0].tiles[0] = 1;
    assert!(matches!(case.verify_bytes(proof.root, &bytes), Err(OpeningError::Claims(_))));
    case.claims.groups[0].tiles[0] = 0;
    case.claims.groups[0].point.pop();
    assert!(matches!(case.verify_bytes(proof.root, &bytes), Err(OpeningError::Claims(_))));
}
