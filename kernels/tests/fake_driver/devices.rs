//! What is said of devices, and of those that do not do their work.

use obelysk_kernels::{CudaVersion, Device, DriverError, Extension, Gpu, Kernels, discover, discover_fake};
use obelysk_prover::DeviceError;

use crate::random::{Random, to_device};
use obelysk_fake_driver::{Hardware, Machine};

const OUT_OF_MEMORY: i32 = 2;
const LAUNCH_FAILED: i32 = 719;

#[test]
fn every_device_is_described() {
    let _machine = Machine::new(Hardware { devices: 3, memory: 1 << 20, ..Hardware::default() });
    let driver = discover_fake().unwrap();
    assert_eq!(driver.cuda, CudaVersion { major: 13, minor: 0 });
    assert_eq!(driver.gpus.len(), 3);
    let expected = Gpu {
        ordinal: 2,
        name: "Obelysk fake device 2".into(),
        uuid: "GPU-00000000-0000-0000-0000-000000000002".into(),
        memory_bytes: 1 << 20,
        compute: (9, 0),
        mig: false,
        ecc: true,
        pcie: "0000:02:00.0".into(),
        cuda: driver.cuda,
    };
    assert_eq!(driver.gpus[2], expected);
    assert_eq!(expected.free_bytes(), Ok(1 << 20));
}

#[test]
fn a_fake_device_is_never_taken_for_a_gpu() {
    let _machine = Machine::new(Hardware::default());
    let error = discover().unwrap_err();
    assert_eq!(error, DriverError::Fake("Obelysk fake device 0".into()));
}

#[test]
fn a_driver_that_cannot_work_says_why() {
    let cases = [
        (Hardware { init: 100, ..Hardware::default() }, DriverError::NoDevice, "GPU"),
        (Hardware { devices: 0, ..Hardware::default() }, DriverError::NoDevice, "GPU"),
        (Hardware { init: 34, ..Hardware::default() }, DriverError::Stub, "stubs"),
        (Hardware { init: 803, ..Hardware::default() }, DriverError::Mismatch, "reboot"),
        (
            Hardware { cuda: 11_080, ..Hardware::default() },
            DriverError::TooOld { found: CudaVersion { major: 11, minor: 8 } },
            "525",
        ),
        (
            Hardware { init: 999, ..Hardware::default() },
            DriverError::Failed { call: "cuInit", reason: "CUDA_ERROR_UNKNOWN".into() },
            "reinstall",
        ),
    ];
    for (hardware, expected, remedy) in cases {
        let _machine = Machine::new(hardware);
        let error = discover().unwrap_err();
        assert_eq!(error, expected);
        assert!(error.remedy().contains(remedy), "{error}: {}", error.remedy());
    }
}

#[test]
fn each_device_has_its_own_memory() {
    let _machine = Machine::new(Hardware { devices: 2, memory: 1 << 16, ..Hardware::default() });
    let gpus = discover_fake().unwrap().gpus;
    let [first, second] = [0, 1].map(|ordinal| Device::open(&gpus[ordinal]).unwrap());
    let held = first.upload(&[7u32; 1 << 14]).unwrap();
    assert_eq!(gpus[0].free_bytes(), Ok(0));
    assert_eq!(second.download(&second.upload(&[8u32; 1 << 14]).unwrap()).unwrap(), [8; 1 << 14]);
    let error = first.upload(&[0u32]).err().unwrap();
    assert_eq!(error, DeviceError::OutOfMemory { device: gpus[0].name.clone(), needed: 4, free: 0 });
    drop(held);
    assert!(first.upload(&[0u32]).is_ok());
}

#[test]
fn too_little_memory_is_named_with_both_numbers() {
    let states = 8 * 4 * 256;
    let machine = Machine::new(Hardware { memory: states + 100, ..Hardware::default() });
    let error = machine.kernels().leaves(8, 4).err().unwrap();
    let needed = 4 * 7 * (2 * 256 - 1);
    assert_eq!(error, DeviceError::OutOfMemory { device: "Obelysk fake device 0".into(), needed, free: 100 });
}

