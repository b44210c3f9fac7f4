//! The acks of a producer.

use super::{BacklogState, Pacing, Producer, Run};
use crate::load::turn::ThreadTurn;
use crate::measure::histograms::{CensoredByMeasure, Times};
use crate::measure::ledger::ProducedPartition;
use crate::measure::recorder::Counted;
use crate::num;
use crate::result::latency::Measure;
use crate::system::Ack;
use anyhow::bail;
use std::task::{Context, Poll, Waker};

/// The result of a producer.
#[derive(Debug, Default)]
pub struct ProducerOutcome {
    /// The state of each partition, by partition number.
    pub partitions: Vec<ProducedPartition>,
    /// Number of records of the window that were handed over and neither acked nor failed.
    pub unacked: u64,
    /// Number of records of the window that were never handed over, because the system refused records until the end.
    pub never_accepted: u64,
    /// Both kinds of records and those that failed, by the measure that they entered at their age.
    pub censored: CensoredByMeasure,
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
            let stamped_ns = ack.completed_at.map(|at| turn.clock.ns_at(at).min(now_ns));
            self.blockage.room(stamped_ns.unwrap_or(now_ns));
            outcome = self.acked(turn, ack, (stamped_ns, now_ns));
            if outcome.is_err() {
                break;
            }
        }
        // Acks that arrived before a failure are written to the log all the same.
        let written = turn.ack_log.as_mut().map_or(Ok(()), |log| log.write());
        outcome.and(written)
    }

    /// Counts an ack. `times` are when the system made it, if the system stamps its acks, and when it was picked up.
    fn acked(
        &mut self,
        turn: &mut ThreadTurn<'_>,
        ack: Ack,
        times: (Option<u64>, u64),
    ) -> anyhow::Result<()> {
        let (stamped_ns, now_ns) = times;
        let topic = &self.plan.topic_name;
        let partition = ack.partition;
        let Some(state) = self.partitions.get_mut(num::index(partition)) else {
            bail!("the system acked records of {topic}-{partition}, which does not exist");
        };
        let is_open_load = matches!(self.plan.pacing, Pacing::Open { .. });
        let (mut left, mut bytes, mut oldest, mut in_window) = (u64::from(ack.count), 0, None, 0);
        while left > 0 {
            let Some(run) = state.unacked.front_mut() else {
                bail!("the system acked more records of {topic}-{partition} than were sent to it");
            };
            let records = left.min(run.records);
            let run_bytes = run.bytes * records / run.records;
            if turn.timeline.in_window(run.intended_ns) {
                let times = run.times(is_open_load, stamped_ns.unwrap_or(now_ns));
                if ack.result.is_ok() {
                    turn.recorder.completed(&times, records);
                    oldest.get_or_insert(times);
                    in_window += records;
                } else {
                    self.given_up.failed(turn.timeline, times, records);
                }
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
            let failed = first..state.answered;
            return self.failed(turn, partition, failed, stamped_ns.unwrap_or(now_ns), error);
        }
        state.end_offset = ack.base_offset + u64::from(ack.count);
        turn.recorder.acked(Counted {
            records: u64::from(ack.count),
            bytes,
            encoded_bytes: ack.encoded_bytes,
        });
        if let Some(oldest) = oldest {
            turn.recorder.ack(&oldest);
            if let Some(stamped_ns) = stamped_ns {
                turn.recorder.latency(Measure::AckPickup, now_ns - stamped_ns, in_window);
                turn.recorder.distinct(Measure::AckPickup, now_ns - stamped_ns);
            }
        }
        turn.shared.acked(self.plan.topic, partition, state.end_offset);
        if self.backlog != BacklogState::None {
            // A system that does not report what it has encoded took keys and values at least.
            let built = if ack.encoded_bytes == 0 { bytes } else { ack.encoded_bytes };
            self.backlog_acked_bytes += built;
            turn.shared.count_acked(u64::from(ack.count), built);
        }
        if let Some(log) = turn.ack_log.as_mut() {
            log.note(topic, &ack);
        }
        Ok(())
    }
}

impl Run {
    /// The times of the run's records, which were acked or given up at `ended_ns`.
    pub(super) fn times(&self, is_open_load: bool, ended_ns: u64) -> Times {
        Times {
            intended_ns: is_open_load.then_some(self.intended_ns),
            generator_ns: self.pacing_lag_ns,
            accepted_ns: self.accepted_ns,
            ended_ns,
        }
    }
}
