//! How long to wait before the next attempt.

use std::time::Duration;

use rand::RngExt;

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

impl Patience {
    /// The wait after `failures` failures in a row: exponential, of which a random half is left out so that many
    /// clients do not come back together.
    pub(crate) fn wait(&self, failures: u32, retry_after: Option<Duration>) -> Duration {
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
