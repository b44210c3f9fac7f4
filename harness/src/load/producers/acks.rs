//! The acks of a producer, and the records whose acks are missing when the drain ends.

use super::{BacklogState, Pacing, Producer, Run};
use crate::load::turn::ThreadTurn;
use crate::measure::histograms::{CensoredByMeasure, Times};
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
    /// Both kinds of records, by the measure that they entered at their age.
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
                turn.recorder.completed(&times, records);
                if ack.result.is_ok() {
                    oldest.get_or_insert(times);
                    in_window += records;
                } else {
                    never_acked(&mut self.censored, &times, records);
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
        let mut outcome = ProducerOutcome { censored: self.censored, ..ProducerOutcome::default() };
        let is_open_load = self.is_open_load();
        for (partition, state) in (0..).zip(&mut self.partitions) {
            let sent = state.next_sequence;
            for run in state.unacked.drain(..).filter(|run| timeline.in_window(run.intended_ns)) {
                let times = run.times(is_open_load, now_ns);
                recorder.completed(&times, run.records);
                never_acked(&mut outcome.censored, &times, run.records);
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
        self.count_never_accepted(timeline, recorder, now_ns, &mut outcome);
        outcome
    }

    /// Counts the records that were due in the window and never accepted. They enter the histograms with their age.
    fn count_never_accepted(
        &mut self,
        timeline: &Timeline,
        recorder: &mut Recorder,
        now_ns: u64,
        outcome: &mut ProducerOutcome,
    ) {
        let Pacing::Open { schedule, .. } = &mut self.plan.pacing else { return };
        self.blockage.resume(now_ns);
        let groups = u64::from(self.plan.groups);
        schedule.skip_until(timeline.window_start_ns());
        while schedule.due_ns() < timeline.window_end_ns() {
            let due_ns = schedule.due_ns();
            let age_ns = now_ns.saturating_sub(due_ns);
            // Records whose ages differ by less than the histograms keep are counted together, so that a rate far above what
            // is possible ends in time.
            let together_ns = due_ns.saturating_add((age_ns / AGES_APART).max(1));
            let count = schedule.skip_about_until(together_ns.min(timeline.window_end_ns()));
            let delay = self.blockage.split(due_ns, now_ns);
            let own_ns = age_ns - delay.pacing_lag_ns;
            recorder.latency(Measure::PacingLag, delay.pacing_lag_ns, count);
            recorder.latency(Measure::Blocked, delay.blocked_ns, count);
            recorder.response(age_ns, own_ns, count);
            recorder.latency(Measure::EndToEnd, age_ns, count * groups);
            outcome.never_accepted += count;
            outcome.censored[Measure::Response as usize].add(age_ns, count);
            outcome.censored[Measure::Own as usize].add(own_ns, count);
            outcome.censored[Measure::Blocked as usize].add(delay.blocked_ns, count);
            outcome.censored[Measure::EndToEnd as usize].add(age_ns, count * groups);
        }
    }
}

/// Counts records that were accepted and never acked.
fn never_acked(censored: &mut CensoredByMeasure, times: &Times, records: u64) {
    censored[Measure::Service as usize].add(times.service_ns(), records);
    if let (Some(response_ns), Some(own_ns)) = (times.response_ns(), times.own_ns()) {
        censored[Measure::Response as usize].add(response_ns, records);
        censored[Measure::Own as usize].add(own_ns, records);
    }
}

impl Run {
    /// The times of the run's records, which were acked or given up at `ended_ns`.
    fn times(&self, is_open_load: bool, ended_ns: u64) -> Times {
        Times {
            intended_ns: is_open_load.then_some(self.intended_ns),
            generator_ns: self.pacing_lag_ns,
            accepted_ns: self.accepted_ns,
            ended_ns,
        }
    }
}
