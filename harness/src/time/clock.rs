//! The clock of a trial: monotonic nanoseconds since the trial began. It is a trait, so that a test can run the same
//! code with a clock that the test moves.

use std::time::Instant;

/// The clock that a load thread reads.
pub trait Clock {
    /// Returns the nanoseconds since the trial began.
    fn now_ns(&self) -> u64;

    /// Returns the reading of this clock at the instant `at`; 0 if `at` was before the clock started.
    fn ns_at(&self, at: Instant) -> u64;
}

/// Monotonic time since an instant that all threads of a trial share.
#[derive(Debug, Clone, Copy)]
pub struct TrialClock {
    origin: Instant,
}

impl TrialClock {
    /// Starts a clock that reads 0 now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for TrialClock {
    fn now_ns(&self) -> u64 {
        self.ns_at(Instant::now())
    }

    fn ns_at(&self, at: Instant) -> u64 {
        crate::num::ns_of(at.saturating_duration_since(self.origin))
    }
}
