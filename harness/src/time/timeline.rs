//! The start and the end of each phase of a trial, on the trial's clock. They are fixed before the first record is
//! sent, except if the window is held back until a condition is met. Then the window opens once, at a time that lies
//! ahead. An end can only move to an earlier time: an interrupt ends the window, and so does a backlog that has been
//! consumed.

use crate::num;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The phases of a trial, in ns since it began: the warm-up from 0, then the window, then the drain.
#[derive(Debug)]
pub struct Timeline {
    window_start_ns: AtomicU64,
    window_end_ns: AtomicU64,
    drain_end_ns: AtomicU64,
    measure_ns: u64,
    drain_ns: u64,
    interval_ns: u64,
}

/// Start of a window that is held back, until [`Timeline::open`] sets it: 146 years after the trial began.
const HELD_NS: u64 = u64::MAX / 4;

/// Intervals with a smaller number than this were counted while the start of the window was not known.
const HELD_INTERVALS: i64 = -1_000_000_000;

impl Timeline {
    /// Makes a timeline whose phases have these lengths and follow each other. `interval` is the length of an interval
    /// of the series.
    pub fn new(warmup: Duration, measure: Duration, drain: Duration, interval: Duration) -> Self {
        let timeline = Self::held(measure, drain, interval);
        timeline.open(num::ns_of(warmup));
        timeline
    }

    /// Makes a timeline whose warm-up lasts until [`Self::open`] is called.
    pub fn held(measure: Duration, drain: Duration, interval: Duration) -> Self {
        let timeline = Self {
            window_start_ns: AtomicU64::new(0),
            window_end_ns: AtomicU64::new(0),
            drain_end_ns: AtomicU64::new(0),
            measure_ns: num::ns_of(measure),
            drain_ns: num::ns_of(drain),
            interval_ns: num::ns_of(interval).max(1),
        };
        timeline.open(HELD_NS);
        timeline
    }

    /// Sets the start of the window to `window_start_ns`. It must be at least two intervals after now, so that the
    /// intervals in progress end before it.
    pub fn open(&self, window_start_ns: u64) {
        let window_end_ns = window_start_ns.saturating_add(self.measure_ns);
        // Stored in this order, so that a thread that sees the start also sees the ends that belong to it.
        self.drain_end_ns.store(window_end_ns.saturating_add(self.drain_ns), Ordering::Release);
        self.window_end_ns.store(window_end_ns, Ordering::Release);
        self.window_start_ns.store(window_start_ns, Ordering::Release);
    }

    /// Returns whether the start of the window is not known yet.
    pub fn is_held(&self) -> bool {
        self.window_start_ns() == HELD_NS
    }

    /// Returns whether interval `index` was counted while the start of the window was not known.
    pub fn was_held(index: i64) -> bool {
        index < HELD_INTERVALS
    }

    /// Returns the time at which the window opens, in ns.
    pub fn window_start_ns(&self) -> u64 {
        self.window_start_ns.load(Ordering::Acquire)
    }

    /// Returns the time at which the window closes, in ns. No record is intended from then on.
    pub fn window_end_ns(&self) -> u64 {
        self.window_end_ns.load(Ordering::Relaxed)
    }

    /// Returns the time at which the drain ends even if records are still missing, in ns.
    pub fn drain_end_ns(&self) -> u64 {
        self.drain_end_ns.load(Ordering::Relaxed)
    }

    /// Returns the length of the series' intervals, in ns.
    pub fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// Returns the length of the window, in ns.
    pub fn window_ns(&self) -> u64 {
        let window_start_ns = self.window_start_ns();
        self.window_end_ns().saturating_sub(window_start_ns)
    }

    /// Returns whether the time `ns` is inside the window.
    pub fn in_window(&self, ns: u64) -> bool {
        let window_start_ns = self.window_start_ns();
        (window_start_ns..self.window_end_ns()).contains(&ns)
    }

    /// Returns the number of intervals in the window. The last one may be shorter than the others.
    pub fn window_intervals(&self) -> i64 {
        i64_of(self.window_ns().div_ceil(self.interval_ns))
    }

    /// Returns the number of the interval that contains `ns`, counted from the window's start. It is negative in the
    /// warm-up, and [`Self::window_intervals`] or more in the drain. No interval reaches across an edge of the window.
    pub fn interval_of(&self, ns: u64) -> i64 {
        let window_start_ns = self.window_start_ns();
        let window_end_ns = self.window_end_ns();
        if ns < window_start_ns {
            // The last warm-up interval has number -1 and ends where the window starts.
            -1 - i64_of((window_start_ns - ns - 1) / self.interval_ns)
        } else if ns < window_end_ns {
            i64_of((ns - window_start_ns) / self.interval_ns)
        } else {
            self.window_intervals() + i64_of((ns - window_end_ns) / self.interval_ns)
        }
    }

