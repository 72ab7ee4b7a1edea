//! Machine code: compiled once, kept, and missed with a reason.

use std::fs;

use obelysk_kernels::Kernels;
use obelysk_prover::DeviceError;

use crate::random::Random;
use crate::{bind, tree};
use obelysk_fake_driver::{Hardware, Machine};

fn refused(machine: &Machine, kept: &std::path::Path) -> String {
    match Kernels::load(machine.device(), kept) {
        Err(DeviceError::NoKernelImage { device, reason }) => {
            assert_eq!(device, "Obelysk fake device 0");
            reason
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("kernels were loaded"),
    }
}

#[test]
fn kernels_are_compiled_once() {
    let machine = Machine::new(Hardware::default());
    let home = tempfile::tempdir().unwrap();
    let kept = home.path().join("kernels");
    Kernels::load(machine.device(), &kept).unwrap();
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 11);
    machine.plant("bind.cu", "item < half;", "this does not compile;");
    let kernels = Kernels::load(machine.device(), &kept).unwrap();
    let mut random = Random::new(8);
    assert!(bind::agrees(&kernels, 100, &mut random) && tree::agrees(&kernels, 4, 5, &mut random));
}

#[test]
fn a_source_that_does_not_compile_is_a_device_without_kernels() {
    let machine = Machine::new(Hardware::default());
    machine.plant("bind.cu", "item < half;", "this does not compile;");
    let kept = tempfile::tempdir().unwrap();
    let reason = refused(&machine, kept.path());
    assert!(reason.contains("bind.cu") && reason.contains("error"), "{reason}");
}

#[test]
fn a_kept_file_that_is_damaged_is_compiled_anew() {
    let machine = Machine::new(Hardware::default());
    let kept = tempfile::tempdir().unwrap();
    Kernels::load(machine.device(), kept.path()).unwrap();
    let files = || fs::read_dir(kept.path()).unwrap().map(|file| file.unwrap().path());
    let whole: Vec<Vec<u8>> = files().map(|path| fs::read(path).unwrap()).collect();
    for (damaged, path) in files().enumerate() {
        let code = &whole[damaged];
        let last = code.len() - 1;
        match damaged % 3 {
            0 => fs::write(path, &code[..last]).unwrap(),
            1 => fs::write(path, []).unwrap(),
            _ => fs::write(path, [&code[..last], &[code[last] ^ 1]].concat()).unwrap(),
        }
    }
    Kernels::load(machine.device(), kept.path()).unwrap();
    assert_eq!(files().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), whole);
}

#[test]
fn code_that_the_driver_refuses_is_a_device_without_kernels() {
    let machine = Machine::new(Hardware::default());
    let kept = tempfile::tempdir().unwrap();
    machine.fail("cuModuleLoadData", 209);
    assert!(refused(&machine, kept.path()).contains("CUDA_ERROR_NO_BINARY_FOR_GPU"));
}
