//! Schedules: the times at which records are due.
//!
//! A schedule never reads the clock. A record that is late keeps its due time, is sent as soon as possible, and is
//! measured from its due time. No record is skipped, so a stall shows in every record that it delayed.

mod even;
mod shaped;

pub use even::Even;
pub use shaped::{Shape, Shaped, Spacing};

/// The most records that are walked through to count them.
const WALKED_MAX: u64 = 100_000;
/// The same for [`Schedule::skip_about_until`].
const WALKED_SHORT_MAX: u64 = 1000;

/// The due times of one producer's records.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// A constant rate, evenly spaced.
    Even(Even),
    /// A rate that changes, or random arrivals.
    Shaped(Box<Shaped>),
}

impl Schedule {
    /// Returns the time at which the next record is due, in ns.
    pub fn due_ns(&self) -> u64 {
        match self {
            Self::Even(even) => even.due_ns(),
            Self::Shaped(shaped) => shaped.due_ns(),
        }
    }

    /// Moves on to the record after the next one. Called when the next one is sent.
    pub fn advance(&mut self) {
        match self {
            Self::Even(even) => even.advance(),
            Self::Shaped(shaped) => shaped.advance(),
        }
    }
}

impl Schedule {
    /// Sets the start of the window. Call it before any record is asked for that is due after that start.
    pub fn set_window_start(&mut self, window_start_ns: u64) {
        if let Self::Shaped(shaped) = self {
            shaped.set_window_start(window_start_ns);
        }
    }
}

/// Counts the records that are due, of all producers together.
#[derive(Debug, Default)]
pub struct Offered {
    schedules: Vec<Schedule>,
    /// Number of records due before `until_ns`.
    counted: u64,
    until_ns: u64,
}

impl Offered {
    /// Makes a counter of the records in these schedules of a trial. There are no schedules unless the load is open.
    pub fn new(schedules: Vec<Schedule>) -> Self {
        Self { schedules, ..Self::default() }
    }

    /// Sets the start of the window in all schedules.
    pub fn set_window_start(&mut self, window_start_ns: u64) {
        self.schedules.iter_mut().for_each(|schedule| schedule.set_window_start(window_start_ns));
    }

    /// Returns whether the load is open: records are due at their own times.
    pub fn is_open_load(&self) -> bool {
        !self.schedules.is_empty()
    }

    /// Returns the time up to which it has counted, in ns.
    pub fn until_ns(&self) -> u64 {
        self.until_ns
    }

    /// Returns the number of records that are due in `[start_ns, end_ns)`. Periods must be asked for in order. Any part
    /// before the end of the last period is not counted again.
    pub fn between(&mut self, start_ns: u64, end_ns: u64) -> u64 {
        let before = self.count_until(start_ns);
        self.count_until(end_ns) - before
    }

    fn count_until(&mut self, until_ns: u64) -> u64 {
        if until_ns > self.until_ns {
            self.until_ns = until_ns;
            self.counted +=
                self.schedules.iter_mut().map(|schedule| schedule.skip_until(until_ns)).sum::<u64>();
        }
        self.counted
    }
}

impl Schedule {
    /// Skips the records that are due before `until_ns`, and returns their number. The time that it takes has a bound, however
    /// many they are. For a very large number of random arrivals, it is their mean ([`Shaped::skip_until`]).
    pub fn skip_until(&mut self, until_ns: u64) -> u64 {
        self.skip_walking(until_ns, WALKED_MAX)
    }

    /// Does the same as [`Self::skip_until`] in a shorter time: random arrivals are counted by their mean already if they are
    /// more than a thousand.
    pub fn skip_about_until(&mut self, until_ns: u64) -> u64 {
        self.skip_walking(until_ns, WALKED_SHORT_MAX)
    }

    fn skip_walking(&mut self, until_ns: u64, walked_max: u64) -> u64 {
        match self {
            Self::Even(even) => even.skip_until(until_ns),
            Self::Shaped(shaped) => shaped.skip_until(until_ns, walked_max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Profile, RecordRate};

    #[test]
    fn what_is_offered_adds_up_over_any_stretches() {
        let shape = Shape {
            rate_per_s: 500.0,
            profile: Profile::Ramp(Default::default()),
            window_start_ns: 1_000_000_000,
            window_ns: 2_000_000_000,
            spacing: Spacing::Even(0.0),
        };
        let schedules = || {
            vec![
                Schedule::Even(Even::new(RecordRate::per_s(100), 0, 0, 1)),
                Schedule::Shaped(Box::new(Shaped::new(shape))),
            ]
        };
        let mut offered = Offered::new(schedules());
        let ms = 1_000_000;
        let parts = [(0, 900), (1000, 1300), (1300, 3000), (2000, 3000)]
            .map(|(a, b)| offered.between(a * ms, b * ms));
        assert_eq!(parts[0], 90 + 225);
        assert_eq!(parts[1] + parts[2], Offered::new(schedules()).between(1000 * ms, 3000 * ms));
        assert_eq!(parts[1] + parts[2], 200 + 1000);
        assert_eq!(parts[3], 0, "counted already");
    }
}
