//! Damaged and made-up proofs: refused, never a panic.

use obelysk_tests::subject::{Subject, fixture};
use obelysk_verifier::verify;
use proptest::prelude::*;
use rayon::prelude::*;
use std::sync::LazyLock;

static SUBJECT: LazyLock<(Subject, Vec<u8>)> = LazyLock::new(|| {
    let subject = Subject::new(&fixture("qwen3"), &[&[5, 6]], 1);
    let proof = subject.prove(&subject.witness).unwrap();
    subject.verify(&proof).expect("the proof convinces before it is damaged");
    (subject, proof)
});

/// Number of sampled places; a proof has hundreds of thousands of bytes.
const SAMPLES: usize = 600;
/// Seed of the sample.
const SEED: u64 = 20_261_125;

/// Places spread over the proof, a different one in each stretch for each seed.
fn sampled_places(length: usize) -> Vec<usize> {
    println!("seed {SEED}");
    let mut state = SEED;
    let stretch = length / SAMPLES;
    (0..SAMPLES)
        .map(|sample| {
            // SplitMix64.
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            sample * stretch + (mixed as usize % stretch)
        })
        .collect()
}

#[test]
fn a_flipped_byte_is_refused_wherever_it_is() {
    let (subject, proof) = &*SUBJECT;
    let places: Vec<usize> =
        (0..200).chain(sampled_places(proof.len())).chain(proof.len() - 100..proof.len()).collect();
    let accepted: Vec<usize> = places
        .into_par_iter()
        .filter(|&place| {
            let mut damaged = proof.clone();
            damaged[place] ^= 1 << (place % 8);
            subject.verify(&damaged).is_ok()
        })
        .collect();
    assert!(accepted.is_empty(), "accepted with a flip at {accepted:?}");
}

#[test]
fn a_proof_that_is_cut_or_continued_is_refused() {
    let (subject, proof) = &*SUBJECT;
    for length in [0, 1, 32, proof.len() / 2, proof.len() - 1] {
        assert!(subject.verify(&proof[..length]).is_err(), "accepted when cut to {length} bytes");
    }
    for tail in [vec![0], vec![0; 32], proof.clone()] {
        assert!(
            subject.verify(&[proof.as_slice(), &tail].concat()).is_err(),
            "accepted with {} more bytes",
            tail.len()
        );
    }
}

#[test]
fn the_same_inference_gives_the_same_bytes_on_any_number_of_threads() {
    let (subject, proof) = &*SUBJECT;
    for threads in [1, 2, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let again = pool.install(|| subject.prove(&subject.witness).unwrap());
        assert!(again == *proof, "other bytes on {threads} threads");
    }
}

#[test]
fn the_unchecked_prover_of_the_attacks_makes_the_same_proofs() {
    let (subject, proof) = &*SUBJECT;
    assert!(subject.prove(&subject.witness).unwrap() == *proof);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn made_up_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let (subject, _) = &*SUBJECT;
        prop_assert!(subject.verify(&bytes).is_err());
    }

    #[test]
    fn a_scrambled_stretch_is_refused(start in 0usize..390_000, bytes in proptest::collection::vec(any::<u8>(), 4..200)) {
        let (subject, proof) = &*SUBJECT;
        let mut damaged = proof.clone();
        let start = start % (proof.len() - bytes.len());
        damaged[start..start + bytes.len()].copy_from_slice(&bytes);
        prop_assume!(damaged != *proof);
        prop_assert!(subject.verify(&damaged).is_err());
    }
}

#[test]
fn another_root_of_weights_is_refused() {
    let (subject, proof) = &*SUBJECT;
    let header = subject.claim().header();
    let mut root = subject.committed.root();
    root.0[0] ^= 1;
    assert!(verify(&subject.statement, &header, root, proof).is_err());
}
