//! The records of all load threads, put together at the end of a trial: latencies, and both sides of the integrity check.

use crate::load::load_thread::LoadOutcome;
use crate::measure::finished::Harvest;
use crate::measure::ledger::ProducedPartition;
use crate::measure::recorder::{Histograms, Latencies};
use crate::num;
use crate::result::latency::{Measure, new_histogram};
use crate::time::timeline::Timeline;

/// Puts the records of the threads together. `records` are the latencies that the threads handed over during the trial.
pub(crate) fn harvest(
    outcomes: Vec<LoadOutcome>,
    timeline: &Timeline,
    records: &Histograms,
    is_open_load: bool,
    groups: u32,
) -> Harvest {
    let mut harvest = Harvest {
        latencies: Latencies { records: records.clone(), distinct: Histograms::default() },
        censored: [0; Measure::ALL.len()],
        batch_bytes: new_histogram(),
        produced: Vec::new(),
        consumed: Vec::new(),
        idle_ns: Vec::new(),
        error: None,
    };
    let mut ended_ns = 0;
    let (mut unacked, mut never_accepted) = (0, 0);
    for outcome in outcomes {
        ended_ns = ended_ns.max(outcome.ended_ns);
        harvest.latencies.distinct.add(&outcome.recorded.distinct);
        harvest
            .batch_bytes
            .add(&outcome.recorded.batch_bytes)
            .expect("every histogram here has the same bounds");
        harvest.idle_ns.push(outcome.recorded.window_idle_ns);
        for producer in outcome.producers {
            unacked += producer.unacked;
            never_accepted += producer.never_accepted;
            harvest.produced.extend(producer.partitions);
        }
        harvest.consumed.extend(outcome.consumers.into_iter().flat_map(|consumer| consumer.partitions));
        harvest.error = harvest.error.or(outcome.error.map(|error| format!("{error:#}")));
    }
    harvest.censored[Measure::Service as usize] = unacked;
    if is_open_load {
        harvest.censored[Measure::Response as usize] = unacked + never_accepted;
        harvest.censored[Measure::PacingLag as usize] = never_accepted;
        harvest.censored[Measure::Blocked as usize] = never_accepted;
        let unconsumed = harvest.record_unconsumed(timeline, ended_ns);
        harvest.censored[Measure::EndToEnd as usize] = unconsumed + never_accepted * u64::from(groups);
    }
    harvest
}

impl Harvest {
    /// Enters records that a group never received into `end_to_end`. Their age is counted from the last record of the same
    /// producer that did arrive, so it is the largest that it can be. Returns their number.
    fn record_unconsumed(&mut self, timeline: &Timeline, ended_ns: u64) -> u64 {
        let mut unconsumed = 0;
        for seen in &self.consumed {
            let here =
                |sent: &&ProducedPartition| sent.topic == seen.topic && sent.partition == seen.partition;
            for sent in self.produced.iter().filter(here) {
                let Some(track) = seen.tracks.get(num::index(sent.producer)) else { continue };
                let missing = sent.sent.saturating_sub(track.expected());
                if missing > 0 {
                    let from_ns = track.last_intended_ns().max(timeline.window_start_ns());
                    let age_ns = ended_ns.saturating_sub(from_ns);
                    self.latencies.records.record_n(Measure::EndToEnd, age_ns, missing);
                    self.latencies.distinct.record_n(Measure::EndToEnd, age_ns, 1);
                    unconsumed += missing;
                }
            }
        }
        unconsumed
    }
}
