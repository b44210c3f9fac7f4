//! The clock of logs and shards. It is a trait, so that a simulation can set the time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time.
pub trait Clock: Clone + 'static {
    /// Returns the monotonic time.
    fn now(&self) -> Instant;
    /// Returns the wall-clock time, milliseconds since the Unix epoch.
    fn wall_ms(&self) -> i64;
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall_ms(&self) -> i64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Returns the instant `wait` after `now`. A wait of more than 100 years counts as 100 years, as an [`Instant`] cannot
/// hold any time.
pub(crate) fn after(now: Instant, wait: Duration) -> Instant {
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    now + wait.min(LONGEST)
}

/// Returns a number that differs between boots of the machine. It is 0 if the kernel has no such number; then recovery
/// is only more careful.
pub(crate) fn boot_id() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).unwrap_or_default()
}

/// A clock for simulations: its time changes only by [`ManualClock::advance`]. Clones share the time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    start: Instant,
    elapsed: Rc<Cell<Duration>>,
    start_ms: i64,
}

impl ManualClock {
    /// Makes a clock whose wall-clock time is `start_ms`, milliseconds since the Unix epoch.
    pub fn new(start_ms: i64) -> Self {
        Self { start: Instant::now(), elapsed: Rc::default(), start_ms }
    }

    /// Moves both times forward.
    pub fn advance(&self, by: Duration) {
        self.elapsed.set(self.elapsed.get() + by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.start + self.elapsed.get()
    }

    fn wall_ms(&self) -> i64 {
        self.start_ms.saturating_add(i64::try_from(self.elapsed.get().as_millis()).unwrap_or(i64::MAX))
    }
}
