//! Notices that the wall clock was set. Retention by age goes by it, and so do the timestamps of records.

use std::time::{Duration, Instant, SystemTime};

/// Smallest step in seconds. A clock that is slewed moves by less between two looks.
const STEP_S_MIN: f64 = 0.1;
/// Longest time between the readings of the two clocks. After a longer one, the thread did not run in between.
const READING_MAX: Duration = Duration::from_millis(5);

/// The wall clock and the steady clock, as they were at the last look.
#[derive(Debug)]
pub(super) struct WallClock {
    steady: Instant,
    wall: SystemTime,
}

impl WallClock {
    /// Reads both clocks.
    pub(super) fn now() -> Self {
        Self { steady: Instant::now(), wall: SystemTime::now() }
    }

    /// Returns by how many seconds the wall clock was set since the last look; below 0 if it was set back. `None` if it was not.
    pub(super) fn step_s(&mut self) -> Option<f64> {
        let before = Instant::now();
        let now = Self::now();
        if now.steady - before > READING_MAX || before.elapsed() > READING_MAX {
            return None;
        }
        let last = std::mem::replace(self, now);
        step_s(self.steady - last.steady, self.wall.duration_since(last.wall).map_err(|back| back.duration()))
    }
}

/// Returns the step of a wall clock that has moved by `wall`, back if it is an error, while a steady clock moved by `steady`.
fn step_s(steady: Duration, wall: Result<Duration, Duration>) -> Option<f64> {
    let wall_s = wall.map_or_else(|back| -back.as_secs_f64(), |forward| forward.as_secs_f64());
    let step_s = wall_s - steady.as_secs_f64();
    (step_s.abs() >= STEP_S_MIN).then_some(step_s)
}

/// Says that the wall clock was set.
pub(super) fn sentence(step_s: f64) -> String {
    let way = if step_s < 0.0 { "back" } else { "ahead" };
    format!("the wall clock made a step of {:.1} s {way}", step_s.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_from_time_that_passes() {
        let s = Duration::from_secs_f64;
        assert_eq!(step_s(s(1.0), Ok(s(1.0004))), None);
        assert!((step_s(s(1.0), Ok(s(3601.0))).unwrap() - 3600.0).abs() < 1e-6);
        assert!((step_s(s(1.0), Err(s(59.0))).unwrap() + 60.0).abs() < 1e-6);
        assert_eq!(sentence(-60.0), "the wall clock made a step of 60.0 s back");
    }

    #[test]
    fn a_clock_that_nobody_sets_makes_no_step() {
        let mut clock = WallClock::now();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(clock.step_s(), None);
        clock.wall += Duration::from_secs(100);
        // A thread that is kept from running between the readings looks again.
        let step = (0..1000).find_map(|_| clock.step_s()).unwrap();
        assert!((step + 100.0).abs() < 1.0, "{step}");
    }
}
