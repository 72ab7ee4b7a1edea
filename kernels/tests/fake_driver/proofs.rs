//! Whole proofs, byte for byte those of the processor.

use obelysk_kernels::{Cuda, Kernels};
use obelysk_prover::{CommittedModel, Cpu, prove};
use obelysk_statement::Statement;
use obelysk_tests::small::{HEADER, Small};
use obelysk_tests::subject::{Subject, fixture};
use obelysk_witness::{Assignment, fill_multiplicities};

use obelysk_fake_driver::{Hardware, Machine};

/// Whether a device makes the processor's proof of values, true or not.
fn agrees(kernels: Kernels, statement: &Statement, model: &CommittedModel, witness: &Assignment) -> bool {
    let expected = prove(&Cpu, statement, HEADER, model, witness.clone()).unwrap();
    let device = Cuda::new(kernels);
    let own = device.model(statement, model.weights()).unwrap();
    let proven = prove(&device, statement, HEADER, &own, witness.clone()).unwrap();
    own.root() == model.root() && proven.proof == expected.proof
}

/// The same for the smallest statement with a relation of every kind.
pub fn agrees_on_every_relation(machine: &Machine) -> bool {
    let small = Small::new();
    agrees(machine.kernels(), &small.statement, &small.model, &small.witness)
}

fn assert_same_proof(name: &str, prompts: &[&[u32]], outputs: usize) {
    let subject = Subject::new(&fixture(name), prompts, outputs);
    let mut witness = subject.witness.clone();
    fill_multiplicities(&subject.statement, &subject.model.weights, &mut witness).unwrap();
    let machine = Machine::new(Hardware::default());
    assert!(agrees(machine.kernels(), &subject.statement, &subject.committed, &witness), "{name}: other bytes");
}

#[test]
fn relations_of_every_kind_are_proven_alike_on_any_grid() {
    for multiprocessors in [1, 3, 132] {
        let machine = Machine::new(Hardware { multiprocessors, ..Hardware::default() });
        assert!(agrees_on_every_relation(&machine), "other bytes on {multiprocessors} multiprocessors");
    }
}

#[test]
fn every_fixture_is_proven_alike() {
    for name in ["gemma2", "llama31", "mistral", "phi3", "qwen2", "qwen3"] {
        assert_same_proof(name, &[&[5, 6]], 1);
    }
}

#[test]
fn several_inferences_are_proven_alike() {
    assert_same_proof("qwen3", &[&[5, 6, 7], &[9]], 2);
}
