//! The records of all load threads, put together at the end of a trial: latencies, and both sides of the integrity check.

use crate::load::load_thread::LoadOutcome;
use crate::load::shared::Shared;
use crate::measure::errors::ErrorCounts;
use crate::measure::finished::Harvest;
use crate::measure::histograms::{CensoredByMeasure, Histograms, Latencies};
use crate::measure::ledger::ProducedPartition;
use crate::num;
use crate::result::latency::{Measure, new_histogram};
use crate::time::timeline::Timeline;

/// The most steps over which the ages of records that never arrived are spread.
const SPREAD_STEPS: u64 = 1000;

/// Puts the records of the threads together. `records` are the latencies that the threads handed over during the trial, and
/// `shared` holds the groups of their members.
pub(crate) fn harvest(
    outcomes: Vec<LoadOutcome>,
    shared: &Shared,
    timeline: &Timeline,
    records: &Histograms,
    is_open_load: bool,
) -> Harvest {
    let mut harvest = Harvest {
        latencies: Latencies { records: records.clone(), distinct: Histograms::default() },
        censored: CensoredByMeasure::default(),
        batch_bytes: new_histogram(),
        produced: Vec::new(),
        consumed: Vec::new(),
        groups: Vec::new(),
        idle_ns: Vec::new(),
        errors: ErrorCounts::default(),
        error: None,
    };
    let mut ended_ns = 0;
    for outcome in outcomes {
        ended_ns = ended_ns.max(outcome.ended_ns);
        harvest.latencies.distinct.add(&outcome.recorded.distinct);
        harvest
            .batch_bytes
            .add(&outcome.recorded.batch_bytes)
            .expect("every histogram here has the same bounds");
        harvest.idle_ns.push(outcome.recorded.window_idle_ns);
        harvest.errors.merge(outcome.recorded.errors);
        for producer in outcome.producers {
            for (sum, part) in harvest.censored.iter_mut().zip(producer.censored) {
                sum.merge(part);
            }
            harvest.produced.extend(producer.partitions);
        }
        harvest.consumed.extend(outcome.consumers.into_iter().flat_map(|consumer| consumer.partitions));
        harvest.error = harvest.error.or(outcome.error.map(|error| format!("{error:#}")));
    }
    for group in shared.groups() {
        let (record, consumed) = group.finish(ended_ns, shared.ends(group.spec().topic), timeline);
        harvest.groups.push(record);
        harvest.consumed.extend(consumed);
    }
    if is_open_load {
        harvest.record_unconsumed(timeline, ended_ns);
    }
    harvest
}

impl Harvest {
    /// Enters records that a group never received into `end_to_end`, at their age. Their intended times are not known. They
    /// are taken to be spread evenly from the last record of the same producer that did arrive until the window's end.
    fn record_unconsumed(&mut self, timeline: &Timeline, ended_ns: u64) {
        let oldest_ns = |from_ns: u64| ended_ns.saturating_sub(from_ns.max(timeline.window_start_ns()));
        let youngest_ns = ended_ns.saturating_sub(timeline.window_end_ns());
        let measure = Measure::EndToEnd;
        for seen in &self.consumed {
            let here =
                |sent: &&ProducedPartition| sent.topic == seen.topic && sent.partition == seen.partition;
            for sent in self.produced.iter().filter(here) {
                let Some(track) = seen.tracks.get(num::index(sent.producer)) else { continue };
                let missing = sent.sent.saturating_sub(track.expected());
                let oldest_ns = oldest_ns(track.last_intended_ns());
                for (age_ns, records) in spread(missing, youngest_ns, oldest_ns) {
                    self.latencies.records.record_n(measure, age_ns, records);
                    self.censored[measure as usize].add(age_ns, records);
                }
                if missing > 0 {
                    self.latencies.distinct.record_n(measure, oldest_ns, 1);
                }
            }
        }
    }
}

/// Spreads `records` records over ages from `youngest_ns` to `oldest_ns`. Returns at most [`SPREAD_STEPS`] ages, each with its
/// number of records; the age of each step is that of its youngest record.
fn spread(records: u64, youngest_ns: u64, oldest_ns: u64) -> impl Iterator<Item = (u64, u64)> {
    let steps = records.min(SPREAD_STEPS);
    let range_ns = oldest_ns.saturating_sub(youngest_ns);
    (0..steps).map(move |step| {
        let here = records * (step + 1) / steps - records * step / steps;
        (youngest_ns + range_ns / steps * step, here)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_spread_over_their_ages_and_none_is_lost() {
        assert_eq!(spread(0, 10, 90).count(), 0);
        assert_eq!(spread(1, 10, 90).collect::<Vec<_>>(), [(10, 1)]);
        assert_eq!(spread(4, 10, 90).collect::<Vec<_>>(), [(10, 1), (30, 1), (50, 1), (70, 1)]);
        let many: Vec<_> = spread(12_345, 1_000_000, 9_000_000).collect();
        assert_eq!(many.len(), 1000);
        assert_eq!(many.iter().map(|(_, records)| records).sum::<u64>(), 12_345);
        assert!(many.iter().all(|(age_ns, _)| (1_000_000..9_000_000).contains(age_ns)));
    }
}
