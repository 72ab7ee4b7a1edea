//! Whole proofs, byte for byte those of the processor.

use obelysk_kernels::{Cuda, Kernels, needed};
use obelysk_prover::{CommittedModel, Cpu, DeviceError, ProveError, prove};
use obelysk_statement::Statement;
use obelysk_tests::small::{HEADER, Small};
use obelysk_tests::subject::{Subject, fixture};
use obelysk_witness::{Assignment, fill_multiplicities};

use obelysk_fake_driver::{Hardware, Machine};

/// Whether a device makes the processor's proof of values, true or not.
fn agrees(kernels: Vec<Kernels>, statement: &Statement, model: &CommittedModel, witness: &Assignment) -> bool {
    let expected = prove(&Cpu, statement, HEADER, model, witness.clone()).unwrap();
    let device = Cuda::of_several(kernels);
    let own = device.model(statement, device.weights(model.weights()).unwrap()).unwrap();
    let proven = prove(&device, statement, HEADER, &own, witness.clone()).unwrap();
    own.root() == model.root() && proven.proof == expected.proof
}

/// The same for the smallest statement with a relation of every kind.
pub fn agrees_on_every_relation(machine: &Machine) -> bool {
    let small = Small::new();
    agrees(machine.all_kernels(), &small.statement, &small.model, &small.witness)
}

/// A fixture's answers to prompts, ready to be proven.
fn answered(name: &str, prompts: &[&[u32]], outputs: usize) -> (Subject, Assignment) {
    let subject = Subject::new(&fixture(name), prompts, outputs);
    let mut witness = subject.witness.clone();
    fill_multiplicities(&subject.statement, &subject.model.weights, &mut witness).unwrap();
    (subject, witness)
}

/// The same proof, on devices that have the memory that is said to be needed: not less than it takes, and of one not much more.
fn assert_same_proof(name: &str, prompts: &[&[u32]], outputs: usize, devices: usize) {
    let (subject, witness) = answered(name, prompts, outputs);
    let needed = needed(&subject.statement, &subject.model.weights, devices).unwrap();
    let memory = *needed.iter().max().unwrap();
    let machine = Machine::new(Hardware { devices: devices as i32, memory: memory as usize, ..Hardware::default() });
    for (device, own) in needed.iter().enumerate() {
        machine.occupy(device as i32, memory - own);
    }
    let kernels = machine.all_kernels();
    assert!(agrees(kernels, &subject.statement, &subject.committed, &witness), "{name} on {devices}: other bytes");
    for (device, needed) in needed.iter().enumerate() {
        let taken = machine.peak(device as i32);
        println!("{name}: device {device} of {devices}: {taken} of {needed} bytes");
        assert!(taken > 0, "{name}: device {device} of {devices} did nothing");
        assert!(
            devices > 1 || taken * 100 >= needed * 95,
            "{name}: {taken} bytes were taken, {needed} said to be needed"
        );
    }
}

#[test]
fn a_proof_that_does_not_fit_is_refused_before_anything_is_taken() {
    let (subject, _) = answered("qwen3", &[&[5, 6]], 1);
    let answer = |memory: u64| {
        let machine = Machine::new(Hardware { memory: memory as usize, ..Hardware::default() });
        let answer = Cuda::new(machine.kernels()).require_memory(&subject.statement, &subject.model.weights, false);
        assert_eq!(machine.peak(0), 0);
        answer
    };
    let Err(ProveError::Device(DeviceError::OutOfMemory { needed: wanted, free: 1, .. })) = answer(1) else {
        panic!("one byte is enough")
    };
    // A pool takes more than it is asked for.
    assert!(wanted > needed(&subject.statement, &subject.model.weights, 1).unwrap()[0]);
    assert_eq!(answer(wanted), Ok(()));
    let refused = DeviceError::OutOfMemory { device: "Obelysk fake device 0".into(), needed: wanted, free: wanted - 1 };
    assert_eq!(answer(wanted - 1), Err(refused.into()));
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
        assert_same_proof(name, &[&[5, 6]], 1, 1);
    }
}

#[test]
fn relations_of_every_kind_are_proven_alike_on_any_number_of_devices() {
    for devices in [2, 3, 4, 5] {
        let machine = Machine::new(Hardware { devices, ..Hardware::default() });
        assert!(agrees_on_every_relation(&machine), "other bytes on {devices} devices");
    }
}

#[test]
fn every_fixture_is_proven_alike_on_two_devices_and_on_three() {
    for (name, devices) in [("gemma2", 2), ("llama31", 3), ("mistral", 2), ("phi3", 3), ("qwen2", 2), ("qwen3", 3)] {
        assert_same_proof(name, &[&[5, 6]], 1, devices);
    }
}

/// What proving the smallest statement on all devices ends with.
fn failure(machine: &Machine, spoil: impl FnOnce()) -> DeviceError {
    let small = Small::new();
    let device = Cuda::of_several(machine.all_kernels());
    let own = device.model(&small.statement, device.weights(small.model.weights()).unwrap()).unwrap();
    spoil();
    match prove(&device, &small.statement, HEADER, &own, small.witness.clone()) {
        Err(ProveError::Device(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a proof was made"),
    }
}

#[test]
fn a_second_device_that_is_full_is_named_with_its_numbers() {
    let machine = Machine::new(Hardware { devices: 2, ..Hardware::default() });
    let error = failure(&machine, || machine.occupy(1, (1 << 28) - machine.peak(1)));
    let DeviceError::OutOfMemory { device, needed: 1.., .. } = &error else { panic!("{error}") };
    assert_eq!(device, "Obelysk fake device 1");
}

#[test]
fn a_second_device_that_is_lost_is_named_with_its_error() {
    let machine = Machine::new(Hardware { devices: 2, ..Hardware::default() });
    let error = failure(&machine, || machine.lose(1, 719));
    let reason = "CUDA_ERROR_LAUNCH_FAILED".into();
    assert_eq!(error, DeviceError::Lost { device: "Obelysk fake device 1".into(), reason });
}

#[test]
fn several_inferences_are_proven_alike() {
    assert_same_proof("qwen3", &[&[5, 6, 7], &[9]], 2, 1);
}
