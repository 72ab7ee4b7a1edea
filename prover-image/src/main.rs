//! The binary `obelysk`.

use std::process::ExitCode;

use obelysk_pipeline::commands;
use obelysk_verifier::cpu;

fn main() -> ExitCode {
    if let Err(message) = cpu::check() {
        eprintln!("error: {message}");
        return ExitCode::from(cpu::TOO_OLD);
    }
    commands::main()
}
