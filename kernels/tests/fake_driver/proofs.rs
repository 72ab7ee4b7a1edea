//! Whole proofs, byte for byte those of the processor.

use std::path::Path;

use obelysk_kernels::Cuda;
use obelysk_prover::{Cpu, prove};
use obelysk_tests::subject::{Subject, fixture};
use obelysk_witness::fill_multiplicities;

use crate::machine::{Hardware, Machine};

/// Whether both make the same proof of a model's answer, which has to convince.
fn assert_same_proof(folder: &Path, hardware: Hardware) {
    let subject = Subject::new(folder, &[&[5, 6]], 1);
    let mut witness = subject.witness.clone();
    fill_multiplicities(&subject.statement, &subject.model.weights, &mut witness).unwrap();
    let header = b"a claim";
    let expected = prove(&Cpu, &subject.statement, header, &subject.committed, witness.clone()).unwrap();
    let machine = Machine::new(hardware);
    let device = Cuda::new(machine.kernels());
    let model = device.model(&subject.statement, &subject.model.weights).unwrap();
    assert_eq!(model.root(), subject.committed.root());
    let proven = prove(&device, &subject.statement, header, &model, witness).unwrap();
    assert!(proven.proof == expected.proof, "{}: other bytes", folder.display());
}

#[test]
fn a_proof_has_the_bytes_of_the_processors() {
    assert_same_proof(&fixture("qwen3"), Hardware::default());
}
