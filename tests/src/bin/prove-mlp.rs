//! Proves a multilayer perceptron and prints what each step takes, as JSON.

use std::env;
use std::sync::Arc;
use std::time::Instant;

use obelysk_prover::{CommittedModel, Cpu, prove};
use obelysk_tests::mlp::Mlp;
use obelysk_verifier::verify;
use obelysk_witness::{check, fill_multiplicities};
use serde_json::json;

const HEADER: &[u8] = b"a multilayer perceptron";

fn timed<T>(step: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let value = step();
    (value, start.elapsed().as_secs_f64())
}

fn main() {
    let numbers: Option<Vec<usize>> = env::args().skip(1).map(|argument| argument.parse().ok()).collect();
    let Some([layers, width]) = numbers.as_deref() else { panic!("usage: prove-mlp LAYERS WIDTH") };
    let mlp = Mlp { layers: *layers, width: *width };
    let weights = Arc::new(mlp.weights());
    let input = mlp.input();
    let ((output, witness), witness_seconds) = timed(|| {
        let (output, mut witness) = mlp.forward(&weights, &input);
        let statement = mlp.statement(&input, &output);
        fill_multiplicities(&statement, &weights, &mut witness).expect("every sum is in the table");
        (output, witness)
    });
    let statement = mlp.statement(&input, &output);
    statement.check().expect("a sound statement");
    check(&statement, &weights, &witness).expect("values that satisfy it");

    let (model, commit_seconds) = timed(|| CommittedModel::new(&statement, weights).expect("a supported size"));
    let (proven, prove_seconds) = timed(|| prove(&Cpu, &statement, HEADER, &model, witness).expect("a proof"));
    // Whoever checks writes the statement from the input and the output that are claimed.
    let (checked, verify_seconds) =
        timed(|| verify(&mlp.statement(&input, &output), HEADER, model.root(), &proven.proof));
    let phases = proven.phases.times.iter().map(|(name, time)| json!({"name": name, "seconds": time.as_secs_f64()}));
    let report = json!({
        "commitSeconds": commit_seconds,
        "witnessSeconds": witness_seconds,
        "proveSeconds": prove_seconds,
        "verifySeconds": verify_seconds,
        "proofBytes": proven.proof.len(),
        "securityBits": checked.expect("a proof that holds").bits(),
        "phases": phases.collect::<Vec<_>>(),
    });
    println!("{report}");
}
