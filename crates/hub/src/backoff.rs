//! When to try again, and when to give up.

use std::time::Duration;

use rand::RngExt;

use crate::error::HubError;

/// How often to try without progress, and how long to wait in between.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Failures in a row, without one new byte, before giving up.
    pub attempts: u32,
    /// Wait after the first failure; it doubles with every other.
    pub first_wait: Duration,
    /// Longest wait of our own choice. A server's `Retry-After` is honoured up to ten times this.
    pub longest_wait: Duration,
    /// How long a connection may be silent.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 8,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(60),
            stall: Duration::from_secs(60),
        }
    }
}

/// An attempt that failed and may succeed later.
pub(crate) struct Failed {
    pub(crate) reason: String,
    pub(crate) retry_after: Option<Duration>,
}

impl Failed {
    pub(crate) fn new(reason: impl std::fmt::Display) -> Self {
        Self { reason: reason.to_string(), retry_after: None }
    }
}

/// What an attempt comes to.
pub(crate) enum Attempt<T> {
    Done(T),
    /// Try again.
    Failed(Failed),
    /// Trying again would not help.
    Hopeless(HubError),
}

impl<T> Attempt<T> {
    /// Go on with what was done.
    pub(crate) fn and_then<U>(self, next: impl FnOnce(T) -> Attempt<U>) -> Attempt<U> {
        match self {
            Self::Done(value) => next(value),
            Self::Failed(failed) => Attempt::Failed(failed),
            Self::Hopeless(error) => Attempt::Hopeless(error),
        }
    }
}

impl Patience {
    /// Try until it is done, it is hopeless, or patience has run out without progress. `attempt` says with its second
    /// value whether it got any further.
    pub(crate) fn persist<T>(
        &self,
        what: &str,
        mut attempt: impl FnMut() -> (Attempt<T>, bool),
    ) -> Result<T, HubError> {
        let mut failures = 0;
        loop {
            let (outcome, progressed) = attempt();
            let failed = match outcome {
                Attempt::Done(value) => return Ok(value),
                Attempt::Hopeless(error) => return Err(error),
                Attempt::Failed(failed) => failed,
            };
            failures = if progressed { 1 } else { failures + 1 };
            if failures >= self.attempts {
                return Err(HubError::Network { what: what.to_owned(), attempts: failures, reason: failed.reason });
            }
            std::thread::sleep(self.wait(failures, failed.retry_after));
        }
    }

    /// The wait after `failures` failures in a row: exponential, of which a random half is left out so that many
    /// clients do not come back together.
    fn wait(&self, failures: u32, retry_after: Option<Duration>) -> Duration {
        if let Some(asked) = retry_after {
            return asked.min(self.longest_wait * 10);
        }
        let doubled = self.first_wait.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.longest_wait);
        doubled.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_a_server_is_heard() {
        let patience = Patience::default();
        for (failures, longest) in [(1, 1), (2, 2), (3, 4), (7, 60), (60, 60)] {
            let wait = patience.wait(failures, None);
            let longest = Duration::from_secs(longest);
            assert!(wait <= longest && wait >= longest / 2, "{failures}: {wait:?}");
        }
        assert_eq!(patience.wait(1, Some(Duration::from_secs(120))), Duration::from_secs(120));
        assert_eq!(patience.wait(1, Some(Duration::from_secs(1 << 40))), Duration::from_secs(600));
    }
}