#[test]
fn a_device_that_is_lost_is_lost_for_every_call() {
    let machine = Machine::new(Hardware::default());
    let kernels = machine.kernels();
    let mut random = Random::new(5);
    let values = to_device(&random.elements(8));
    let mut buffer = kernels.device().upload(&values).unwrap();
    machine.lose(0, LAUNCH_FAILED);
    let lost = |error| {
        let reason = "CUDA_ERROR_LAUNCH_FAILED".into();
        assert_eq!(error, DeviceError::Lost { device: "Obelysk fake device 0".into(), reason });
    };
    lost(kernels.bind(&mut buffer, values[0]).unwrap_err());
    lost(kernels.device().download::<Extension>(&buffer).unwrap_err());
    lost(kernels.device().upload(&values).err().unwrap());
    lost(Device::open(&discover_fake().unwrap().gpus[0]).err().unwrap());
}

#[test]
fn a_kernel_that_writes_beside_its_memory_loses_the_device() {
    let machine = Machine::new(Hardware::default());
    machine.plant("bind.cu", "values[item] = add", "values[item + 2 * half] = add");
    let kernels = machine.kernels();
    let mut buffer = kernels.device().upload(&to_device(&Random::new(6).elements(8))).unwrap();
    kernels.bind(&mut buffer, Random::new(7).element().into()).unwrap();
    let error = kernels.device().download(&buffer).unwrap_err();
    assert!(matches!(&error, DeviceError::Lost { reason, .. } if reason == "CUDA_ERROR_ILLEGAL_ADDRESS"), "{error}");
}

#[test]
fn the_gpu_with_the_most_free_memory_comes_first_and_one_that_does_not_answer_last() {
    let machine = Machine::new(Hardware { devices: 3, memory: 1 << 20, ..Hardware::default() });
    machine.occupy(0, 1 << 19);
    machine.occupy(1, 1 << 10);
    machine.lose(2, LAUNCH_FAILED);
    let driver = discover_fake().unwrap();
    let order: Vec<_> = driver.by_free_memory().into_iter().map(|(gpu, free)| (gpu.ordinal, free.ok())).collect();
    assert_eq!(order, [(1, Some((1 << 20) - (1 << 10))), (0, Some(1 << 19)), (2, None)]);
}

#[test]
fn a_device_that_is_full_says_so_whatever_call_finds_it_out() {
    let machine = Machine::new(Hardware { memory: 1 << 20, ..Hardware::default() });
    let gpu = discover_fake().unwrap().gpus.remove(0);
    let name = || gpu.name.clone();
    let kept = tempfile::tempdir().unwrap();
    let kernels = machine.kernels();
    let mut buffer = kernels.device().upload(&to_device(&Random::new(9).elements(8))).unwrap();
    let free = (1 << 20) - 8 * 16;
    machine.fail("cuLaunchKernel", OUT_OF_MEMORY);
    let error = kernels.bind(&mut buffer, Random::new(10).element().into()).unwrap_err();
    assert_eq!(error, DeviceError::OutOfMemory { device: name(), needed: 0, free });
    machine.fail("cuModuleLoadData", OUT_OF_MEMORY);
    let error = Kernels::load(machine.device(), kept.path()).err().unwrap();
    assert!(matches!(error, DeviceError::OutOfMemory { needed: 1.., free: own, .. } if own == free), "{error}");
    machine.fail("cuDevicePrimaryCtxRetain", OUT_OF_MEMORY);
    machine.report(0, 12_345);
    let error = Device::open(&gpu).err().unwrap();
    assert_eq!(error, DeviceError::OutOfMemory { device: name(), needed: 512 << 20, free: 12_345 });
}

#[test]
fn a_lost_device_names_what_its_kernel_driver_reported() {
    let machine = Machine::new(Hardware::default());
    let device = machine.device();
    machine.report(79, 0);
    machine.lose(0, LAUNCH_FAILED);
    let reason = |error| match error {
        DeviceError::Lost { reason, .. } => reason,
        other => panic!("{other}"),
    };
    assert_eq!(reason(device.upload(&[1u32]).err().unwrap()), "CUDA_ERROR_LAUNCH_FAILED, Xid 79");
    assert_eq!(reason(device.upload(&[1u32]).err().unwrap()), "CUDA_ERROR_LAUNCH_FAILED");
}

#[test]
fn memory_that_is_given_back_is_kept_for_what_comes_next_and_counts_as_free() {
    let machine = Machine::new(Hardware { memory: 1 << 20, ..Hardware::default() });
    let (gpus, device) = (discover_fake().unwrap().gpus, machine.device());
    drop(device.upload(&[0u8; 1 << 16]).unwrap());
    device.download(&device.upload(&[0u8]).unwrap()).unwrap();
    assert_eq!(gpus[0].free_bytes(), Ok((1 << 20) - (1 << 16)), "the pool keeps it from others");
    assert_eq!(device.free_bytes(), Ok(1 << 20));
}
