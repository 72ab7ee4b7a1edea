//! The operator against an API server in memory, on schedules that seeds decide. The same as the test `simulation`, with as many as asked.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::{process, root};

/// Arguments of `simulate`.
#[derive(Args)]
pub struct Arguments {
    /// How many schedules
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    schedules: u64,
    /// Seed of the first; each of the others has the next
    #[arg(long, default_value_t = 1, value_name = "S")]
    seed: u64,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--release", "--package", "obelysk-operator", "--test", "simulation"]);
    command.args(["--", "--nocapture", "no_schedule"]);
    command.env("OBELYSK_SCHEDULES", arguments.schedules.to_string());
    command.env("OBELYSK_SEED", arguments.seed.to_string());
    process::run(command.current_dir(root()))
}
