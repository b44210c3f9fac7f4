//! Records that the system refuses, or that fail later: they are counted, or they end the run (`on_error`).

use super::{BacklogState, Producer};
use crate::load::turn::ThreadTurn;
use crate::measure::histograms::Times;
use crate::num;
use crate::system::RecordError;
use crate::workload::OnError;
use std::ops::Range;

impl Producer {
    /// Whether an error of a record ends the run. A backlog that lacks records is none, so errors end the run while one is built.
    fn ends_on_error(&self) -> bool {
        self.plan.on_error == OnError::End || self.backlog != BacklogState::None
    }

    /// Counts records of a partition, by their sequences, that were sent and have failed. This was known at `at_ns`.
    ///
    /// # Errors
    /// The error ends the run.
    pub(super) fn failed(
        &mut self,
        turn: &mut ThreadTurn<'_>,
        partition: u32,
        sequences: Range<u64>,
        at_ns: u64,
        error: RecordError,
    ) -> anyhow::Result<()> {
        let records = sequences.end - sequences.start;
        turn.recorder.failed(error.kind, records, at_ns, &error.message);
        let ranges = &mut self.partitions[num::index(partition)].failed;
        match ranges.last_mut() {
            Some(last) if last.end == sequences.start => last.end = sequences.end,
            _ => ranges.push(sequences),
        }
        if self.ends_on_error() {
            let of = format!("{records} records of {}-{partition} failed", self.plan.topic_name);
            return Err(anyhow::Error::new(error).context(of));
        }
        Ok(())
    }

    /// Counts a record, intended at `intended_ns`, that the system refused at `now_ns`. It gets no sequence number, so nobody
    /// waits for it. The next record takes its turn.
    ///
    /// # Errors
    /// The error ends the run.
    pub(super) fn refused(
        &mut self,
        turn: &mut ThreadTurn<'_>,
        partition: u32,
        intended_ns: u64,
        now_ns: u64,
        error: RecordError,
    ) -> anyhow::Result<()> {
        turn.recorder.failed(error.kind, 1, now_ns, &error.message);
        if self.ends_on_error() {
            let of = format!("a record for {}-{partition} was refused", self.plan.topic_name);
            return Err(anyhow::Error::new(error).context(of));
        }
        if self.is_open_load() && turn.timeline.in_window(intended_ns) {
            let generator_ns = self.blockage.split(intended_ns, now_ns).pacing_lag_ns;
            let intended_ns = Some(intended_ns);
            let times = Times { intended_ns, generator_ns, accepted_ns: now_ns, ended_ns: now_ns };
            self.given_up.refused(turn.timeline, times);
        }
        self.move_to_next_record();
        Ok(())
    }
}
