//! When records are due.
//!
//! A schedule never looks at the clock: what is late stays due at its own time, is sent as soon as it can be, and is
//! measured from when it was intended. Nothing is skipped, so a stall shows in every record it delayed.

mod even;
mod shaped;

pub use even::Even;
pub use shaped::{Shape, Shaped, Spacing};

/// The due times of one producer.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// At a constant rate, evenly.
    Even(Even),
    /// At a rate that changes, or at random.
    Shaped(Box<Shaped>),
}

impl Schedule {
    /// When the next record is due, ns.
    pub fn due_ns(&self) -> u64 {
        match self {
            Self::Even(even) => even.due_ns(),
            Self::Shaped(shaped) => shaped.due_ns(),
        }
    }

    /// The next record is on its way.
    pub fn advance(&mut self) {
        match self {
            Self::Even(even) => even.advance(),
            Self::Shaped(shaped) => shaped.advance(),
        }
    }
}

impl Schedule {
    /// The window opens at `window_start_ns`; nothing due before depends on it.
    pub fn anchor(&mut self, window_start_ns: u64) {
        if let Self::Shaped(shaped) = self {
            shaped.anchor(window_start_ns);
        }
    }
}

/// Counts what is due, all producers together, as time goes on.
#[derive(Debug, Default)]
pub struct Offered {
    schedules: Vec<Schedule>,
    /// Due before `until_ns`.
    counted: u64,
    until_ns: u64,
}

impl Offered {
    /// Of a trial's producers; none unless the load is open.
    pub fn new(schedules: Vec<Schedule>) -> Self {
        Self { schedules, ..Self::default() }
    }

    /// The window opens at `window_start_ns`.
    pub fn anchor(&mut self, window_start_ns: u64) {
        self.schedules.iter_mut().for_each(|schedule| schedule.anchor(window_start_ns));
    }

    /// Whether anything is ever due.
    pub fn is_open_load(&self) -> bool {
        !self.schedules.is_empty()
    }

    /// Up to where it has counted.
    pub fn until_ns(&self) -> u64 {
        self.until_ns
    }

    /// How many are due in `[start_ns, end_ns)`. Stretches are asked for in order: what lies before the end of the last one
    /// is left out.
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
    /// Passes over what is due before `until_ns`; how many that is.
    fn skip_until(&mut self, until_ns: u64) -> u64 {
        match self {
            Self::Even(even) => even.skip_until(until_ns),
            Self::Shaped(shaped) => {
                let mut skipped = 0;
                while shaped.due_ns() < until_ns {
                    shaped.advance();
                    skipped += 1;
                }
                skipped
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Profile;

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
            vec![Schedule::Even(Even::new(100_000, 0, 0, 1)), Schedule::Shaped(Box::new(Shaped::new(shape)))]
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
