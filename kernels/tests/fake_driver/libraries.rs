//! Compilers under the names that installations have them by, each looked for by a process of its own.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use obelysk_fake_driver::build;
use obelysk_kernels::{Form, compile_all};

/// The driver's version of CUDA, for the process that looks.
const CUDA: &str = "OBELYSK_TEST_CUDA";

/// A part of the test below, which starts it in a process of its own; nothing without the driver's version.
#[test]
fn what_is_found_is_said() {
    if let Ok(cuda) = env::var(CUDA) {
        // The compiler of tests refuses every source before it is told what to compile with.
        let message = compile_all(cuda.parse().unwrap(), 90, Form::Machine).err().unwrap();
        let builtins = fs::read_to_string("/proc/self/maps").unwrap().contains("libnvrtc-builtins.so.9.9");
        println!("builtins: {builtins}; {message}");
    }
}

fn finds(folder: &Path, cuda: u32) -> bool {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "libraries::what_is_found_is_said", "--nocapture"]);
    let output = command.env(CUDA, cuda.to_string()).env("LD_LIBRARY_PATH", folder).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("builtins: "), "{said}");
    said.contains("builtins: true; the compiler failed on bind.cu")
}

#[test]
fn a_compiler_is_found_by_every_name_with_its_builtins_unless_the_driver_is_too_old_for_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    build("management.cpp", &path("libnvrtc-builtins.so.9.9"));
    build("compiler.cpp", &path("compiler"));
    for (name, drivers) in [("libnvrtc.so.13", &[13][..]), ("libnvrtc.so.12", &[12, 13]), ("libnvrtc.so", &[12, 13])] {
        fs::rename(path("compiler"), path(name)).unwrap();
        for cuda in [12, 13] {
            assert_eq!(finds(folder.path(), cuda), drivers.contains(&cuda), "{name} for CUDA {cuda}");
        }
        fs::rename(path(name), path("compiler")).unwrap();
    }
}
