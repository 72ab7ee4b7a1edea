//! What is said about a download: before it, while it runs, and when it fails.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use obelysk_hub::{HubError, Progress, RemoteFile};
use obelysk_prover::commitment_bytes;

use crate::failure::{ExitCode, Failure};
use crate::memory;
use crate::pipeline::Observer;

/// Reports of a download come at most this often.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// Say before a long download that its model is too large to prove here. Published weights have two bytes.
pub(super) fn warn_of_memory(observer: &dyn Observer, files: &[RemoteFile]) {
    let weights =
        files.iter().filter(|file| file.path.ends_with(".safetensors")).map(|file| file.bytes).sum::<u64>() / 2;
    let needed = commitment_bytes(weights);
    if memory::available().is_some_and(|available| needed > available) {
        let needed = needed >> 30;
        observer.note(&format!(
            "note: a proof of all its layers takes about {needed} GiB of memory, more than is free here"
        ));
    }
}

/// Tells an observer how a download goes, not too often.
pub(super) struct Report<'a> {
    observer: &'a dyn Observer,
    name: String,
    state: Mutex<(u64, u64, Instant)>,
}

impl<'a> Report<'a> {
    pub(super) fn new(observer: &'a dyn Observer, name: String) -> Self {
        Self { observer, name, state: Mutex::new((0, 0, Instant::now())) }
    }

    fn change(&self, always: bool, change: impl FnOnce(&mut u64, &mut u64)) {
        let mut state = self.state.lock().expect("observers do not panic");
        let (done, total, told) = &mut *state;
        change(done, total);
        if always || told.elapsed() >= REPORT_EVERY {
            *told = Instant::now();
            self.observer.progress(&self.name, *done, *total);
        }
    }
}

impl Progress for Report<'_> {
    fn planned(&self, total: u64, held: u64) {
        self.change(true, |done, all| (*done, *all) = (held, total));
    }

    fn fetched(&self, bytes: u64) {
        self.change(false, |done, _| *done += bytes);
    }

    fn lost(&self, bytes: u64) {
        self.change(false, |done, _| *done = done.saturating_sub(bytes));
    }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        let code = match &error {
            HubError::BadReference(_)
            | HubError::BadEndpoint(_)
            | HubError::BadLocation(_)
            | HubError::NotFound(_)
            | HubError::BucketLacks { .. } => ExitCode::BadSpec,
            HubError::BadToken(_)
            | HubError::Unauthorised { .. }
            | HubError::Gated { .. }
            | HubError::BucketRefuses { .. } => ExitCode::Unauthorised,
            HubError::Refused { status: 400..500, .. } => ExitCode::BadSpec,
            HubError::Pointer { .. } => ExitCode::ModelMismatch,
            HubError::Refused { .. }
            | HubError::Insecure { .. }
            | HubError::Proxy { .. }
            | HubError::NotTheFile { .. }
            | HubError::Network { .. }
            | HubError::Protocol { .. } => ExitCode::Network,
            HubError::Digest { .. } => ExitCode::Cache,
            HubError::DiskFull { .. } => ExitCode::DiskFull,
            HubError::Io { verb, path, source } => return Self::io(verb, path, source),
        };
        Self::new(code, error.to_string(), error.hint())
    }
}