    /// Returns the start of the interval after the one that contains `ns`.
    pub fn next_interval_ns(&self, ns: u64) -> u64 {
        let window_start_ns = self.window_start_ns();
        let window_end_ns = self.window_end_ns();
        if ns < window_start_ns {
            // Counted backwards from the window's start, as the interval numbers are.
            ns + (window_start_ns - ns - 1) % self.interval_ns + 1
        } else if ns < window_end_ns {
            let left = self.interval_ns - (ns - window_start_ns) % self.interval_ns;
            (ns + left).min(window_end_ns)
        } else {
            ns + self.interval_ns - (ns - window_end_ns) % self.interval_ns
        }
    }

    /// Returns the start and the end of interval `index`, in ns. Indices past the window mean intervals of the drain.
    pub fn bounds_of(&self, index: i64) -> (u64, u64) {
        let (start_ns, end_ns) = (self.window_start_ns(), self.window_end_ns());
        let after = |base: u64, count: i64| {
            base.saturating_add(count.unsigned_abs().saturating_mul(self.interval_ns))
        };
        let before =
            |count: i64| start_ns.saturating_sub(count.unsigned_abs().saturating_mul(self.interval_ns));
        let intervals = self.window_intervals();
        if index < 0 {
            (before(index), before(index + 1))
        } else if index < intervals {
            (after(start_ns, index), after(start_ns, index + 1).min(end_ns))
        } else {
            (after(end_ns, index - intervals), after(end_ns, index - intervals + 1))
        }
    }

    /// Converts `ns` to seconds since the window opened. They are negative before that.
    pub fn seconds_of(&self, ns: u64) -> f64 {
        let window_start_ns = self.window_start_ns();
        let magnitude = num::f64_of(ns.abs_diff(window_start_ns)) * 1e-9;
        if ns < window_start_ns { -magnitude } else { magnitude }
    }

    /// Ends the window now, because its purpose is fulfilled. The drain keeps its full length.
    pub fn end(&self, now_ns: u64) {
        self.cut(now_ns, Duration::from_nanos(self.drain_ns));
    }

    /// Ends the window now and gives the drain at most `drain`. A window that has not opened yet becomes empty.
    pub fn cut(&self, now_ns: u64, drain: Duration) {
        if self.is_held() {
            self.open(now_ns);
        }
        let window_end = self.window_end_ns.load(Ordering::Relaxed).min(now_ns.max(self.window_start_ns()));
        self.window_end_ns.store(window_end, Ordering::Relaxed);
        let drain_end = now_ns.saturating_add(num::ns_of(drain));
        self.drain_end_ns.fetch_min(drain_end, Ordering::Relaxed);
    }
}

fn i64_of(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn timeline(warmup_ns: u64, interval_ns: u64) -> Timeline {
        let ns = Duration::from_nanos;
        Timeline::new(ns(warmup_ns), ns(4000), ns(1000), ns(interval_ns))
    }

    proptest! {
        #[test]
        fn intervals_are_numbered_from_the_window_and_touch(warmup in 0u64..5000, interval in 1u64..700, at in 0u64..9000) {
            let timeline = timeline(warmup, interval);
            let next = timeline.next_interval_ns(at);
            prop_assert!(next > at && next - at <= interval);
            prop_assert_eq!(timeline.interval_of(next), timeline.interval_of(at) + 1);
            prop_assert_eq!(timeline.interval_of(next - 1), timeline.interval_of(at));
            prop_assert_eq!(timeline.interval_of(at) >= 0, at >= warmup);
            let in_window = (0..timeline.window_intervals()).contains(&timeline.interval_of(at));
            prop_assert_eq!(in_window, timeline.in_window(at));
            let (start, end) = timeline.bounds_of(timeline.interval_of(at));
            prop_assert!((start..end).contains(&at));
            prop_assert_eq!(end, next);
        }
    }

    #[test]
    fn an_interrupt_ends_the_window_at_once() {
        let timeline = timeline(100, 10);
        timeline.cut(600, Duration::from_nanos(50));
        assert_eq!((timeline.window_ns(), timeline.drain_end_ns()), (500, 650));
        timeline.cut(900, Duration::from_nanos(50));
        assert_eq!((timeline.window_ns(), timeline.drain_end_ns()), (500, 650));
    }

    #[test]
    fn a_held_window_starts_when_opened_and_can_be_cut_before() {
        let ns = Duration::from_nanos;
        let held = Timeline::held(ns(4000), ns(1000), ns(10));
        assert!(held.is_held() && !held.in_window(1 << 60));
        assert!(Timeline::was_held(held.interval_of(500)) && held.next_interval_ns(500) - 500 <= 10);
        held.open(700);
        assert_eq!((held.window_start_ns(), held.window_end_ns(), held.drain_end_ns()), (700, 4700, 5700));
        assert!(!held.is_held() && !Timeline::was_held(held.interval_of(500)));
        let never = Timeline::held(ns(4000), ns(1000), ns(10));
        never.cut(300, ns(20));
        assert_eq!((never.window_ns(), never.window_end_ns(), never.drain_end_ns()), (0, 300, 320));
    }

    #[test]
    fn an_interrupt_in_the_warm_up_leaves_an_empty_window() {
        let timeline = timeline(100, 10);
        timeline.cut(40, Duration::ZERO);
        assert_eq!(timeline.window_ns(), 0);
        assert!(!timeline.in_window(100));
    }
}
