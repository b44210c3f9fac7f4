//! The run's clock: nanoseconds since the trial began, monotonic. A trait, so that tests drive the same code through
//! time of their own making.

use std::time::Instant;

/// Where a load thread reads the time.
pub trait Clock {
    /// Nanoseconds since the trial began.
    fn now_ns(&self) -> u64;
}

/// Monotonic time since an instant that all threads of a trial share.
#[derive(Debug, Clone, Copy)]
pub struct TrialClock {
    origin: Instant,
}

impl TrialClock {
    /// A clock that reads 0 now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// `at` on this clock; 0 for what was before it.
    pub fn ns_at(&self, at: Instant) -> u64 {
        crate::num::ns_of(at.saturating_duration_since(self.origin))
    }
}

impl Clock for TrialClock {
    fn now_ns(&self) -> u64 {
        self.ns_at(Instant::now())
    }
}
