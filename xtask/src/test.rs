//! Every test, stage by stage, with a table of where the time went.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::{charts, cluster, generate, image, kernels, model, process, root, tidy, tools};

/// Arguments of `test`.
#[derive(Args)]
pub struct Arguments {
    /// Leave out what needs a real model or a cluster.
    #[arg(long)]
    quick: bool,
    /// Run one stage, by its name in the table.
    #[arg(long)]
    only: Option<String>,
    /// Of the cluster's tests, run those with this in their names.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Minor version of Kubernetes for the cluster.
    #[arg(long, value_enum, default_value_t)]
    kubernetes: tools::Minor,
}

type Stage = (&'static str, fn(&Arguments) -> Result<()>);

const QUICK: [Stage; 6] = [
    ("format", |_| cargo(&["fmt", "--all", "--check"])),
    // First of all that builds: programs carry what it makes.
    ("kernels", |_| kernels::ensure()),
    ("tidy", |_| tidy::run()),
    ("generated files", |_| generate::run(&generate::Arguments { check: true })),
    ("clippy", |_| cargo(&["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    ("tests", |_| cargo(&["test", "--release", "--workspace"])),
];

const SLOW: [Stage; 5] = [
    ("real-model", |_| test_real_model()),
    ("tools", |arguments| tools::ensure(arguments.kubernetes).map(drop)),
    ("charts", |_| charts::check()),
    ("image", |_| image::build().map(drop)),
    ("cluster", |arguments| {
        cluster::with_cluster(arguments.kubernetes, |_| {
            let test =
                ["test", "--release", "--package", "obelysk-tests", "--features", "cluster", "--test", "cluster", "--"]
                    .as_slice();
            let filter: Vec<&str> = arguments.filter.iter().map(String::as_str).collect();
            cargo(&[test, &["--test-threads", "1"][..], &filter].concat())
        })
    }),
];

pub fn run(arguments: &Arguments) -> Result<()> {
    let chosen = |name: &str| arguments.only.as_deref().is_none_or(|only| only == name);
    let stages = QUICK.iter().chain(SLOW.iter().filter(|_| !arguments.quick)).filter(|(name, _)| chosen(name));
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let mut failed = None;
    for (name, stage) in stages {
        println!("\n== {name}");
        let start = Instant::now();
        let result = stage(arguments);
        times.push((name, start.elapsed()));
        if let Err(error) = result {
            failed = Some((*name, error));
            break;
        }
    }
    if times.is_empty() {
        bail!("no stage has this name");
    }
    println!("\nwhere the time went");
    for (name, time) in &times {
        println!("{:>9.1} s  {name}", time.as_secs_f64());
    }
    println!("{:>9.1} s  in total", times.iter().map(|(_, time)| time.as_secs_f64()).sum::<f64>());
    match failed {
        Some((name, error)) => bail!("stage `{name}` failed: {error:#}"),
        None => {
            println!("all stages passed");
            Ok(())
        }
    }
}

fn cargo(arguments: &[&str]) -> Result<()> {
    process::run(Command::new(env!("CARGO")).current_dir(root()).args(arguments))
}

/// On a model that was trained, and not made for tests.
fn test_real_model() -> Result<()> {
    let folder = model::ensure("smollm2-135m")?;
    let test = ["test", "--release", "--package", "obelysk-tests", "--features", "real-model", "--test", "real_model"];
    // One proof at a time fits memory.
    let one_by_one = ["--", "--test-threads", "1", "--nocapture"];
    let mut command = Command::new(env!("CARGO"));
    process::run(command.current_dir(root()).env("OBELYSK_REAL_MODEL", folder).args(test).args(one_by_one))
}
