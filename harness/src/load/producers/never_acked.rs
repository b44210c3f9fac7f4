//! The records of a producer that were never acked. They enter the histograms at their age when the drain ends.
//!
//! There are three kinds: records that failed or were refused for good, records that were still unanswered, and records that the system
//! never accepted.

use super::acks::ProducerOutcome;
use super::{Pacing, Producer};
use crate::measure::histograms::{CensoredByMeasure, Times};
use crate::measure::ledger::ProducedPartition;
use crate::measure::recorder::Recorder;
use crate::result::latency::Measure;
use crate::time::timeline::Timeline;
use std::collections::BTreeMap;

/// Ages count as one if they differ by less than one part in this many. The histograms keep three digits.
const AGES_APART: u64 = 2000;
/// Records that failed are kept by the part of the window in which they were intended: so many parts, so that the memory for them is
/// bounded.
const WINDOW_PARTS: u64 = 4096;

/// Records of the window that failed or were refused for good. No ack will come for them, however long the drain is. Their age is
/// known when it ends.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    failed: BTreeMap<u64, Together>,
    refused: BTreeMap<u64, Together>,
}

/// Records of one part of the window.
#[derive(Debug)]
struct Together {
    /// The latest times of all of them, and the longest wait for the generator: their ages are at least what these times give.
    latest: Times,
    records: u64,
}

impl GivenUp {
    /// Keeps records that the system accepted, and that failed later.
    pub(super) fn failed(&mut self, timeline: &Timeline, times: Times, records: u64) {
        keep(&mut self.failed, timeline, times, records);
    }

    /// Keeps a record that the system refused for good.
    pub(super) fn refused(&mut self, timeline: &Timeline, times: Times) {
        keep(&mut self.refused, timeline, times, 1);
    }

    /// Enters the records at their ages at `ended_ns`.
    fn enter(self, recorder: &mut Recorder, censored: &mut CensoredByMeasure, ended_ns: u64) {
        for Together { latest, records } in self.failed.into_values() {
            let times = Times { ended_ns, ..latest };
            recorder.completed(&times, records);
            never_acked(censored, &times, records);
        }
        for Together { latest, records } in self.refused.into_values() {
            let times = Times { ended_ns, ..latest };
            let (Some(response_ns), Some(own_ns)) = (times.response_ns(), times.own_ns()) else { continue };
            recorder.response(response_ns, own_ns, records);
            censored[Measure::Response as usize].add(response_ns, records);
            censored[Measure::Own as usize].add(own_ns, records);
        }
    }
}

/// Adds records to those of the same part of the window.
fn keep(kept: &mut BTreeMap<u64, Together>, timeline: &Timeline, times: Times, records: u64) {
    let window_start_ns = timeline.window_start_ns();
    let part_ns = (timeline.window_end_ns().saturating_sub(window_start_ns) / WINDOW_PARTS).max(1);
    let since_ns = times.intended_ns.unwrap_or(times.accepted_ns).saturating_sub(window_start_ns);
    let part = kept.entry(since_ns / part_ns).or_insert(Together { latest: times, records: 0 });
    let latest = &mut part.latest;
    latest.intended_ns = latest.intended_ns.max(times.intended_ns);
    latest.generator_ns = latest.generator_ns.max(times.generator_ns);
    latest.accepted_ns = latest.accepted_ns.max(times.accepted_ns);
    part.records += records;
}

impl Producer {
    /// Ends the producer at `now_ns`, when the drain is over. Records without an ack enter the histograms with their
    /// age.
    pub(crate) fn finish(
        mut self,
        timeline: &Timeline,
        recorder: &mut Recorder,
        now_ns: u64,
    ) -> ProducerOutcome {
        let mut outcome = ProducerOutcome::default();
        std::mem::take(&mut self.given_up).enter(recorder, &mut outcome.censored, now_ns);
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
