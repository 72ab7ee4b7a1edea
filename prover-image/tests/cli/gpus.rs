//! GPUs that are asked for, and drivers that do not work: libraries made of the kernels' fake driver, found where a real one would be.

use std::env;
use std::path::Path;
use std::process::Command;

use obelysk_kernels::{DriverError, discover};
use tempfile::TempDir;

use crate::program::{Outcome, command, obelysk};

const RUN: [&str; 5] = ["run", "--preset", "tiny-chat", "--prompt", "hello"];

/// A folder with a driver's library, made with some definition of its sources or none.
fn driver(definition: Option<&str>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    library(&folder.path().join("libcuda.so.1"), definition);
    folder
}

/// A library made of the driver's sources, named inside as a driver's is, wherever it lies.
fn library(path: &Path, definition: Option<&str>) {
    let program = env::var("CXX").unwrap_or_else(|_| "c++".into());
    let output = Command::new(&program)
        .args(["-std=c++17", "-shared", "-fPIC"])
        .args(definition)
        .arg("-Wl,-soname,libcuda.so.1")
        .arg("-o")
        .arg(path)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../kernels/fake-driver/driver.cpp"))
        .output();
    let output = output.unwrap_or_else(|error| {
        panic!("drivers are tested with a C++ compiler, and `{program}` does not start ({error}): install g++")
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn with_driver(folder: &Path, arguments: &[&str]) -> Outcome {
    let home = tempfile::tempdir().unwrap();
    let mut command = command(home.path());
    Outcome::of(command.env("LD_LIBRARY_PATH", folder).arg("--json").args(arguments).output().unwrap())
}

/// What `setup` says of GPUs.
#[track_caller]
fn finding(outcome: &Outcome) -> String {
    let answer = outcome.ok();
    let findings = answer["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["name"] == "gpu").unwrap().to_string()
}

#[test]
fn a_gpu_that_is_absent_is_a_failure_or_a_fallback_that_the_answer_names() {
    if !matches!(discover(), Err(DriverError::NoDriver | DriverError::NoDevice)) {
        eprintln!("SKIPPED: this machine has a GPU driver; what happens without one is not tested");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let failure = obelysk(home.path(), RUN.iter().chain(&["--gpu-only"])).fails_with(30);
    assert!(failure.message.contains("no NVIDIA GPU"), "{failure:?}");
    for flag in ["--gpu", "--multi-gpu"] {
        let fallback = [flag, "--max-new-tokens", "1", "--skip-inference", "--no-audit"];
        let answer = obelysk(home.path(), RUN.iter().chain(&fallback)).ok();
        assert_eq!(answer["device"], "CPU");
        let note = answer["deviceNote"].as_str().unwrap();
        assert!(note.starts_with("this machine has no NVIDIA GPU; --gpu falls back"), "{flag}: {note}");
    }
    obelysk(home.path(), ["setup", "--gpu"]).fails_with(30);
    assert!(finding(&obelysk(home.path(), ["setup"])).contains("none: proofs are made on the CPU"));
}

#[test]
fn the_driver_of_tests_is_never_taken_for_a_gpu() {
    let folder = driver(None);
    let failure = with_driver(folder.path(), &["setup", "--gpu"]).fails_with(30);
    assert!(failure.message.contains("the driver that tests use"), "{failure:?}");
    let said = finding(&with_driver(folder.path(), &["setup"]));
    assert!(said.contains("warning") && said.contains("the driver that tests use"), "{said}");
}

#[test]
fn a_toolkits_stub_is_known_and_never_taken_where_there_is_a_driver() {
    let folder = tempfile::tempdir().unwrap();
    library(&folder.path().join("libcuda.so"), Some("-DSTUB"));
    let failure = with_driver(folder.path(), &["setup", "--gpu"]).fails_with(30);
    assert!(failure.message.contains("stub") && failure.hint.contains("LD_LIBRARY_PATH"), "{failure:?}");
    library(&folder.path().join("libcuda.so.1"), None);
    let failure = with_driver(folder.path(), &["setup", "--gpu"]).fails_with(30);
    assert!(failure.message.contains("the driver that tests use"), "{failure:?}");
}

#[test]
fn a_driver_that_does_not_work_says_what_to_do() {
    let cases = [
        ("-DINIT_ANSWER=100", 30, "no NVIDIA GPU", "leave out --gpu"),
        ("-DINIT_ANSWER=803", 30, "version mismatch", "reboot"),
        ("-DINIT_ANSWER=999", 30, "CUDA_ERROR_UNKNOWN", "reinstall"),
        ("-DCUDA_VERSION=11080", 34, "CUDA 11.8", "525"),
        ("-DINCOMPLETE", 30, "cuDeviceGetPCIBusId", "reinstall"),
    ];
    for (definition, code, message, hint) in cases {
        let folder = driver(Some(definition));
        let failure = with_driver(folder.path(), &["setup", "--gpu"]).fails_with(code);
        assert!(failure.message.contains(message) && failure.hint.contains(hint), "{definition}: {failure:?}");
        with_driver(folder.path(), &["setup"]).ok();
    }
}

#[test]
fn the_program_is_linked_with_no_library_of_cuda() {
    let output = Command::new("ldd").arg(env!("CARGO_BIN_EXE_obelysk")).output().expect("ldd starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let libraries = String::from_utf8(output.stdout).unwrap().to_lowercase();
    assert!(libraries.contains("libc.so"), "{libraries}");
    for name in ["cuda", "nvrtc", "nvidia", "cublas", "nvjitlink"] {
        assert!(!libraries.contains(name), "{libraries}");
    }
}
