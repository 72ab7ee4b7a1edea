//! The binary `obelysk`.

use std::process::ExitCode;

use obelysk_cpu as _;
use obelysk_pipeline::commands;

fn main() -> ExitCode {
    commands::main()
}
