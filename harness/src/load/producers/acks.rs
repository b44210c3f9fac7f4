//! The acks of a producer, and the records whose acks are missing when the drain ends.

use super::{BacklogState, Pacing, Producer};
use crate::load::turn::ThreadTurn;
use crate::measure::ledger::ProducedPartition;
use crate::measure::recorder::{Counted, Recorder};
use crate::num;
use crate::result::latency::Measure;
use crate::system::Ack;
use crate::time::timeline::Timeline;
use anyhow::bail;
use std::task::{Context, Poll, Waker};

/// Ages count as one if they differ by less than one part in this many. The histograms keep three digits.
const AGES_APART: u64 = 2000;

/// The result of a producer.
#[derive(Debug, Default)]
pub struct ProducerOutcome {
    /// The state of each partition, by partition number.
    pub partitions: Vec<ProducedPartition>,
    /// Number of records of the window that were handed over and never acked.
    pub unacked: u64,
    /// Number of records of the window that were never handed over, because the system refused records until the end.
    pub never_accepted: u64,
}

impl Producer {
    /// Processes the acks that have arrived. Called after a wake, when a system that refused records may accept them
    /// again.
    pub(crate) fn poll_acks(&mut self, turn: &mut ThreadTurn<'_>, waker: &Waker) -> anyhow::Result<()> {
        self.may_send = true;
        let mut context = Context::from_waker(waker);
        let mut outcome = Ok(());
        while let Poll::Ready(ack) = self.client.poll_ack(&mut context) {
            let now_ns = turn.now();
            outcome = self.acked(turn, ack, now_ns);
            if outcome.is_err() {
                break;
            }
        }
        // Acks that arrived before a failure are written to the log all the same.
        let written = turn.ack_log.as_mut().map_or(Ok(()), |log| log.write());
        outcome.and(written)
    }

    fn acked(&mut self, turn: &mut ThreadTurn<'_>, ack: Ack, now_ns: u64) -> anyhow::Result<()> {
        let topic = &self.plan.topic_name;
        let partition = ack.partition;
        let Some(state) = self.partitions.get_mut(num::index(partition)) else {
            bail!("the system acked records of {topic}-{partition}, which does not exist");
        };
        let is_open_load = matches!(self.plan.pacing, Pacing::Open { .. });
        let (mut left, mut bytes, mut oldest_ns) = (u64::from(ack.count), 0, None);
        while left > 0 {
            let Some(run) = state.unacked.front_mut() else {
                bail!("the system acked more records of {topic}-{partition} than were sent to it");
            };
            let records = left.min(run.records);
            let run_bytes = run.bytes * records / run.records;
            if ack.result.is_ok() && turn.timeline.in_window(run.intended_ns) {
                oldest_ns.get_or_insert((run.intended_ns, run.accepted_ns));
                record_ack(turn.recorder, is_open_load, now_ns, (run.intended_ns, run.accepted_ns), records);
            }
            run.records -= records;
            run.bytes -= run_bytes;
            bytes += run_bytes;
            left -= records;
            if run.records == 0 {
                state.unacked.pop_front();
            }
        }
        let first = state.answered;
        state.answered += u64::from(ack.count);
        self.unacked_records -= u64::from(ack.count);
        self.unacked_bytes -= bytes;
        if let Err(error) = ack.result {
            state.failed.push(first..state.answered);
            turn.recorder.failed(u64::from(ack.count));
            return Err(error.context(format!("{} records of {topic}-{partition} were refused", ack.count)));
        }
        state.end_offset = ack.base_offset + u64::from(ack.count);
        turn.recorder.acked(Counted {
            records: u64::from(ack.count),
            bytes,
            encoded_bytes: ack.encoded_bytes,
        });
        if let Some((intended_ns, accepted_ns)) = oldest_ns {
            turn.recorder.distinct(Measure::Service, now_ns.saturating_sub(accepted_ns));
            if is_open_load {
                turn.recorder.distinct(Measure::Response, now_ns.saturating_sub(intended_ns));
            }
        }
        turn.shared.acked(self.plan.topic, partition, state.end_offset);
        if self.backlog != BacklogState::None {
            self.backlog_acked_bytes += ack.encoded_bytes;
            turn.shared.count_acked(u64::from(ack.count), ack.encoded_bytes);
        }
        if let Some(log) = turn.ack_log.as_mut() {
            log.note(topic, &ack);
        }
        Ok(())
    }

    /// Ends the producer at `now_ns`, when the drain is over. Records without an ack enter the histograms with their
    /// age.
    pub(crate) fn finish(
        mut self,
        timeline: &Timeline,
        recorder: &mut Recorder,
        now_ns: u64,
    ) -> ProducerOutcome {
        let mut outcome = ProducerOutcome::default();
        let is_open_load = self.is_open_load();
        for (partition, state) in (0..).zip(&mut self.partitions) {
            let sent = state.next_sequence;
            for run in state.unacked.drain(..).filter(|run| timeline.in_window(run.intended_ns)) {
                let times = (run.intended_ns, run.accepted_ns);
                record_ack(recorder, is_open_load, now_ns, times, run.records);
                outcome.unacked += run.records;
            }
            outcome.partitions.push(ProducedPartition {
                topic: self.plan.topic,
                partition,
                producer: self.plan.number,
                answered: state.answered,
                sent,
                failed: std::mem::take(&mut state.failed),
                end_offset: state.end_offset,
            });
        }
        outcome.never_accepted = self.count_never_accepted(timeline, recorder, now_ns);
        outcome
    }

    /// Counts the records that were due in the window and never accepted. They enter the histograms with their age.
    fn count_never_accepted(&mut self, timeline: &Timeline, recorder: &mut Recorder, now_ns: u64) -> u64 {
        let Pacing::Open { schedule, .. } = &mut self.plan.pacing else { return 0 };
        self.blockage.resume(now_ns);
        let mut records = 0;
        schedule.skip_until(timeline.window_start_ns());
        while schedule.due_ns() < timeline.window_end_ns() {
            let due_ns = schedule.due_ns();
            let age_ns = now_ns.saturating_sub(due_ns);
            // Records whose ages differ by less than the histograms keep are counted together, so that a rate far above what
            // is possible ends in time.
            let together_ns = due_ns.saturating_add((age_ns / AGES_APART).max(1));
            let count = schedule.skip_until(together_ns.min(timeline.window_end_ns()));
            let delay = self.blockage.split(due_ns, now_ns);
            recorder.latency(Measure::PacingLag, delay.pacing_lag_ns, count);
            recorder.latency(Measure::Blocked, delay.blocked_ns, count);
            recorder.latency(Measure::Response, age_ns, count);
            recorder.latency(Measure::EndToEnd, age_ns, count * u64::from(self.plan.groups));
            records += count;
        }
        records
    }
}

/// Records the latencies of `records` records of one run. `times` are the run's intended and accepted time, in ns.
fn record_ack(recorder: &mut Recorder, is_open_load: bool, now_ns: u64, times: (u64, u64), records: u64) {
    let (intended_ns, accepted_ns) = times;
    recorder.latency(Measure::Service, now_ns.saturating_sub(accepted_ns), records);
    if is_open_load {
        recorder.latency(Measure::Response, now_ns.saturating_sub(intended_ns), records);
    }
}
