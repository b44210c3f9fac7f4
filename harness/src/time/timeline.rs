//! When a trial's phases begin and end, on the trial's clock. Fixed before the first record is sent, but where the window
//! waits for something to hold: then it opens once, ahead of the present. An end moves only forward in the trial's life:
//! an interrupt, or a backlog that is consumed, cuts the window there.

use crate::num;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The phases of a trial, ns since it began: warm-up from 0, the window, the drain.
#[derive(Debug)]
pub struct Timeline {
    window_start_ns: AtomicU64,
    window_end_ns: AtomicU64,
    drain_end_ns: AtomicU64,
    measure_ns: u64,
    drain_ns: u64,
    interval_ns: u64,
}

/// A window that is held opens here as long as nobody says otherwise: in 146 years.
const HELD_NS: u64 = u64::MAX / 4;

/// Intervals further before the window than this belong to a time when nobody knew when it would open.
const HELD_INTERVALS: i64 = -1_000_000_000;

impl Timeline {
    /// Phases of these lengths one after the other, watched at `interval`.
    pub fn new(warmup: Duration, measure: Duration, drain: Duration, interval: Duration) -> Self {
        let timeline = Self::held(measure, drain, interval);
        timeline.open(num::ns_of(warmup));
        timeline
    }

    /// The same with a warm-up that lasts until [`Self::open`].
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

    /// Lets the window open at `window_start_ns`, at least two intervals from now: what is under way ends before.
    pub fn open(&self, window_start_ns: u64) {
        let window_end_ns = window_start_ns.saturating_add(self.measure_ns);
        // Who sees the start sees the ends that belong to it.
        self.drain_end_ns.store(window_end_ns.saturating_add(self.drain_ns), Ordering::Release);
        self.window_end_ns.store(window_end_ns, Ordering::Release);
        self.window_start_ns.store(window_start_ns, Ordering::Release);
    }

    /// Whether it is not known yet when the window opens.
    pub fn is_held(&self) -> bool {
        self.window_start_ns() == HELD_NS
    }

    /// Whether interval `index` is of the time when that was not known.
    pub fn was_held(index: i64) -> bool {
        index < HELD_INTERVALS
    }

    /// Where the measured window opens.
    pub fn window_start_ns(&self) -> u64 {
        self.window_start_ns.load(Ordering::Acquire)
    }

    /// Where it closes; nothing is intended from then on.
    pub fn window_end_ns(&self) -> u64 {
        self.window_end_ns.load(Ordering::Relaxed)
    }

    /// When the drain is given up.
    pub fn drain_end_ns(&self) -> u64 {
        self.drain_end_ns.load(Ordering::Relaxed)
    }

    /// Length of the series' intervals.
    pub fn interval_ns(&self) -> u64 {
        self.interval_ns
    }

    /// Length of the window, ns.
    pub fn window_ns(&self) -> u64 {
        let window_start_ns = self.window_start_ns();
        self.window_end_ns().saturating_sub(window_start_ns)
    }

    /// Whether `ns` is inside the window.
    pub fn in_window(&self, ns: u64) -> bool {
        let window_start_ns = self.window_start_ns();
        (window_start_ns..self.window_end_ns()).contains(&ns)
    }

    /// How many intervals the window has; the last one may be shorter than the others.
    pub fn window_intervals(&self) -> i64 {
        i64_of(self.window_ns().div_ceil(self.interval_ns))
    }

    /// The interval `ns` is in, counted from the window's start: negative in the warm-up, from
    /// [`Self::window_intervals`] on in the drain. None lies across an edge of the window.
    pub fn interval_of(&self, ns: u64) -> i64 {
        let window_start_ns = self.window_start_ns();
        let window_end_ns = self.window_end_ns();
        if ns < window_start_ns {
            // The last warm-up interval ends where the window starts, and is number -1.
            -1 - i64_of((window_start_ns - ns - 1) / self.interval_ns)
        } else if ns < window_end_ns {
            i64_of((ns - window_start_ns) / self.interval_ns)
        } else {
            self.window_intervals() + i64_of((ns - window_end_ns) / self.interval_ns)
        }
    }

    /// When the interval after the one that holds `ns` begins.
    pub fn next_interval_ns(&self, ns: u64) -> u64 {
        let window_start_ns = self.window_start_ns();
        let window_end_ns = self.window_end_ns();
        if ns < window_start_ns {
            // Counted backwards from the window's start, as the numbers are.
            ns + (window_start_ns - ns - 1) % self.interval_ns + 1
        } else if ns < window_end_ns {
            let left = self.interval_ns - (ns - window_start_ns) % self.interval_ns;
            (ns + left).min(window_end_ns)
        } else {
            ns + self.interval_ns - (ns - window_end_ns) % self.interval_ns
        }
    }

    /// Where interval `index` begins and ends; past the window, of the drain's intervals.
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

    /// `ns` as seconds since the window opened, negative before.
    pub fn seconds_of(&self, ns: u64) -> f64 {
        let window_start_ns = self.window_start_ns();
        let magnitude = num::f64_of(ns.abs_diff(window_start_ns)) * 1e-9;
        if ns < window_start_ns { -magnitude } else { magnitude }
    }

    /// Ends the window now: what it was for is done.
    pub fn end(&self, now_ns: u64) {
        self.cut(now_ns, Duration::from_nanos(self.drain_ns));
    }

    /// Ends the window now (it is empty if it had not opened) and gives the drain `drain` at most.
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
    fn an_interrupt_cuts_the_window_where_it_strikes() {
        let timeline = timeline(100, 10);
        timeline.cut(600, Duration::from_nanos(50));
        assert_eq!((timeline.window_ns(), timeline.drain_end_ns()), (500, 650));
        timeline.cut(900, Duration::from_nanos(50));
        assert_eq!((timeline.window_ns(), timeline.drain_end_ns()), (500, 650));
    }

    #[test]
    fn a_held_window_opens_when_told_and_can_be_cut_before() {
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
