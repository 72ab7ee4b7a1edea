//! The accounting of a proof's soundness error, pinned: a term that is left out is a test that fails.

use obelysk_statement::CompileError;
use obelysk_statement::layout::Role;
use obelysk_statement::schedule::{LOOKUP_GRINDING, Schedule, first_fold};
use obelysk_statement::security::{Phase, SecurityReport, TARGET_BITS};
use obelysk_statement::whir::{OpeningPlan, Stack, opening_error, terms};
use obelysk_tests::small::{HEADER, Small};
use obelysk_verifier::verify;

fn report(phases: &[f64]) -> SecurityReport {
    let phase = |&bits: &f64| Phase { name: "phase", bits, grinding: 0 };
    SecurityReport { phases: phases.iter().map(phase).collect() }
}

/// Names, bits and grinding, two decimals.
fn lines(report: &SecurityReport) -> Vec<String> {
    let phase = |phase: &Phase| format!("{} {:.2} {}", phase.name, phase.bits, phase.grinding);
    report.phases.iter().map(phase).collect()
}

#[test]
fn errors_of_all_phases_add_up() {
    assert!((report(&[101.0, 101.0]).bits() - 100.0).abs() < 1e-9);
    assert!((report(&[103.0, 103.0, 102.0]).bits() - 101.0).abs() < 1e-9);
    assert_eq!(TARGET_BITS.to_bits(), 100f64.to_bits());
}

#[test]
fn less_than_a_hundred_bits_are_refused() {
    assert!(report(&[101.0, 101.0]).require_target().is_ok());
    let refused = report(&[101.0, 100.9]).require_target();
    assert!(matches!(refused, Err(CompileError::Insecure { .. })), "{refused:?}");
    assert!(report(&[120.0, 99.9]).require_target().is_err());
}

#[test]
fn a_small_proof_has_these_bits() {
    let small = Small::new();
    let report = verify(&small.statement, HEADER, small.model.root(), &small.prove()).unwrap();
    // 2^14 leaves of two columns and a table's number: 3 * 2^14 roots. The tree has 224: in layer k two per round and two more, then
    // one per coordinate of its point.
    let [identity, tree] = [123.99 + 16.0 - 14.0 - 3f64.log2(), 123.99 - 224f64.log2()];
    let lookups = -((-identity).exp2() + (-tree).exp2()).log2();
    assert!((report.phases[0].bits - lookups).abs() < 1e-9, "{lookups}");
    let pinned = ["lookups 116.18 16", "sumchecks 114.84 0", "weight opening 104.59 12", "witness opening 102.94 12"];
    assert_eq!(lines(&report), pinned);
    assert_eq!(format!("{:.2}", report.bits()), "102.54");
}

#[test]
fn schedules_of_commitments_are_these() {
    let shown = |variables, role| {
        let Schedule { folds, log_inverse_rate, later_rates, grinding, term_security } =
            Schedule::new(variables, first_fold(variables, role));
        format!("{folds:?} {log_inverse_rate} {later_rates:?} {grinding} {term_security}")
    };
    assert_eq!(LOOKUP_GRINDING, 16);
    let pinned: [(usize, Role, &str); 9] = [
        (12, Role::Weight, "[6] 3 [] 12 105"),
        (12, Role::Witness, "[6] 3 [] 12 105"),
        (18, Role::Witness, "[6, 4, 4] 3 [3, 3] 16 106"),
        (22, Role::Weight, "[6, 4, 4, 4] 3 [3, 3, 3] 16 106"),
        (23, Role::Weight, "[6, 4, 4, 4] 1 [3, 3, 3] 16 106"),
        (23, Role::Witness, "[5, 4, 4, 4] 1 [3, 3, 3] 16 106"),
        (30, Role::Witness, "[5, 4, 4, 4, 4, 4] 1 [3, 3, 3, 3, 3] 16 107"),
        (31, Role::Witness, "[8, 4, 4, 4, 4, 4] 1 [3, 3, 3, 3, 3] 20 107"),
        (32, Role::Witness, "[8, 4, 4, 4, 4, 4] 1 [3, 3, 3, 3, 3] 20 108"),
    ];
    let schedules: Vec<String> = pinned.iter().map(|&(variables, role, _)| shown(variables, role)).collect();
    assert_eq!(schedules, pinned.map(|(.., line)| line));
}

#[test]
fn openings_have_these_bits() {
    let pinned = [
        (12, 1, "104.593955 12"),
        (12, 100, "104.593544 12"),
        (18, 100, "102.072378 16"),
        (23, 300, "101.342455 16"),
        (32, 1000, "102.418841 20"),
    ];
    let shown = pinned.map(|(variables, claims, _)| {
        let fold = first_fold(variables, Role::Weight);
        let plan = OpeningPlan::new(Stack::new(&[variables], fold, 0), &Schedule::new(variables, fold)).unwrap();
        let Phase { bits, grinding, .. } = opening_error("opening", &plan, claims);
        format!("{bits:.6} {grinding}")
    });
    assert_eq!(shown, pinned.map(|(.., line)| line));
}

#[test]
fn the_error_of_an_opening_has_these_terms() {
    let plan = OpeningPlan::new(Stack::new(&[18], 6, 0), &Schedule::new(18, 6)).unwrap();
    let shown: Vec<String> =
        terms(&plan, 100).iter().map(|term| format!("{} {:.2} {}", term.name, term.bits, term.count)).collect();
    let pinned = [
        "claims 116.37 1",
        "proximity 105.00 6",
        "sumcheck 125.00 6",
        "queries 106.48 1",
        "combination 131.23 1",
        "proximity 108.00 4",
        "sumcheck 122.00 4",
        "queries 106.48 1",
        "combination 131.23 1",
        "proximity 112.00 4",
        "sumcheck 122.00 4",
        "queries 106.48 1",
        "sumcheck 122.00 4",
    ];
    assert_eq!(shown, pinned);
    let sum: f64 = terms(&plan, 100).iter().map(|term| term.count as f64 * (-term.bits).exp2()).sum();
    assert!((opening_error("opening", &plan, 100).bits + sum.log2()).abs() < 1e-9);
    assert!(terms(&plan, 1).iter().all(|term| term.name != "claims"));
}
