//! The watchdog: a thread that looks at every shard's signs of life.
//!
//! It nudges a shard that has not moved for a while. If the shard does not move for `stuck_after`, it is declared
//! stuck: its clients then fail the requests that they wait for, without the shard's help. Once the shard moves, it is
//! no longer stuck.

use crate::error::OpenError;
use crate::shard::{Mailbox, ShardHandle, idle_look_every};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest time between two looks.
const LOOK_EVERY_MAX: Duration = Duration::from_millis(50);

/// Starts the watchdog's thread. It ends soon after `is_ending` is set.
pub(super) fn watch(
    shards: &[ShardHandle],
    stuck_after: Duration,
    is_ending: &Arc<AtomicBool>,
) -> Result<JoinHandle<()>, OpenError> {
    let now = Instant::now();
    let watched =
        shards.iter().map(|shard| (Arc::clone(&shard.mailbox), Watched { beats: 0, moved_at: now }));
    let mut watched: Vec<_> = watched.collect();
    let is_ending = Arc::clone(is_ending);
    let look_every = LOOK_EVERY_MAX.min(stuck_after / 10);
    let mut last_look = now;
    let watch = move || {
        while !is_ending.load(Ordering::Acquire) {
            std::thread::park_timeout(look_every);
            let now = Instant::now();
            let paused = (now - last_look).saturating_sub(look_every);
            last_look = now;
            for (mailbox, watched) in &mut watched {
                let still = watched.look(mailbox.pulse.beats(), now, paused);
                act(mailbox, still, stuck_after);
            }
        }
    };
    let thread = std::thread::Builder::new().name("watchdog".into()).spawn(watch);
    thread.map_err(|error| OpenError::Config(format!("cannot start the watchdog: {error}")))
}

/// The state of a shard at the watchdog's last look.
#[derive(Debug)]
struct Watched {
    /// Number of heartbeats at the last look.
    beats: u64,
    /// The time of the last look that saw a higher number of heartbeats.
    moved_at: Instant,
}

impl Watched {
    /// Looks at a shard that has beaten `beats` times at `now`. Returns for how long it has stood still.
    ///
    /// `paused` is the time before `now` in which this thread was due but did not run. The whole process, or its
    /// machine, may have been stopped, so that time does not count.
    fn look(&mut self, beats: u64, now: Instant, paused: Duration) -> Duration {
        if self.beats == beats {
            self.moved_at = (self.moved_at + paused).min(now);
        } else {
            *self = Self { beats, moved_at: now };
        }
        now - self.moved_at
    }
}

fn act(mailbox: &Mailbox, still: Duration, stuck_after: Duration) {
    let is_stuck = still >= stuck_after;
    // The heartbeat looks this often even at a shard with nothing to do, so it has missed a look.
    let is_late = !still.is_zero() && still >= 2 * idle_look_every(stuck_after);
    if is_late && !is_stuck {
        // Only until the shard is declared stuck: if its thread does not run, it does not react to nudges.
        mailbox.nudge();
    }
    if !mailbox.set_stuck(is_stuck) {
        return;
    }
    if is_stuck {
        tracing::error!("{}", mailbox.describe_stuck(still));
    } else {
        tracing::warn!("shard {} moves again", mailbox.shard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;
    use std::sync::Mutex;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    const LOOK: Duration = Duration::from_millis(50);

    #[test]
    fn a_shard_stands_still_from_the_look_that_saw_it_move_last() {
        let mut now = Instant::now();
        let mut watched = Watched { beats: 0, moved_at: now };
        let mut look = |beats| {
            now += LOOK;
            watched.look(beats, now, Duration::ZERO)
        };
        let still = [1, 1, 1, 2, 2].map(&mut look);
        assert_eq!(still, [0, 1, 2, 0, 1].map(|looks| LOOK * looks));
    }

    #[test]
    fn a_pause_of_the_whole_process_does_not_count() {
        let begun = Instant::now();
        let mut watched = Watched { beats: 7, moved_at: begun };
        let pause = Duration::from_secs(3600);
        assert_eq!(watched.look(7, begun + LOOK, Duration::ZERO), LOOK);
        assert_eq!(watched.look(7, begun + LOOK * 2 + pause, pause), LOOK * 2);
        assert_eq!(watched.look(7, begun + LOOK * 3 + pause, Duration::ZERO), LOOK * 3);
        // The first look after a beat. The pause began right after that beat.
        let moved = begun + LOOK * 4 + pause;
        assert_eq!(watched.look(8, moved, Duration::ZERO), Duration::ZERO);
        assert_eq!(watched.look(8, moved + LOOK + pause, pause), LOOK);
    }

    /// Keeps the level and the message of each event in the log.
    #[derive(Clone, Default)]
    struct Logged(Arc<Mutex<Vec<(Level, String)>>>);

    /// The message of one event.
    struct Message(String);

    impl Visit for Message {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            if field.name() == "message" {
                self.0 = format!("{value:?}");
            }
        }
    }

    impl Subscriber for Logged {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn event(&self, event: &Event<'_>) {
            let mut message = Message(String::new());
            event.record(&mut message);
            self.0.lock().unwrap().push((*event.metadata().level(), message.0));
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_stuck_shard_is_logged_once_with_what_it_waits_for_and_once_when_it_moves() {
        let (mailbox, stuck_after) = (Mailbox::new(3, 1 << 10), LOOK * 10);
        let logged = Logged::default();
        tracing::subscriber::with_default(logged.clone(), || {
            for looks in [9, 10, 11, 12, 0, 1] {
                act(&mailbox, LOOK * looks, stuck_after);
            }
        });
        let expected = [
            (Level::ERROR, mailbox.describe_stuck(stuck_after)),
            (Level::WARN, "shard 3 moves again".into()),
        ];
        assert_eq!(*logged.0.lock().unwrap(), expected);
        assert!(
            expected[0]
                .1
                .starts_with("shard 3 is stuck: it has not moved for 500ms; its pump has not begun ")
        );
    }
}
