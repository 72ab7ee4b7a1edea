//! Every test, stage by stage, with a table of where the time went.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::{cluster, generate, image, process, root, tidy, tools};

/// Arguments of `test`.
#[derive(Args)]
pub struct Arguments {
    /// Leave out what needs a cluster.
    #[arg(long)]
    quick: bool,
    /// Run one stage, by its name in the table.
    #[arg(long)]
    only: Option<String>,
}

type Stage = (&'static str, fn() -> Result<()>);

const QUICK: [Stage; 5] = [
    ("format", || cargo(&["fmt", "--all", "--check"])),
    ("tidy", tidy::run),
    ("generated files", || generate::run(&generate::Arguments { check: true })),
    ("clippy", || cargo(&["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    ("tests", || cargo(&["test", "--release", "--workspace"])),
];

const CLUSTER: [Stage; 4] = [
    ("tools", || tools::ensure().map(drop)),
    ("charts", lint_charts),
    ("image", || image::build().map(drop)),
    ("cluster", || {
        cluster::with_cluster(|_| {
            cargo(&[
                "test",
                "--release",
                "--package",
                "obelysk-tests",
                "--features",
                "cluster",
                "--test",
                "cluster",
                "--",
                "--test-threads",
                "1",
            ])
        })
    }),
];

pub fn run(arguments: &Arguments) -> Result<()> {
    let chosen = |name: &str| arguments.only.as_deref().is_none_or(|only| only == name);
    let stages = QUICK.iter().chain(CLUSTER.iter().filter(|_| !arguments.quick)).filter(|(name, _)| chosen(name));
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let mut failed = None;
    for (name, stage) in stages {
        println!("\n== {name}");
        let start = Instant::now();
        let result = stage();
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

fn lint_charts() -> Result<()> {
    let tools = tools::ensure()?;
    for chart in ["proving-crds", "proving-operator"] {
        let path = root().join("charts").join(chart);
        process::run(Command::new(&tools.helm).arg("lint").arg("--strict").arg(&path))?;
        process::output(Command::new(&tools.helm).args(["template", "obelysk"]).arg(&path))?;
    }
    Ok(())
}
