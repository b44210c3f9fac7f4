//! Signs of life of a shard: its own thread writes them, the watchdog reads them.

use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// The part of its loop that a pump is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The pump has not begun its first turn.
    Starting,
    /// Work of the shard.
    Turn,
    /// A future that a caller runs on the shard.
    CallersTask,
    /// A wait for glommio's reactor, which ends at once if nothing is wrong.
    ReactorTurn,
    /// A wait for an operation to complete, or for a message.
    Parked,
}

impl Phase {
    /// All of them, in the order of their numbers.
    const ALL: [Self; 5] = [Self::Starting, Self::Turn, Self::CallersTask, Self::ReactorTurn, Self::Parked];
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Starting => "its pump has not begun",
            Self::Turn => "its pump is in a turn",
            Self::CallersTask => "its pump runs a caller's task",
            Self::ReactorTurn => "its pump waits for the reactor",
            Self::Parked => "its pump is parked",
        })
    }
}

/// See the module. Relaxed throughout: the numbers are looked at one by one, and nothing else depends on them.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Raised by the heartbeat while all is well.
    beats: AtomicU64,
    /// Turns that the pump has begun.
    turns: AtomicU64,
    /// A place in `Phase::ALL`.
    phase: AtomicU8,
    /// Operations in flight at the beginning of the phase.
    in_flight: AtomicUsize,
    /// The kernel's number of the shard's thread; 0 before it runs.
    thread: AtomicI32,
}

impl Pulse {
    /// Notes which thread the shard runs on: the calling one.
    pub(super) fn begin(&self) {
        self.thread.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Relaxed);
    }

    /// Says that the shard moves, or sleeps with nothing to do; returns how often it was said.
    pub(super) fn beat(&self) -> u64 {
        self.beats.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How often the shard has said that all is well.
    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    pub(super) fn begin_turn(&self, in_flight: usize) {
        // The pump alone writes it.
        self.turns.store(self.turns() + 1, Ordering::Relaxed);
        self.enter(Phase::Turn);
        self.in_flight.store(in_flight, Ordering::Relaxed);
    }

    pub(super) fn begin_wait(&self, phase: Phase, in_flight: usize) {
        self.enter(phase);
        self.in_flight.store(in_flight, Ordering::Relaxed);
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::ALL.get(usize::from(self.phase.load(Ordering::Relaxed))).copied().unwrap_or(Phase::Starting)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Describes the shard's thread as the kernel sees it: where it waits, in which system call, its state and times. Parts
    /// that may not be read are left out.
    pub(crate) fn thread(&self) -> String {
        let thread = self.thread.load(Ordering::Relaxed);
        let read = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/{name}")).ok()?;
            Some(format!("{name}: {}", text.trim()))
        };
        let parts: Vec<String> = ["wchan", "syscall", "stat"].into_iter().filter_map(read).collect();
        if parts.is_empty() { format!("thread {thread} is gone") } else { parts.join("; ") }
    }
}
