//! What a load thread lends to the producer or consumer whose turn it is.

use super::ack_log::AckLog;
use super::clock::Clock;
use super::pool::Pool;
use super::shared::Shared;
use super::timeline::Timeline;
use crate::measure::recorder::Recorder;

/// What a load thread lends to whomever it drives.
pub(super) struct Turn<'a> {
    pub(super) clock: &'a dyn Clock,
    pub(super) timeline: &'a Timeline,
    pub(super) shared: &'a Shared,
    pub(super) recorder: &'a mut Recorder,
    pub(super) pool: &'a mut Pool,
    pub(super) ack_log: Option<&'a mut AckLog>,
    pub(super) wall_start_ms: i64,
}

impl Turn<'_> {
    /// Reads the clock; what is recorded from here on happened then.
    pub(super) fn now(&mut self) -> u64 {
        let now_ns = self.clock.now_ns();
        self.recorder.at(now_ns);
        now_ns
    }
}
