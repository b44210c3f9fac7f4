//! What a load thread lends to the producer or consumer whose turn it is.

use super::ack_log::AckLog;
use super::pool::Pool;
use super::shared::Shared;
use crate::measure::recorder::Recorder;
use crate::time::clock::Clock;
use crate::time::timeline::Timeline;

/// What a load thread lends to whomever it drives.
pub(crate) struct Turn<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) timeline: &'a Timeline,
    pub(crate) shared: &'a Shared,
    pub(crate) recorder: &'a mut Recorder,
    pub(crate) pool: &'a mut Pool,
    pub(crate) ack_log: Option<&'a mut AckLog>,
    pub(crate) wall_start_ms: i64,
}

impl Turn<'_> {
    /// Reads the clock; what is recorded from here on happened then.
    pub(crate) fn now(&mut self) -> u64 {
        let now_ns = self.clock.now_ns();
        self.recorder.at(now_ns);
        now_ns
    }
}
