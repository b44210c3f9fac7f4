//! The histograms of all latencies.
//!
//! Values are nanoseconds, kept to three significant digits. They are never clamped: a value above
//! [`LATENCY_NS_MAX`](crate::result::latency::LATENCY_NS_MAX) is counted as an overflow.

use crate::result::latency::percentile::{Generator, Values};
use crate::result::latency::{Counting, Measure, TrialHistograms, new_histogram};
use hdrhistogram::Histogram;

/// One histogram for each measure.
#[derive(Debug, Clone)]
pub struct Histograms {
    by_measure: [Histogram<u64>; Measure::ALL.len()],
    overflows: [u64; Measure::ALL.len()],
    /// For each bucket of `response`, the sum of its records' generator parts, ns, in place of the count.
    generator_ns: Histogram<u64>,
}

/// The times of records that were acked, or given up, together: ns on the trial's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The time at which the records were intended to be sent; `None` under `max` and `closed`.
    pub intended_ns: Option<u64>,
    /// Length of the generator's part of the time from then until `accepted_ns`.
    pub generator_ns: u64,
    /// The time at which the system accepted the records.
    pub accepted_ns: u64,
    /// The time of their ack. For records that were never acked, the end of the drain.
    pub ended_ns: u64,
}

impl Times {
    /// Time from accepted until acked, ns.
    pub const fn service_ns(&self) -> u64 {
        self.ended_ns.saturating_sub(self.accepted_ns)
    }

    /// Time from intended until acked, ns; `None` under `max` and `closed`.
    pub fn response_ns(&self) -> Option<u64> {
        self.intended_ns.map(|intended_ns| self.ended_ns.saturating_sub(intended_ns))
    }

    /// The part of the response time in which the records did not wait for the generator, ns.
    pub fn own_ns(&self) -> Option<u64> {
        self.response_ns().map(|response_ns| response_ns.saturating_sub(self.generator_ns))
    }
}

impl Default for Histograms {
    fn default() -> Self {
        Self {
            by_measure: Measure::ALL.map(|_| new_histogram()),
            overflows: Default::default(),
            generator_ns: new_histogram(),
        }
    }
}

impl Histograms {
    /// Records `count` values of `ns`.
    pub fn record_n(&mut self, measure: Measure, ns: u64, count: u64) {
        if self.by_measure[measure as usize].record_n(ns, count).is_err() {
            self.overflows[measure as usize] += count;
        }
    }

    /// Records the latencies of `records` records.
    pub fn record_times(&mut self, times: &Times, records: u64) {
        self.record_n(Measure::Service, times.service_ns(), records);
        if let (Some(response_ns), Some(own_ns)) = (times.response_ns(), times.own_ns()) {
            self.record_response(response_ns, own_ns, records);
        }
    }

    /// Records the response times of `records` records. `own_ns` is the part in which they did not wait for the generator.
    pub fn record_response(&mut self, response_ns: u64, own_ns: u64, records: u64) {
        self.record_n(Measure::Response, response_ns, records);
        self.record_n(Measure::Own, own_ns, records);
        let generator_ns = response_ns.saturating_sub(own_ns);
        if generator_ns > 0 {
            // A response time of over an hour is counted as an overflow above.
            let _ = self.generator_ns.record_n(response_ns, generator_ns.saturating_mul(records));
        }
    }

    /// For each bucket of `response`, the sum of its records' generator parts, ns, in place of the count.
    pub fn generator_ns(&self) -> &Histogram<u64> {
        &self.generator_ns
    }

    /// The histogram of one measure, ns.
    pub fn of(&self, measure: Measure) -> &Histogram<u64> {
        &self.by_measure[measure as usize]
    }

    /// Values beyond [`LATENCY_NS_MAX`](crate::result::latency::LATENCY_NS_MAX), which the histogram does not hold.
    pub fn overflows(&self, measure: Measure) -> u64 {
        self.overflows[measure as usize]
    }

