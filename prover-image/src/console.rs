//! What a person or a script sees: results on stdout, everything else on stderr.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::pipeline::{Observer, Step};

/// Without a terminal a step that takes long says so this often.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How much goes to stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Errors.
    Quiet,
    /// Steps and notes.
    Normal,
    /// Details as well.
    Verbose,
}

/// What a command has to say: the same facts twice.
pub struct Answer {
    /// For scripts. An object.
    pub json: Value,
    /// For people.
    pub text: String,
}

/// stdout and stderr.
pub struct Console {
    json: bool,
    level: Level,
    terminal: bool,
    sign_of_life: Mutex<Option<SignOfLife>>,
    /// What was noted, for scripts.
    notes: Mutex<Vec<String>>,
}

/// Shows that the step in progress is alive.
enum SignOfLife {
    Bar(ProgressBar),
    Lines { stop: Sender<()>, thread: JoinHandle<()>, latest: Arc<Mutex<String>> },
}

impl Console {
    /// A console.
    #[must_use]
    pub fn new(json: bool, level: Level) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { json, level, terminal, sign_of_life: Mutex::new(None), notes: Mutex::new(Vec::new()) }
    }

    /// Whether stdout is for a script.
    #[must_use]
    pub fn json(&self) -> bool {
        self.json
    }

    /// Print what a command found out.
    ///
    /// # Errors
    /// stdout cannot be written: the answer is lost.
    pub fn answer(&self, answer: Answer) -> Result<(), Failure> {
        self.still();
        if self.json {
            let mut object = answer.json;
            if object.get("status").is_none() {
                object["status"] = json!("ok");
            }
            let notes = std::mem::take(&mut *self.notes.lock().expect("no panic while it is held"));
            if !notes.is_empty() {
                object["notes"] = json!(notes);
            }
            print(&format!("{object}\n"))
        } else if answer.text.is_empty() {
            Ok(())
        } else {
            print(&format!("{}\n", answer.text.trim_end()))
        }
    }

    /// Print why a command failed.
    pub fn failure(&self, failure: &Failure) {
        self.still();
        if self.json {
            // The exit status says the same where nothing can be written.
            let _ = print(&format!("{}\n", failure.to_json()));
        }
        complain(&format!("error: {}", failure.message));
        if !failure.hint.is_empty() {
            complain(&format!("  hint: {}", failure.hint));
        }
    }

    fn still(&self) {
        let sign = self.sign_of_life.lock().expect("no panic while it is held").take();
        match sign {
            Some(SignOfLife::Bar(bar)) => bar.finish_and_clear(),
            Some(SignOfLife::Lines { stop, thread, .. }) => {
                drop(stop);
                thread.join().expect("printing lines does not panic");
            }
            None => {}
        }
    }

    fn say(&self, level: Level, text: &str) {
        if self.level < level {
            return;
        }
        match &*self.sign_of_life.lock().expect("no panic while it is held") {
            Some(SignOfLife::Bar(bar)) => bar.suspend(|| complain(text)),
            _ => complain(text),
        }
    }
}

impl Observer for Console {
    fn started(&self, step: Step) {
        self.still();
        if self.level == Level::Quiet {
            return;
        }
        let sign = if self.terminal { bar(step) } else { lines(step) };
        *self.sign_of_life.lock().expect("no panic while it is held") = Some(sign);
    }

    fn finished(&self, step: Step, seconds: f64) {
        self.still();
        self.say(Level::Normal, &format!("{:<10} done in {seconds:.2} s", step.name()));
    }

    fn progress(&self, what: &str, done: u64, total: u64) {
        let text = format!("{what}: {} of {}", HumanBytes(done), HumanBytes(total));
        match &*self.sign_of_life.lock().expect("no panic while it is held") {
            Some(SignOfLife::Bar(bar)) => bar.set_message(text),
            Some(SignOfLife::Lines { latest, .. }) => *latest.lock().expect("no panic while it is held") = text,
            None => {}
        }
    }

    fn note(&self, text: &str) {
        if let Some(note) = text.strip_prefix("note: ") {
            self.notes.lock().expect("no panic while it is held").push(note.into());
        }
        self.say(Level::Normal, text);
    }

    fn detail(&self, text: &str) {
        self.say(Level::Verbose, text);
    }
}

fn bar(step: Step) -> SignOfLife {
    let style = ProgressStyle::with_template("{spinner} {msg:<10} {elapsed}").expect("the template is well-formed");
    let bar = ProgressBar::new_spinner().with_style(style).with_message(step.name());
    bar.enable_steady_tick(Duration::from_millis(100));
    SignOfLife::Bar(bar)
}

fn lines(step: Step) -> SignOfLife {
    let (stop, stopped) = mpsc::channel::<()>();
    let start = Instant::now();
    let latest = Arc::new(Mutex::new(String::new()));
    let shown = Arc::clone(&latest);
    let thread = std::thread::spawn(move || {
        while stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
            let seconds = start.elapsed().as_secs();
            let detail = shown.lock().expect("no panic while it is held").clone();
            let separator = if detail.is_empty() { "" } else { "  " };
            complain(&format!("{:<10} running for {seconds} s{separator}{detail}", step.name()));
        }
    });
    SignOfLife::Lines { stop, thread, latest }
}

/// A log that cannot be written must not end a proof.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Print to stdout. A reader that closed the pipe has seen enough; that is no failure of ours.
///
/// # Errors
/// stdout cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) => unprintable(&error),
        Ok(()) => Ok(()),
    }
}

/// What it means that stdout could not be written.
///
/// # Errors
/// The answer is lost, and somebody still waits for it.
pub fn unprintable(error: &io::Error) -> Result<(), Failure> {
    if error.kind() == ErrorKind::BrokenPipe {
        return Ok(());
    }
    let hint = "send stdout to a file or a device with space, and repeat the command: what was made is kept";
    Err(Failure { hint: hint.into(), ..Failure::io("write the answer to", Path::new("stdout"), error) })
}
