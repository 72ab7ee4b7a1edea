//! Mutation testing of the proof system: every check of the verifier, of the statement and of the accounting is taken out in turn,
//! and a test that is named for it has to fail.

mod list;
mod schemata;

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cargo_metadata::Message;
use clap::Args;

use crate::root;
use list::Mutant;

/// Arguments of `mutants`.
#[derive(Args)]
pub struct Arguments {
    /// Only see whether every mutant has its place in the sources and its test.
    #[arg(long)]
    check: bool,
    /// Run the mutants whose name or test contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How many run at a time.
    #[arg(long, value_name = "NUMBER", default_value_t = 2)]
    jobs: usize,
}

/// Killed mutants of a hundred, at least.
const SCORE_MIN: usize = 95;
/// A mutant that runs for so long is a different program.
const PATIENCE: Duration = Duration::from_secs(300);

pub fn run(arguments: &Arguments) -> Result<()> {
    let mut mutants = list::read(&root())?;
    let complaints = list::complaints(&root(), &mutants)?;
    if !complaints.is_empty() {
        bail!("{} is out of date:\n  {}", list::FOLDER, complaints.join("\n  "));
    }
    println!("{} mutants, each with its place and its test", mutants.len());
    if arguments.check {
        return Ok(());
    }
    let copy = root().join("target/mutants");
    schemata::write(&root(), &copy, &mutants)?;
    let chosen = |mutant: &Mutant| {
        arguments.only.as_ref().is_none_or(|text| mutant.name.contains(text) || mutant.test.contains(text))
    };
    mutants.retain(chosen);
    let binaries = build(&copy, &mutants)?;
    let tests: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.test.as_str()).collect();
    let tests: Vec<&str> = tests.into_iter().collect();
    let passing = in_parallel(arguments.jobs, &tests, |test| passes(&copy, &binaries, test, None));
    for (test, passed) in tests.iter().zip(passing) {
        if !passed? {
            bail!("{test} does not pass without a mutant");
        }
    }
    println!("{} tests pass without a mutant\n", tests.len());
    let results = in_parallel(arguments.jobs, &mutants, |mutant| {
        let start = Instant::now();
        let killed = !passes(&copy, &binaries, &mutant.test, Some(&mutant.name))?;
        tell(mutant, killed, start.elapsed());
        Ok(killed)
    });
    judge(&mutants, &results.into_iter().collect::<Result<Vec<bool>>>()?)
}

/// Print what became of a mutant.
fn tell(mutant: &Mutant, killed: bool, time: Duration) {
    let packages: BTreeSet<&str> = mutant.change.iter().map(|change| change.package.as_str()).collect();
    let packages: Vec<&str> = packages.into_iter().collect();
    let outcome = if killed { "killed" } else { "SURVIVED" };
    let seconds = time.as_secs_f64();
    println!("{outcome:8} {seconds:6.1} s  {:20} {}  [{}]", packages.join(", "), mutant.name, mutant.test);
    match &mutant.survives {
        Some(reason) if !killed => println!("         as it may: {reason}"),
        Some(_) => println!("         although it may survive: take `survives` out"),
        None => {}
    }
}

/// Print the score; an error if too few were killed.
fn judge(mutants: &[Mutant], results: &[bool]) -> Result<()> {
    let killed = results.iter().filter(|killed| **killed).count();
    println!("\n{killed} of {} mutants killed", mutants.len());
    if killed * 100 < SCORE_MIN * mutants.len() {
        bail!("fewer than {SCORE_MIN} of a hundred");
    }
    let unexpected: Vec<&str> = mutants
        .iter()
        .zip(results)
        .filter(|(mutant, killed)| !**killed && mutant.survives.is_none())
        .map(|(mutant, _)| mutant.name.as_str())
        .collect();
    if unexpected.is_empty() { Ok(()) } else { bail!("survived without a reason: {unexpected:?}") }
}

/// Build the binaries that the mutants' tests are in, by name.
fn build(copy: &Path, mutants: &[Mutant]) -> Result<BTreeMap<String, PathBuf>> {
    let names: BTreeSet<&str> = mutants.iter().map(|m| Ok(m.test()?.0)).collect::<Result<_>>()?;
    // All in one build: features, and with them the dependencies, are those of the workspace's own builds.
    let selection = names.iter().flat_map(|name| match name.starts_with("obelysk_") {
        true => ["--lib".into(), format!("--package={}", name.replace('_', "-"))],
        false => ["--package=obelysk-tests".into(), format!("--test={name}")],
    });
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(copy).args(["test", "--release", "--no-run", "--message-format", "json-render-diagnostics"]);
    command.arg("--target-dir").arg(root().join("target")).args(selection).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start cargo")?;
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut binaries = BTreeMap::new();
    for message in Message::parse_stream(output) {
        if let Message::CompilerArtifact(artifact) = message?
            && let Some(program) = artifact.executable
        {
            binaries.insert(artifact.target.name, program.into());
        }
    }
    if !child.wait()?.success() {
        bail!("the mutants do not build: a replacement has the type of what it replaces");
    }
    Ok(binaries)
}

/// Whether a test passes, under a mutant or without one.
fn passes(copy: &Path, binaries: &BTreeMap<String, PathBuf>, test: &str, mutant: Option<&str>) -> Result<bool> {
    let (binary, name) = test.split_once("::").expect("checked");
    let program = binaries.get(binary).with_context(|| format!("no binary {binary} was built"))?;
    let mut command = Command::new(program);
    command.current_dir(copy.join("tests")).args([name, "--exact", "--test-threads", "1"]);
    command.env("RAYON_NUM_THREADS", "1").env_remove(schemata::VARIABLE);
    command.envs(mutant.map(|mutant| (schemata::VARIABLE, mutant)));
    let output = tempfile::NamedTempFile::new()?;
    let mut child = command.stdout(output.reopen()?).stderr(Stdio::null()).spawn().context("cannot start a test")?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if start.elapsed() > PATIENCE => {
                child.kill()?;
                break child.wait()?;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let ran = std::fs::read_to_string(output.path())?.contains("running 1 test");
    if !ran {
        bail!("{test} is no test of its binary");
    }
    Ok(status.success())
}

/// Results in order.
fn in_parallel<T: Sync, R: Send>(jobs: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = Mutex::new(0..items.len());
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(place) = { next.lock().expect("no worker panics").next() } {
                    let result = work(&items[place]);
                    results.lock().expect("no worker panics").insert(place, result);
                }
            });
        }
    });
    results.into_inner().expect("no worker panics").into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutants(count: usize, survives: Option<&str>) -> Vec<Mutant> {
        let mutant = |place| Mutant {
            name: format!("mutant {place}"),
            test: "binary::test".into(),
            survives: survives.map(Into::into),
            change: Vec::new(),
        };
        (0..count).map(mutant).collect()
    }

    #[test]
    fn a_survivor_needs_a_reason_and_reasons_do_not_lower_the_score() {
        let one_survives: Vec<bool> = (0..100).map(|place| place > 0).collect();
        assert!(judge(&mutants(100, None), &[true; 100]).is_ok());
        assert!(judge(&mutants(100, None), &one_survives).is_err());
        assert!(judge(&mutants(100, Some("nothing reads it")), &one_survives).is_ok());
        assert!(judge(&mutants(10, Some("nothing reads it")), &one_survives[..10]).is_err());
    }

    #[test]
    fn results_come_in_the_order_of_their_items() {
        assert_eq!(in_parallel(3, &[5, 1, 4], |item| item * 2), [10, 2, 8]);
    }
}