    /// The values of one measure, for percentiles that need no acks to be known.
    pub fn values(&self, measure: Measure) -> Values<'_> {
        let records = self.of(measure);
        let generator = Generator { own: self.of(Measure::Own), sums_ns: &self.generator_ns };
        let generator = (measure == Measure::Response).then_some(generator);
        let known_by = self.of(measure.acks());
        Values { records, known_by, distinct: known_by, censored_from_ns: None, generator }
    }

    /// Adds everything in `other`.
    pub fn add(&mut self, other: &Self) {
        Measure::ALL.into_iter().for_each(|measure| self.add_one(measure, other));
    }

    /// Adds the values of one measure in `other`. Those of `response` include the generator's parts.
    pub fn add_one(&mut self, measure: Measure, other: &Self) {
        add_one(&mut self.by_measure[measure as usize], other.of(measure));
        if measure == Measure::Response {
            add_one(&mut self.generator_ns, &other.generator_ns);
        }
        self.overflows[measure as usize] += other.overflows(measure);
    }

    /// Removes all values and keeps the memory.
    pub fn clear(&mut self) {
        Measure::ALL.into_iter().for_each(|measure| self.clear_one(measure));
    }

    /// Removes the values of one measure and keeps the memory. Those of `response` include the generator's parts.
    pub fn clear_one(&mut self, measure: Measure) {
        clear_one(&mut self.by_measure[measure as usize]);
        if measure == Measure::Response {
            clear_one(&mut self.generator_ns);
        }
        self.overflows[measure as usize] = 0;
    }
}

/// The latencies of a trial. They are counted twice: by record, and by distinct ack, hand-over or fetch, each of which has its
/// largest value.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    /// Values by record.
    pub records: Histograms,
    /// Values by ack (`service`, `response`), hand-over (`pacing_lag`, `blocked`) or fetch (`end_to_end`).
    pub distinct: Histograms,
}

impl Latencies {
    /// The values of one measure, for its percentiles. `censored_from_ns` is the least age of a record that was never acked.
    pub fn values(&self, measure: Measure, censored_from_ns: Option<u64>) -> Values<'_> {
        let distinct = self.distinct.of(measure.acks());
        Values { distinct, censored_from_ns, ..self.records.values(measure) }
    }

    /// The histograms as a result keeps them.
    pub fn to_kept(&self) -> TrialHistograms {
        let mut kept = TrialHistograms::default();
        for measure in Measure::ALL {
            kept.set(measure, Counting::Records, self.records.of(measure));
            kept.set(measure, Counting::Distinct, self.distinct.of(measure));
        }
        kept.set(Measure::Response, Counting::Generator, self.records.generator_ns());
        kept
    }
}

/// Records of the window that were outstanding when the drain ended. They are in a histogram at their age.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Censored {
    /// Number of records.
    pub records: u64,
    /// Least age, ns; `None` if there are no such records.
    pub from_ns: Option<u64>,
}

impl Censored {
    /// Adds `records` records of age `age_ns`.
    pub fn add(&mut self, age_ns: u64, records: u64) {
        self.merge(Self { records, from_ns: (records > 0).then_some(age_ns) });
    }

    /// Adds the records of `other`.
    pub fn merge(&mut self, other: Self) {
        self.records += other.records;
        self.from_ns = self.from_ns.into_iter().chain(other.from_ns).min();
    }
}

/// The records that were never acked, by measure.
pub type CensoredByMeasure = [Censored; Measure::ALL.len()];

/// Adds `part` to `sum`. An empty histogram costs nothing.
pub(super) fn add_one(sum: &mut Histogram<u64>, part: &Histogram<u64>) {
    if !part.is_empty() {
        sum.add(part).expect("every histogram here has the same bounds");
    }
}

