//! What comes back to a producer: acks, and at the end of the drain the lack of them.

use super::{Building, Pacing, Producer};
use crate::load::turn::Turn;
use crate::measure::ledger::ProducedPartition;
use crate::measure::recorder::{Counted, Recorder};
use crate::num;
use crate::result::latency::Measure;
use crate::system::Ack;
use crate::time::timeline::Timeline;
use anyhow::bail;
use std::task::{Context, Poll, Waker};

/// What became of a producer.
#[derive(Debug, Default)]
pub struct ProducerOutcome {
    /// By partition.
    pub partitions: Vec<ProducedPartition>,
    /// Records of the window that were handed over and never acked.
    pub unacked: u64,
    /// Records of the window that were never handed over: the target was full to the end.
    pub never_accepted: u64,
}

impl Producer {
    /// Takes the acks that have arrived. Called after a wake, when a full target may have room again.
    pub(crate) fn poll_acks(&mut self, turn: &mut Turn<'_>, waker: &Waker) -> anyhow::Result<()> {
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
        // What was acked before a failure is acked.
        let written = turn.ack_log.as_mut().map_or(Ok(()), |log| log.write());
        outcome.and(written)
    }

    fn acked(&mut self, turn: &mut Turn<'_>, ack: Ack, now_ns: u64) -> anyhow::Result<()> {
        let topic = &self.plan.topic_name;
        let partition = ack.partition;
        let Some(lane) = self.lanes.get_mut(num::index(partition)) else {
            bail!("the target acked records of {topic}-{partition}, which does not exist");
        };
        let is_open_load = matches!(self.plan.pacing, Pacing::Open { .. });
        let (mut left, mut bytes, mut oldest_ns) = (u64::from(ack.count), 0, None);
        while left > 0 {
            let Some(group) = lane.unacked.front_mut() else {
                bail!("the target acked more records of {topic}-{partition} than it was sent");
            };
            let records = left.min(group.records);
            let group_bytes = group.bytes * records / group.records;
            if ack.result.is_ok() && turn.timeline.in_window(group.intended_ns) {
                oldest_ns.get_or_insert((group.intended_ns, group.accepted_ns));
                record_ack(
                    turn.recorder,
                    is_open_load,
                    now_ns,
                    (group.intended_ns, group.accepted_ns),
                    records,
                );
            }
            group.records -= records;
            group.bytes -= group_bytes;
            bytes += group_bytes;
            left -= records;
            if group.records == 0 {
                lane.unacked.pop_front();
            }
        }
        let first = lane.answered;
        lane.answered += u64::from(ack.count);
        self.unacked_records -= u64::from(ack.count);
        self.unacked_bytes -= bytes;
        if let Err(error) = ack.result {
            lane.failed.push(first..lane.answered);
            turn.recorder.failed(u64::from(ack.count));
            return Err(error.context(format!("{} records of {topic}-{partition} were refused", ack.count)));
        }
        lane.end_offset = ack.base_offset + u64::from(ack.count);
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
        turn.shared.acked(self.plan.topic, partition, lane.end_offset);
        if self.building != Building::No {
            self.built_bytes += ack.encoded_bytes;
            turn.shared.count_acked(u64::from(ack.count), ack.encoded_bytes);
        }
        if let Some(log) = turn.ack_log.as_mut() {
            log.note(topic, &ack);
        }
        Ok(())
    }

    /// The drain is over at `now_ns`: what is still owed enters the histograms at its age.
    pub(crate) fn finish(
        mut self,
        timeline: &Timeline,
        recorder: &mut Recorder,
        now_ns: u64,
    ) -> ProducerOutcome {
        let mut outcome = ProducerOutcome::default();
        let is_open_load = self.is_open_load();
        for (partition, lane) in (0..).zip(&mut self.lanes) {
            let sent = lane.next_sequence;
            for group in lane.unacked.drain(..).filter(|group| timeline.in_window(group.intended_ns)) {
                let times = (group.intended_ns, group.accepted_ns);
                record_ack(recorder, is_open_load, now_ns, times, group.records);
                outcome.unacked += group.records;
            }
            outcome.partitions.push(ProducedPartition {
                topic: self.plan.topic,
                partition,
                producer: self.plan.number,
                answered: lane.answered,
                sent,
                failed: std::mem::take(&mut lane.failed),
                end_offset: lane.end_offset,
            });
        }
        outcome.never_accepted = self.count_never_accepted(timeline, recorder, now_ns);
        outcome
    }

    /// What was due in the window and never accepted waited for the whole of its age.
    fn count_never_accepted(&mut self, timeline: &Timeline, recorder: &mut Recorder, now_ns: u64) -> u64 {
        let Pacing::Open { schedule, .. } = &mut self.plan.pacing else { return 0 };
        self.blockage.resume(now_ns);
        let mut records = 0;
        while schedule.due_ns() < timeline.window_end_ns() {
            let due_ns = schedule.due_ns();
            schedule.advance();
            if timeline.in_window(due_ns) {
                let delay = self.blockage.split(due_ns, now_ns);
                recorder.latency(Measure::PacingLag, delay.pacing_lag_ns, 1);
                recorder.latency(Measure::Blocked, delay.blocked_ns, 1);
                let age_ns = now_ns.saturating_sub(due_ns);
                recorder.latency(Measure::Response, age_ns, 1);
                recorder.latency(Measure::EndToEnd, age_ns, u64::from(self.plan.groups));
                records += 1;
            }
        }
        records
    }
}

/// Times `records` records of one group; `times` are when they were intended and accepted.
fn record_ack(recorder: &mut Recorder, is_open_load: bool, now_ns: u64, times: (u64, u64), records: u64) {
    let (intended_ns, accepted_ns) = times;
    recorder.latency(Measure::Service, now_ns.saturating_sub(accepted_ns), records);
    if is_open_load {
        recorder.latency(Measure::Response, now_ns.saturating_sub(intended_ns), records);
    }
}
