//! A clock whose time of day jumps.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use vnotch_engine::clock::{Clock, ManualClock};

/// A clock whose time changes only by calls. Clones share the time.
#[derive(Debug, Clone)]
pub(crate) struct JumpingClock {
    steady: ManualClock,
    jumped_ms: Rc<Cell<i64>>,
}

impl JumpingClock {
    pub(crate) fn new(start_ms: i64) -> Self {
        Self { steady: ManualClock::new(start_ms), jumped_ms: Rc::default() }
    }

    /// Moves both times forward.
    pub(crate) fn advance(&self, by: Duration) {
        self.steady.advance(by);
    }

    /// Moves the time of day only, forward or back.
    pub(crate) fn jump(&self, by_ms: i64) {
        self.jumped_ms.set(self.jumped_ms.get() + by_ms);
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Instant {
        self.steady.now()
    }

    fn wall_ms(&self) -> i64 {
        self.steady.wall_ms() + self.jumped_ms.get()
    }
}
