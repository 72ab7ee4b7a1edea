//! The operator on a processor that it was not built for.

use std::process::Command;

#[test]
fn an_old_cpu_is_named_before_anything_else() {
    let run = |cpu: &str| {
        let program = env!("CARGO_BIN_EXE_obelysk-operator");
        Command::new("qemu-x86_64").args(["-cpu", cpu, program, "--version"]).output()
    };
    let Ok(output) = run("Nehalem") else {
        eprintln!("SKIPPED: there is no qemu-x86_64 (package qemu-user); old processors are not tested");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(132), "{said}");
    assert!(said.contains("needs a CPU of level x86-64-v3") && said.contains("AVX2"), "{said}");
}
