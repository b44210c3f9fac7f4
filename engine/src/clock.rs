//! The clock seam: what a log and a shard ask for the time, so that a simulation can answer.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where time comes from.
pub trait Clock: Clone + 'static {
    /// Monotonic time.
    fn now(&self) -> Instant;
    /// Wall-clock time, milliseconds since the Unix epoch.
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

/// The instant `wait` after `now`. Waits of more than 100 years count as 100 years, as an [`Instant`] has an end.
pub(crate) fn after(now: Instant, wait: Duration) -> Instant {
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    now + wait.min(LONGEST)
}

/// A number that differs between boots; 0 where the kernel does not tell, which only makes recovery more careful.
pub(crate) fn boot_id() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).unwrap_or_default()
}

/// A clock that stands still until it is told to move: a simulation's. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock {
    start: Instant,
    elapsed: Rc<Cell<Duration>>,
    start_ms: i64,
}

impl ManualClock {
    /// A clock whose wall shows `start_ms`, milliseconds since the Unix epoch.
    pub fn new(start_ms: i64) -> Self {
        Self { start: Instant::now(), elapsed: Rc::default(), start_ms }
    }

    /// Moves both times on.
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
