//! What happens inside, with its time, for charts and logs.

use std::time::Instant;

/// Something that happened in one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEvent {
    /// When.
    pub at: Instant,
    /// What.
    pub kind: EventKind,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A new segment took over.
    Roll,
    /// A segment was trimmed, synced and indexed.
    Seal,
    /// Retention deleted a segment.
    Retention,
    /// A sync of its own completed: of a full segment before it is sealed, of a spare, or of a segment that was not synced as
    /// it was written and now has to be. Synced writes and flushes that writes share are counted and no events: they are many.
    Sync,
    /// A segment began in a file whose extents were not all written, because no recycled one was ready.
    NoSpare,
    /// A partition was recovered at open.
    Recovery,
}

impl EventKind {
    /// Its name in results: `roll`, `seal`, `retention`, `sync`, `no_spare`, `recovery`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Roll => "roll",
            Self::Seal => "seal",
            Self::Retention => "retention",
            Self::Sync => "sync",
            Self::NoSpare => "no_spare",
            Self::Recovery => "recovery",
        }
    }
}
