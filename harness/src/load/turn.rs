//! The parts of a load thread that its producers and consumers use, one client at a time.

use super::ack_log::AckLog;
use super::pool::Pool;
use super::shared::Shared;
use crate::measure::recorder::Recorder;
use crate::time::clock::Clock;
use crate::time::timeline::Timeline;

/// The parts of a load thread that a producer or consumer borrows while the thread drives it.
pub(crate) struct ThreadTurn<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) timeline: &'a Timeline,
    pub(crate) shared: &'a Shared,
    pub(crate) recorder: &'a mut Recorder,
    pub(crate) pool: &'a mut Pool,
    pub(crate) ack_log: Option<&'a mut AckLog>,
    /// Wall time when the clock read 0, in ms since the Unix epoch.
    pub(crate) wall_start_ms: i64,
}

impl ThreadTurn<'_> {
    /// Reads the clock, in ns. Values that are recorded until the next call count as recorded at that time.
    pub(crate) fn now(&mut self) -> u64 {
        let now_ns = self.clock.now_ns();
        self.recorder.at(now_ns);
        now_ns
    }
}
