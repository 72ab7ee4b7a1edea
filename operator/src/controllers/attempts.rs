//! The machine that all kinds of Jobs go through: attempts that ended are recorded and charged once, what is left of an attempt that was
//! given up goes, and the next one has its number and its time. Everything that it remembers is in the status of the object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use obelysk_api::crd::proof_job_status::{Attempt as AttemptStatus, Retries};
use obelysk_api::job::{JobKind, StepResult};

use super::attempt::{Attempt, Failure, Outcome};
use super::plan::Doomed;
use super::{clip, seconds_between};
use crate::scheduling::retry::{Budget, Verdict};

/// Newest attempts that a status keeps, beside those that succeeded.
const ATTEMPTS: usize = 10;
/// Reason of a success that does not count any more, because the work was asked for again.
const SUPERSEDED: &str = "Superseded";

/// What the status of an object remembers of its attempts.
pub struct Ledger<'a> {
    /// Those that ended, the newest first.
    pub attempts: &'a mut Vec<AttemptStatus>,
    /// What they have used of their budgets.
    pub retries: &'a mut Option<Retries>,
    /// When the one after a failed one may start; absent after one that was the last.
    pub next_retry_time: &'a mut Option<Time>,
}

/// An attempt that has ended, and was not on record.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The attempt.
    pub attempt: Attempt,
    /// What came of it.
    pub result: Result<Box<StepResult>, Failure>,
}

/// What comes next for a kind of Job.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// It has succeeded.
    Done,
    /// An attempt is there that has not ended.
    UnderWay(Box<Attempt>),
    /// An attempt whose Job is to go, and a line that says why; nothing begins before it has gone.
    Stopping(String),
    /// The attempt of this number may start at this time.
    Later(i32, Timestamp),
    /// The attempt of this number may start.
    Start(i32),
    /// No attempt is left. A reason and a line.
    Exhausted(String, String),
}

/// One turn of the machine.
#[derive(Clone, Debug)]
pub struct Turn {
    /// What is new.
    pub ended: Vec<Ended>,
    /// Jobs that go.
    pub delete: Vec<Doomed>,
    /// What comes next.
    pub next: Next,
}

/// Take a turn. `image` is what pods run today: an attempt whose own image never came is made anew with it.
pub fn turn(
    kind: JobKind,
    attempts: &[Attempt],
    ledger: &mut Ledger,
    budget: &Budget,
    image: &str,
    now: Timestamp,
) -> Turn {
    let mut turn = Turn { ended: Vec::new(), delete: Vec::new(), next: Next::Done };
    let recorded = ledger.attempts.iter().filter(|known| known.step == kind).map(|known| known.number);
    let mut number = recorded.max().unwrap_or(0).saturating_add(1);
    let mut stopping = None;
    for attempt in attempts.iter().filter(|attempt| attempt.kind == kind) {
        let is_recorded = is_recorded(ledger.attempts, attempt);
        number = number.max(attempt.number.saturating_add(1));
        match &attempt.outcome {
            Outcome::Succeeded(result) if !is_recorded => {
                record(ledger.attempts, attempt, None, now);
                *ledger.next_retry_time = None;
                turn.ended.push(Ended { attempt: attempt.clone(), result: Ok(result.clone()) });
                return turn;
            }
            // One that succeeds after it was given up counts for nothing: what followed it may have begun.
            Outcome::Succeeded(_) => {}
            Outcome::Failed(failure) => {
                // Its Job never ends by itself.
                if failure.leaves_job {
                    turn.delete.push(attempt.doomed());
                }
                if is_recorded {
                    if failure.leaves_job {
                        stopping = Some(stopped(attempt));
                    }
                    continue;
                }
                record(ledger.attempts, attempt, Some(failure), now);
                turn.ended.push(Ended { attempt: attempt.clone(), result: Err(failure.clone()) });
                if let Err(exhausted) = charge(kind, failure, ledger, budget, now) {
                    turn.next = exhausted;
                    return turn;
                }
            }
            Outcome::Terminating => stopping = Some(stopped(attempt)),
            _ if is_recorded => {
                turn.delete.push(attempt.doomed());
                stopping = Some(stopped(attempt));
            }
            Outcome::Waiting(..) if attempt.image.as_deref().is_some_and(|of| of != image) && !attempt.has_run => {
                turn.delete.push(attempt.doomed());
                let line =
                    format!("{kind} attempt {} has not started and is made anew with image {image}", attempt.number);
                stopping = Some(line);
            }
            _ => {
                turn.next = Next::UnderWay(Box::new(attempt.clone()));
                return turn;
            }
        }
    }
    turn.next = match stopping {
        _ if succeeded(ledger.attempts, kind).is_some() => Next::Done,
        Some(line) => Next::Stopping(line),
        // No wait is longer than the longest: else the clock was set back.
        None => match ledger.next_retry_time.as_ref().map(|time| time.0).filter(|&at| is_ahead(at, now, budget)) {
            Some(at) => Next::Later(number, at),
            None => Next::Start(number),
        },
    };
    turn
}

