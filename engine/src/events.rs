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
    /// A sync off the ack path completed: of a full segment before it is sealed, of a spare, of a segment that was not
    /// synced as it was written. Synced writes and the flushes that acks wait for are counted and no events: they are many.
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
