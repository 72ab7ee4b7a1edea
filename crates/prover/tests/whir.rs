//! Openings of stacked tiles: what the prover sends is accepted, and nothing else is.

use obelysk_prover::whir::{Codeword, Keep, Tiles, commit, evaluate, open};
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
    groups: Vec<ClaimGroup>,
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
        let mut case = Self { plan, tiles, groups: Vec::new() };
        for &length in points {
            let point = transcript.challenges(length);
            let own: Vec<usize> = (0..arities.len()).filter(|&tile| arities[tile] == length).collect();
            let values = evaluate(&case.plan, &case.cells(), &point, &own);
            case.groups.push(ClaimGroup { point, claims: own.into_iter().zip(values).collect() });
        }
        case
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
        let values: Vec<Challenge> =
            self.groups.iter().flat_map(|group| &group.claims).map(|&(_, value)| value).collect();
        transcript.absorb_challenges(Label::CLAIMS, &values);
        transcript
    }

    fn prove(&self, keep: Keep) -> Proof {
        let commitment = self.commit(keep);
        let mut transcript = self.transcript(commitment.root());
        let opening = open(&self.plan, &commitment, &self.cells(), &self.groups, &mut transcript);
        Proof { root: commitment.root(), opening, steps: transcript.steps().to_vec() }
    }

    fn verify_bytes(&self, root: Digest, bytes: &[u8]) -> Result<Vec<Step>, OpeningError> {
        let mut transcript = self.transcript(root);
        let mut reader = Reader::new(bytes);
        verify(&self.plan, root, &self.groups, &mut reader, &mut transcript)?;
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
fn claimed_values_are_the_multilinear_extensions_of_the_tiles() {
    for case in cases() {
        for group in &case.groups {
            for &(tile, value) in &group.claims {
                let entries: Vec<Challenge> =
                    case.tiles[tile].iter().map(|&entry| Challenge::from(Value::from_i16(entry))).collect();
                assert_eq!(obelysk_statement::whir::evaluated(&entries, &group.point), value);
            }
        }
    }
}