/// Removes all values and keeps the memory.
pub(super) fn clear_one(histogram: &mut Histogram<u64>) {
    // Most histograms are empty most of the time, and clearing one touches 270 KiB of memory.
    if !histogram.is_empty() {
        histogram.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::latency::LATENCY_NS_MAX;
    use proptest::prelude::*;

    fn at(latencies: &Latencies, quantile: f64) -> Option<u64> {
        latencies.values(Measure::Service, None).at_quantile(quantile).map(|it| it.ns)
    }

    proptest! {
        #[test]
        fn a_value_is_kept_to_three_digits_or_counted_as_an_overflow(ns in 0..2 * LATENCY_NS_MAX, count in 1u64..1000) {
            let mut histograms = Histograms::default();
            histograms.record_n(Measure::Service, ns, count);
            let held = histograms.of(Measure::Service).len();
            prop_assert_eq!(held + histograms.overflows(Measure::Service), count);
            if held > 0 {
                let max = histograms.of(Measure::Service).max();
                prop_assert!(max >= ns && max - ns <= ns / 1000 + 1);
            }
        }

        #[test]
        fn adding_is_recording_everything_into_one(values in prop::collection::vec((0u64..10_000_000, 1u64..9), 0..50)) {
            let (mut one, mut parts, mut whole) = (Histograms::default(), Histograms::default(), Histograms::default());
            for (i, (ns, count)) in values.into_iter().enumerate() {
                whole.record_n(Measure::Response, ns, count);
                (if i % 2 == 0 { &mut one } else { &mut parts }).record_n(Measure::Response, ns, count);
            }
            parts.add(&one);
            prop_assert_eq!(parts.of(Measure::Response), whole.of(Measure::Response));
        }
    }

    #[test]
    fn a_percentile_without_ten_distinct_acks_beyond_it_is_unknown() {
        let mut latencies = Latencies::default();
        for ack in 1..=1000u64 {
            latencies.records.record_n(Measure::Service, ack * 1000, 500);
            latencies.distinct.record_n(Measure::Service, ack * 1000, 1);
        }
        assert!(at(&latencies, 0.99).is_some());
        assert_eq!(at(&latencies, 0.999), None);
    }

    #[test]
    fn one_slow_batch_of_many_records_is_one_observation() {
        let mut latencies = Latencies::default();
        for _ in 0..1000 {
            latencies.records.record_n(Measure::Service, 1000, 1);
            latencies.distinct.record_n(Measure::Service, 1000, 1);
        }
        latencies.records.record_n(Measure::Service, 9_000_000, 1000);
        latencies.distinct.record_n(Measure::Service, 9_000_000, 1);
        assert_eq!(at(&latencies, 0.9), None);
        assert_eq!(at(&latencies, 0.4), Some(1000));
    }

    #[test]
    fn the_generators_part_is_in_response_and_not_in_own() {
        let mut histograms = Histograms::default();
        let open = Times { intended_ns: Some(100), generator_ns: 300, accepted_ns: 600, ended_ns: 1000 };
        histograms.record_times(&open, 5);
        histograms.record_times(&Times { generator_ns: 0, ..open }, 2);
        histograms.record_times(&Times { intended_ns: None, ..open }, 1);
        let of = |measure: Measure| -> Vec<(u64, u64)> {
            let values = histograms.of(measure).iter_recorded();
            values.map(|it| (it.value_iterated_to(), it.count_at_value())).collect()
        };
        assert_eq!(of(Measure::Service), [(400, 8)]);
        assert_eq!(of(Measure::Response), [(900, 7)]);
        assert_eq!(of(Measure::Own), [(600, 5), (900, 2)]);
        assert_eq!(histograms.generator_ns().count_at(900), 5 * 300);
        let mut sum = histograms.clone();
        sum.add(&histograms);
        assert_eq!(sum.generator_ns().len(), 2 * 5 * 300);
        sum.clear();
        assert!(sum.generator_ns().is_empty() && sum.of(Measure::Own).is_empty());
    }

    #[test]
    fn a_percentile_of_own_is_known_where_that_of_response_is() {
        let mut latencies = Latencies::default();
        for ack in 1..=1000u64 {
            // Acks with many records are slow, so that few acks lie beyond the high percentiles of the records.
            let (generator_ns, records) = if ack > 995 { (50_000, 100) } else { (0, 1) };
            let times = Times { intended_ns: Some(0), generator_ns, accepted_ns: 0, ended_ns: 60_000 * ack };
            latencies.records.record_times(&times, records);
            latencies.distinct.record_n(Measure::Response, 60_000 * ack, 1);
        }
        let is_known = |measure, quantile| latencies.values(measure, None).at_quantile(quantile).is_some();
        for quantile in [0.5, 0.6, 0.65, 0.7, 0.9, 0.99] {
            assert_eq!(is_known(Measure::Own, quantile), is_known(Measure::Response, quantile), "{quantile}");
        }
        assert!(is_known(Measure::Own, 0.5) && !is_known(Measure::Own, 0.9));
    }

    #[test]
    fn the_least_age_is_kept() {
        let mut censored = Censored::default();
        censored.add(70, 0);
        assert_eq!(censored, Censored::default());
        censored.add(50, 3);
        censored.add(20, 1);
        censored.add(90, 2);
        assert_eq!(censored, Censored { records: 6, from_ns: Some(20) });
    }
}
