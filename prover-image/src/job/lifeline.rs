//! What a pod is doing right now: for its log, its progress page, its result, and the watchdog that ends it when it does
//! nothing any more.

use std::fs;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use obelysk_api::job::{Progress, StepFailure, StepResult, StepTime};

use crate::failure::{ExitCode, Failure};
use crate::pipeline::{Observer, Step};

/// Processor time that counts as a sign of life. The threads that only watch use far less.
const SIGN_OF_LIFE_TICKS: u64 = 100;

/// Follows the steps.
pub struct Lifeline {
    state: Mutex<State>,
}

struct State {
    step: Option<Step>,
    step_since: Instant,
    steps: Vec<StepTime>,
    alive_at: Instant,
    alive_ticks: u64,
    bytes: Option<Bytes>,
}

/// How far a download is.
struct Bytes {
    /// When it began, or went on, those that were there.
    first: u64,
    since: Instant,
    done: u64,
    total: u64,
}

impl Bytes {
    /// Bytes per second.
    fn rate(&self) -> u64 {
        let milliseconds = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.done.saturating_sub(self.first).saturating_mul(1000) / milliseconds
    }
}

impl Lifeline {
    /// Nothing has begun.
    pub fn new() -> Self {
        let now = Instant::now();
        let state =
            State { step: None, step_since: now, steps: Vec::new(), alive_at: now, alive_ticks: 0, bytes: None };
        Self { state: Mutex::new(state) }
    }

    /// One line for the pod's log. A log that cannot be written must not end the work.
    pub fn say(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// The steps that ended well.
    pub fn steps(&self) -> Vec<StepTime> {
        self.state().steps.clone()
    }

    /// The result of a pod whose current step fails.
    pub fn failed(&self, failure: &Failure) -> StepResult {
        let state = self.state();
        let failure = step_failure(state.step.map_or("setup", Step::name), failure);
        StepResult { failure: Some(failure), steps: state.steps.clone(), ..StepResult::default() }
    }

    /// The progress page.
    pub fn page(&self) -> String {
        let state = self.state();
        let seconds = state.step_since.elapsed().as_secs();
        let step = state.step.map_or("setup", Step::name);
        let mut progress = Progress {
            step: step.into(),
            summary: format!("{step} for {seconds} s, {} steps done", state.steps.len()),
            ..Progress::default()
        };
        if let Some(bytes) = &state.bytes {
            let percent = (bytes.done.saturating_mul(100) / bytes.total.max(1)).min(100);
            progress.percent = u32::try_from(percent).unwrap_or(100);
            (progress.bytes, progress.total) = (Some(bytes.done), Some(bytes.total));
            progress.rate = Some(bytes.rate());
        }
        serde_json::to_string(&progress).expect("plain data has a JSON form")
    }

    /// How long there has been no step and no noteworthy use of the processor.
    fn silence(&self) -> Duration {
        let ticks = processor_ticks();
        let mut state = self.state();
        if ticks >= state.alive_ticks + SIGN_OF_LIFE_TICKS {
            state.alive_ticks = ticks;
            state.alive_at = Instant::now();
        }
        state.alive_at.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }
}

impl Observer for Lifeline {
    fn started(&self, step: Step) {
        self.say(&format!("{}: started", step.name()));
        let mut state = self.state();
        let now = Instant::now();
        (state.step, state.step_since, state.alive_at, state.bytes) = (Some(step), now, now, None);
    }

    fn finished(&self, step: Step, seconds: f64) {
        self.say(&format!("{}: done in {seconds:.2} s", step.name()));
        let mut state = self.state();
        state.alive_at = Instant::now();
        state.steps.push(StepTime { name: step.name().into(), seconds });
    }

    fn progress(&self, _: &str, done: u64, total: u64) {
        let mut state = self.state();
        let now = Instant::now();
        state.alive_at = now;
        let bytes = state.bytes.get_or_insert(Bytes { first: done, since: now, done, total });
        (bytes.done, bytes.total) = (done, total);
    }

    fn note(&self, text: &str) {
        self.say(text);
    }

    fn detail(&self, text: &str) {
        self.say(text);
        self.state().alive_at = Instant::now();
    }
}

/// A failure as the operator reads it.
pub fn step_failure(step: &str, failure: &Failure) -> StepFailure {
    StepFailure {
        step: step.into(),
        class: failure.code.class(),
        code: failure.code.number(),
        reason: failure.code.reason().into(),
        message: failure.message.clone(),
        hint: failure.hint.clone(),
    }
}

/// Call `end` when there has been no sign of life for longer than `limit`.
pub fn watch(lifeline: Arc<Lifeline>, limit: Duration, end: impl FnOnce(StepResult) + Send + 'static) {
    let interval = (limit / 4).clamp(Duration::from_millis(100), Duration::from_secs(5));
    thread::spawn(move || {
        while lifeline.silence() <= limit {
            thread::sleep(interval);
        }
        let message = format!("no progress for {} s", limit.as_secs());
        end(lifeline.failed(&Failure::new(ExitCode::Stalled, message, "try again; check the volumes")));
    });
}

/// Processor time of this process in ticks of 10 ms, all threads together. 0 where the system does not say.
fn processor_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces; user and system time are the 12th and 13th field after it.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_on_the_processor_is_a_sign_of_life() {
        let lifeline = Lifeline::new();
        let start = Instant::now();
        while processor_ticks() < SIGN_OF_LIFE_TICKS {
            std::hint::black_box(start.elapsed());
        }
        assert!(lifeline.silence() < start.elapsed());
    }

    #[test]
    fn the_page_says_how_far_a_download_is() {
        let lifeline = Lifeline::new();
        lifeline.started(Step::Model);
        lifeline.progress("a/b", 3, 4);
        let progress: Progress = serde_json::from_str(&lifeline.page()).unwrap();
        assert_eq!(progress.percent, 75);
        lifeline.started(Step::Validate);
        assert!(lifeline.page().contains("\"percent\":0"));
    }

    #[test]
    fn the_page_names_the_step() {
        let lifeline = Lifeline::new();
        lifeline.started(Step::Prove);
        let progress: Progress = serde_json::from_str(&lifeline.page()).unwrap();
        assert_eq!(progress.step, "prove");
        assert!(lifeline.page().len() < 4096);
    }
}
