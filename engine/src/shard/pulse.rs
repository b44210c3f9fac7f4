//! Signs of life of a shard. Its own thread writes them, and the watchdog reads them.

use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// The part of its loop that a pump is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The pump has not begun its first turn.
    Starting,
    /// The pump does work of the shard.
    Turn,
    /// The pump polls a future that a caller runs on the shard.
    CallersTask,
    /// The pump waits for glommio's reactor. The wait ends at once if nothing is wrong.
    ReactorTurn,
    /// The pump waits for an operation to complete, or for a message.
    Parked,
}

impl Phase {
    /// All phases, in the order of their numbers.
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

/// The signs of life of one shard.
///
/// All accesses are relaxed: each number is read by itself, and nothing else depends on its order.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Number of heartbeats. The heartbeat raises it while the pump moves, or sleeps with nothing to do.
    beats: AtomicU64,
    /// Number of turns that the pump has begun.
    turns: AtomicU64,
    /// The pump's phase, as its index in `Phase::ALL`.
    phase: AtomicU8,
    /// Number of operations in flight when the phase began.
    in_flight: AtomicUsize,
    /// The kernel's id of the shard's thread; 0 before it runs.
    thread: AtomicI32,
}

impl Pulse {
    /// Stores the id of the calling thread, on which the shard runs.
    pub(super) fn begin(&self) {
        self.thread.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Relaxed);
    }

    /// Counts a heartbeat: the pump moves, or sleeps with nothing to do. Returns the number of heartbeats.
    pub(super) fn beat(&self) -> u64 {
        self.beats.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns the number of heartbeats.
    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    pub(super) fn begin_turn(&self, in_flight: usize) {
        // Not an atomic addition, as only the pump writes it.
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

    /// Describes the shard's thread as the kernel sees it: where it waits, in which system call, its state and its
    /// times. Parts that this process may not read are left out.
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
