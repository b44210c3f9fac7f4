//! The heartbeat of a shard: a task on its executor that looks at the pump, and shows the watchdog that the pump moves.
//!
//! It is also a timer that always runs, so that the executor never sleeps without an end.

use crate::shard::Shard;
use crate::shard::pulse::Phase;
use glommio::timer::Timer;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// How often the heartbeat looks at a pump that has work.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Longest time between two looks at a pump that has nothing to do. A look takes some 90 µs of CPU time.
const IDLE_LOOK_EVERY_MAX: Duration = Duration::from_millis(50);

/// How often the recovery points are written, if there are new ones.
const POINTS_EVERY: Duration = Duration::from_millis(250);

/// Shortest time between two warnings in the log that the pump had to be woken.
const WARN_EVERY: Duration = Duration::from_secs(1);

/// Returns the time between two looks at a pump that has nothing to do. Twenty looks fit into `stuck_after`, if that is
/// at least 200 ms.
pub(crate) fn idle_look_every(stuck_after: Duration) -> Duration {
    (stuck_after / 20).clamp(LOOK_EVERY, IDLE_LOOK_EVERY_MAX)
}

/// The state of the pump at the heartbeat's last look.
struct Seen {
    turns: u64,
    /// The time at which a waiting pump was first seen to have work; `None` while all is well.
    work_since: Option<Instant>,
    warned_at: Option<Instant>,
}

impl Shard {
    /// Looks at the pump again and again, until the pump ends.
    pub(in crate::shard) async fn beat(self: Rc<Self>) {
        let mut seen = Seen { turns: 0, work_since: None, warned_at: None };
        let mut look_every = LOOK_EVERY;
        let mut points_at = Instant::now();
        loop {
            self.sleep_or_nudge(look_every).await;
            let now = Instant::now();
            let is_idle = self.watch_pump(&mut seen, now);
            look_every = if is_idle { self.idle_look_every } else { LOOK_EVERY };
            let are_points_due = now - points_at >= POINTS_EVERY;
            if are_points_due {
                points_at = now;
            }
            let work = || {
                // Once woken, the pump looks at its timers, and parks again no longer than until that time.
                if self.timers.next_due().is_some_and(|due| due <= now + self.idle_look_every) {
                    self.mailbox.wake();
                }
                if are_points_due {
                    self.write_points();
                }
            };
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                self.has_failed.set(true);
                self.is_ending.set(true);
                self.mailbox.wake();
                return;
            }
        }
    }

    /// Sleeps for `time`, or until the watchdog wakes this task.
    async fn sleep_or_nudge(&self, time: Duration) {
        let mut timer = pin!(Timer::new(time));
        let mut is_woken = false;
        let woken = poll_fn(|context| {
            self.mailbox.set_heartbeat_waker(Some(context.waker()));
            let is_due = timer.as_mut().poll(context).is_ready();
            if is_due || std::mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending }
        });
        woken.await;
    }

    /// Beats if the pump has moved since the last look, or is parked with nothing to do. Otherwise, if the pump waits
    /// although it has work, wakes it; the next look shows whether that helped. Returns whether the pump slept since
    /// the last look.
    fn watch_pump(&self, seen: &mut Seen, now: Instant) -> bool {
        let pulse = &self.mailbox.pulse;
        let turns = pulse.turns();
        let has_moved = std::mem::replace(&mut seen.turns, turns) != turns;
        let is_idle = pulse.phase() == Phase::Parked && !self.has_work(now);
        if has_moved || is_idle {
            seen.work_since = None;
            pulse.beat();
            return is_idle && !has_moved;
        }
        // A wake that was sent just now reaches the pump before the next look.
        if now - *seen.work_since.get_or_insert(now) < LOOK_EVERY {
            return false;
        }
        self.ring.waker().wake();
        if seen.warned_at.is_none_or(|warned_at| now - warned_at >= WARN_EVERY) {
            seen.warned_at = Some(now);
            tracing::warn!(
                "the pump of shard {} slept although it had work, and was woken: {}",
                self.id,
                pulse.phase()
            );
        }
        false
    }

    /// Returns the time at which the pump has to wake itself. Timers that are due after the heartbeat's next two looks
    /// are left to the heartbeat.
    pub(in crate::shard) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let timer = self.timers.next_due().filter(|due| *due <= now + 2 * self.idle_look_every);
        [timer, self.local_queues.next_due()].into_iter().flatten().min()
    }
}
