//! Checks the inputs that its arguments name or, built by `cargo xtask fuzz`, all that libFuzzer makes from those.

#![cfg_attr(fuzzing, no_main)]

use std::env;
use std::sync::LazyLock;

use obelysk_cpu as _;
use obelysk_fuzz::{Fuzzed, Target};

/// Which file is replaced, and in which folder: arguments are the fuzzer's.
static FUZZED: LazyLock<Fuzzed> = LazyLock::new(|| {
    let [name, folder] = ["OBELYSK_FUZZ_TARGET", "OBELYSK_FUZZ_FOLDER"].map(|variable| {
        env::var(variable).unwrap_or_else(|_| panic!("set {variable}; `cargo xtask fuzz` does and prints the command"))
    });
    let target = Target::ALL.into_iter().find(|target| target.name() == name).expect("model, statement or proof");
    Fuzzed::new(folder.as_ref(), target).expect("a proof folder")
});

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| FUZZED.check(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for path in env::args_os().skip(1) {
        FUZZED.check(&std::fs::read(path)?);
    }
    Ok(())
}
