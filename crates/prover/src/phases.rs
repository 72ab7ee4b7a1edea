//! Where a proof's time goes.

use std::time::{Duration, Instant};

/// How long each step of a proof took, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Names and times.
    pub times: Vec<(&'static str, Duration)>,
}

/// Measures one step after the other.
pub(crate) struct Stopwatch {
    phases: Phases,
    last: Instant,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { phases: Phases::default(), last: Instant::now() }
    }

    /// The step that ends now, and began where the one before ended.
    pub(crate) fn lap(&mut self, name: &'static str) {
        let now = Instant::now();
        self.phases.times.push((name, now - self.last));
        self.last = now;
    }

    pub(crate) fn finish(self) -> Phases {
        self.phases
    }
}