fn is_ahead(at: Timestamp, now: Timestamp, budget: &Budget) -> bool {
    (1..=budget.most.max(1)).contains(&seconds_between(now, at))
}

fn stopped(attempt: &Attempt) -> String {
    format!("{} attempt {} is being stopped", attempt.kind, attempt.number)
}

/// Charge a failure to its budget and set the time of the next attempt, if there is one.
fn charge(kind: JobKind, failure: &Failure, ledger: &mut Ledger, budget: &Budget, now: Timestamp) -> Result<(), Next> {
    *ledger.next_retry_time = None;
    if let Some(line) = budget.alike.and_then(|limit| alike(kind, ledger.attempts, limit)) {
        return Err(Next::Exhausted(failure.reason.clone(), line));
    }
    match budget.charge(failure.class, failure.backs_off, ledger.retries.get_or_insert_default()) {
        Verdict::After(seconds) => {
            // A clock of a node may be ahead.
            let ended = failure.finished_at.unwrap_or(now).min(now);
            let at = Timestamp::from_second(ended.as_second().saturating_add(seconds)).unwrap_or(now);
            *ledger.next_retry_time = Some(Time(at));
            Ok(())
        }
        Verdict::Exhausted { limit } => {
            let tail = if limit > 0 { format!(" ({limit} retries used)") } else { String::new() };
            Err(Next::Exhausted(failure.reason.clone(), format!("{}{tail}", failure.message)))
        }
    }
}

/// Whether the newest failures are all the same, as many as `limit`; one line that says so.
#[must_use]
pub fn alike(kind: JobKind, attempts: &[AttemptStatus], limit: usize) -> Option<String> {
    let failures = attempts.iter().filter(|known| known.step == kind && !known.has_succeeded());
    let newest = failures.clone().next()?;
    let is_same = |known: &&AttemptStatus| {
        known.class.is_some() && known.reason == newest.reason && known.message == newest.message
    };
    let message = newest.message.as_deref().unwrap_or_default();
    (failures.take_while(is_same).count() >= limit)
        .then(|| format!("{limit} attempts of {kind} failed alike: {message}"))
}

/// The record of the success of a kind of Job. It counts also when its Job is gone.
#[must_use]
pub fn succeeded(attempts: &[AttemptStatus], kind: JobKind) -> Option<&AttemptStatus> {
    attempts.iter().find(|known| known.step == kind && known.has_succeeded())
}

/// Let the successes of a kind of Job count no more: the work is asked for again.
pub fn supersede(attempts: &mut [AttemptStatus], kind: JobKind) {
    for known in attempts.iter_mut().filter(|known| known.step == kind && known.has_succeeded()) {
        known.reason = SUPERSEDED.into();
    }
}

/// Record an attempt that ended.
pub fn record(attempts: &mut Vec<AttemptStatus>, attempt: &Attempt, failure: Option<&Failure>, now: Timestamp) {
    let finished = failure.and_then(|failure| failure.finished_at).unwrap_or(now);
    attempts.insert(
        0,
        AttemptStatus {
            step: attempt.kind,
            number: attempt.number,
            class: failure.and_then(|failure| failure.class).map(|class| class.name().to_owned()),
            reason: failure.map_or_else(|| AttemptStatus::SUCCEEDED.into(), |failure| clip(&failure.reason, 64)),
            message: failure.map(|failure| clip(&failure.message, 512)),
            exit_code: failure.and_then(|failure| failure.exit_code),
            node_name: attempt.node_name.clone(),
            started_at: attempt.started_at.map(Time),
            finished_at: Some(Time(finished)),
        },
    );
    // What succeeded need not be done again, however many attempts at what follows have failed since.
    while attempts.len() > ATTEMPTS {
        let oldest = attempts.iter().rposition(|known| !known.has_succeeded()).unwrap_or(ATTEMPTS);
        attempts.remove(oldest);
    }
}

/// Whether an attempt is on record. Old records fall off the end, so a later number stands for all before it.
#[must_use]
pub fn is_recorded(attempts: &[AttemptStatus], attempt: &Attempt) -> bool {
    attempts.iter().any(|known| known.step == attempt.kind && known.number >= attempt.number)
}
