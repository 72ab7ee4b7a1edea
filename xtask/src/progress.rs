//! Says what is being waited for, and for how long: nothing that takes longer than a breath is silent.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Time between two lines.
const PERIOD: Duration = Duration::from_secs(5);
/// Lines of a command that are kept for the case that it fails.
const KEPT_LINES: usize = 40;

/// Something that takes a while. A line every five seconds says so until this is dropped.
pub struct Progress {
    detail: Arc<Mutex<String>>,
    end: Option<Sender<()>>,
    voice: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begin to wait for something, said as `building helm`.
    pub fn new(what: &str) -> Self {
        let detail = Arc::new(Mutex::new(String::new()));
        let (end, ended) = mpsc::channel();
        let (shared, what) = (Arc::clone(&detail), what.to_owned());
        let voice = std::thread::spawn(move || {
            let start = Instant::now();
            // A terminal shows one line that changes; a file gets a line each time.
            let terminal = std::io::stdout().is_terminal();
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                let line = line(&what, start.elapsed(), &shared.lock().unwrap_or_else(PoisonError::into_inner));
                if terminal {
                    print!("\r\x1b[K{line}");
                } else {
                    println!("{line}");
                }
                let _ = std::io::stdout().flush();
            }
            if terminal && start.elapsed() > PERIOD {
                print!("\r\x1b[K");
                let _ = std::io::stdout().flush();
            }
        });
        Self { detail, end: Some(end), voice: Some(voice) }
    }

    /// Say what it is at now.
    pub fn set_detail(&self, detail: &str) {
        *self.detail.lock().unwrap_or_else(PoisonError::into_inner) = detail.trim().chars().take(80).collect();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end.take();
        if let Some(voice) = self.voice.take() {
            let _ = voice.join();
        }
    }
}

fn line(what: &str, elapsed: Duration, detail: &str) -> String {
    let (minutes, seconds) = (elapsed.as_secs() / 60, elapsed.as_secs() % 60);
    let time = if minutes > 0 { format!("{minutes} min {seconds} s") } else { format!("{seconds} s") };
    let colon = if detail.is_empty() { "" } else { ": " };
    format!("  {what}, {time}{colon}{detail}")
}

/// Run a command that takes a while; its last line is the detail. An error with its last lines if it fails.
pub fn run(what: &str, command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let progress = Progress::new(what);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let last = follow(child.stderr.take().context("a piped output")?, |line| progress.set_detail(line));
    let status = child.wait()?;
    if !status.success() {
        bail!("{shown} ended with {status}:\n{}", last.join("\n"));
    }
    Ok(())
}

/// Hear every line; the last ones.
fn follow(output: impl Read, mut hear: impl FnMut(&str)) -> Vec<String> {
    let mut last: Vec<String> = Vec::new();
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        hear(&line);
        last.push(line);
        if last.len() > KEPT_LINES {
            last.remove(0);
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_and_for_how_long_and_at_what() {
        assert_eq!(line("building helm", Duration::from_secs(5), ""), "  building helm, 5 s");
        assert_eq!(line("building", Duration::from_secs(125), "k8s.io/api"), "  building, 2 min 5 s: k8s.io/api");
    }

    #[test]
    fn a_command_that_fails_shows_its_last_lines() {
        let error = run("failing", Command::new("sh").args(["-c", "echo one >&2; echo two >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.contains("one\ntwo"), "{text}");
    }
}
