//! The behaviour that a test asks a [`FakeSystem`](super::FakeSystem) for: times, stalls, refusals and faults.

use super::{GroupFaults, Server};
use crate::result::ErrorKind;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// The fault applied to one record when consumers read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Lose,
    Repeat,
    SwapWithNext,
    Corrupt,
}

/// A span of time in which batches fail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failing {
    /// The time at which a batch arrives, in nanoseconds.
    pub(crate) during: Range<u64>,
    /// The kind of the error.
    pub(crate) kind: ErrorKind,
    /// Whether the batches are stored all the same.
    pub(crate) is_stored: bool,
}

/// Behaviour of a [`FakeSystem`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Behaviour {
    /// Time from a batch's arrival to its ack, in nanoseconds.
    pub(crate) ack_ns: u64,
    /// Whether acks carry the time at which they were made.
    pub(crate) stamps: bool,
    /// Whether acks say nothing about the encoded size of their batches.
    pub(crate) hides_encoded_bytes: bool,
    /// A batch whose ack would fall into this time, in nanoseconds, is acked at its end instead.
    pub(crate) stall: Range<u64>,
    /// Serves batches one after the other. Its time is added to `ack_ns`.
    pub(crate) server: Option<Server>,
    /// Consumers do not see records from this offset on.
    pub(crate) hidden_from: Option<u64>,
    /// The faults of records of partition 0, by offset.
    pub(crate) faults: BTreeMap<u64, Fault>,
    /// The batch that holds this offset of partition 0 fails.
    pub(crate) fail_at: Option<u64>,
    /// The batches that arrive in a span of time fail.
    pub(crate) failing: Option<Failing>,
    /// Values of this length in bytes are refused when they are offered.
    pub(crate) refuses_bytes: Option<usize>,
    /// A partition that holds this many records reports a retention event, once. Nothing is deleted.
    pub(crate) retains_at: Option<usize>,
    /// After this many sent records, the next one blocks the sending thread for this time. Records that are due in the
    /// meantime are late.
    pub(crate) holds_up: Option<(u64, Duration)>,
    /// Faults of consumer groups.
    pub(crate) group: GroupFaults,
    /// The same for the first record that is sent this long after retention was last reported.
    pub(crate) holds_up_after_retention: Option<(Duration, Duration)>,
}
