//! Child processes: run to the end, or keep in the background by process id.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Run a command with its output shown; an error if it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("{shown} ended with {status}");
    }
    Ok(())
}

/// Run a command and return its standard output; an error with its standard error if it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        bail!("{shown} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Start a command that outlives this process; its output goes to `<folder>/<name>.log`, its id to `<folder>/<name>.pid`.
pub fn start<A: AsRef<OsStr>>(folder: &Path, name: &str, program: &Path, arguments: &[A]) -> Result<()> {
    let log = File::create(folder.join(format!("{name}.log")))?;
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    fs::write(folder.join(format!("{name}.pid")), child.id().to_string())?;
    Ok(())
}

/// Whether a process that [`start`] started still runs.
pub fn is_running(folder: &Path, name: &str) -> bool {
    process_id(folder, name).is_some_and(is_alive)
}

fn process_id(folder: &Path, name: &str) -> Option<u32> {
    fs::read_to_string(folder.join(format!("{name}.pid"))).ok()?.trim().parse().ok()
}

/// A process that has ended but was not waited for is not alive.
fn is_alive(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    status.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

/// Stop a process that [`start`] started, politely first.
pub fn stop(folder: &Path, name: &str) {
    if let Some(id) = process_id(folder, name).filter(|&id| is_alive(id)) {
        for (signal, patience) in [("-TERM", 10), ("-KILL", 5)] {
            let _ = Command::new("kill").args([signal, &id.to_string()]).status();
            if wait_until(Duration::from_secs(patience), || !is_alive(id)) {
                break;
            }
        }
    }
    let _ = fs::remove_file(folder.join(format!("{name}.pid")));
}

/// Ask again and again until the answer is yes or the time is over.
pub fn wait_until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The last lines of a background process' output.
pub fn tail(folder: &Path, name: &str) -> String {
    let text = fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
