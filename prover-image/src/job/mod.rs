//! The entry point inside pods: does the work that a job file describes and tells the operator what came of it, by exit
//! status and termination message. Whatever happens, exactly one of the two ends is taken: see `conclusion`.

mod conclusion;
mod lifeline;
mod progress_server;
mod question;
mod work;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use obelysk_api::job::{JOB_VARIABLE, JOB_VERSION, JobSpec, StepResult, Work};
use obelysk_model::regular;
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

use crate::failure::{ExitCode, Failure};
use conclusion::Conclusion;
use lifeline::Lifeline;

/// Exit status after SIGTERM, by the shell's convention.
const TERMINATED: i32 = 128 + SIGTERM;

/// No job file is longer.
const SPEC_BYTES_MAX: u64 = 16 << 20;

/// Do a job and end the process.
///
/// # Errors
/// The job cannot be read, so that nobody is known to whom the outcome could be told.
pub fn run(file: Option<&Path>) -> Result<(), Failure> {
    // Before anything else: as process 1 of a container, a process without a handler would ignore the signal.
    let signals =
        Signals::new([SIGTERM]).map_err(|error| Failure::new(ExitCode::Io, error.to_string(), "try again"))?;
    let spec = read(file)?;
    let conclusion = Arc::new(Conclusion::new(&spec));
    let lifeline = Arc::new(Lifeline::new());
    end_on_signal(signals, Arc::clone(&conclusion), Arc::clone(&lifeline));
    match start(&spec, &conclusion, &lifeline).and_then(|()| work::work(&spec, &lifeline)) {
        Ok(mut result) => {
            result.steps = lifeline.steps();
            match result.failure.as_ref().map(|failure| failure.code) {
                None => {
                    result.succeeded = true;
                    conclusion.end(result, 0)
                }
                Some(code) => conclusion.end(result, i32::from(code)),
            }
        }
        Err(failure) => {
            lifeline.say(&format!("error: {}\n  hint: {}", failure.message, failure.hint));
            conclusion.end(lifeline.failed(&failure), i32::from(failure.code.number()))
        }
    }
}

/// The job, from a file or from the environment.
fn read(file: Option<&Path>) -> Result<JobSpec, Failure> {
    let bad = |reason: String| {
        let hint = "the operator and the image must be of the same version";
        Failure::new(ExitCode::BadSpec, format!("the job cannot be read: {reason}"), hint)
    };
    let text = match file {
        Some(file) => regular::read(file, SPEC_BYTES_MAX)
            .and_then(|text| String::from_utf8(text).map_err(io::Error::other))
            .map_err(|error| bad(format!("{}: {error}", file.display())))?,
        None => std::env::var(JOB_VARIABLE).map_err(|error| bad(format!("{JOB_VARIABLE}: {error}")))?,
    };
    let spec: JobSpec = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if spec.version != JOB_VERSION {
        return Err(bad(format!("version {}; this program knows {JOB_VERSION}", spec.version)));
    }
    Ok(spec)
}

/// Name of a pod's work, in file names and messages.
fn name(work: &Work) -> &'static str {
    match work {
        Work::Fetch => "fetch",
        Work::Prepare(_) => "prepare",
        Work::Prove(_) => "prove",
        Work::Finish(_) => "finish",
        Work::Remove(_) => "remove",
    }
}

fn end_on_signal(mut signals: Signals, conclusion: Arc<Conclusion>, lifeline: Arc<Lifeline>) {
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            let message = "the pod was asked to stop";
            let mut result = lifeline.failed(&Failure::new(ExitCode::Stalled, message, "try again"));
            if let Some(failure) = &mut result.failure {
                failure.code = u8::try_from(TERMINATED).expect("a status is a byte");
                failure.reason = "Terminated".into();
            }
            conclusion.end(result, TERMINATED)
        }
    });
}

/// Start what accompanies the work: the progress page and the watchdog.
fn start(spec: &JobSpec, conclusion: &Arc<Conclusion>, lifeline: &Arc<Lifeline>) -> Result<(), Failure> {
    lifeline.say(&format!("{} {}, attempt {}", name(&spec.work), spec.owner, spec.attempt));
    if let Some(address) = &spec.progress_address {
        let address: SocketAddr = address.parse().map_err(|_| {
            let hint = "write it as 0.0.0.0:8080";
            Failure::new(ExitCode::BadSpec, format!("the progress address `{address}` is none"), hint)
        })?;
        let page = Arc::clone(lifeline);
        match progress_server::serve(address, move || page.page()) {
            Ok(bound) => lifeline.say(&format!("progress at http://{bound}/progress")),
            Err(error) => lifeline.say(&format!("no progress page at {address}: {error}")),
        }
    }
    let limit = Duration::from_secs(spec.no_progress_timeout_seconds);
    let (conclusion, lifeline) = (Arc::clone(conclusion), Arc::clone(lifeline));
    lifeline::watch(lifeline, limit, move |result: StepResult| {
        conclusion.end(result, i32::from(ExitCode::Stalled.number()))
    });
    Ok(())
}
