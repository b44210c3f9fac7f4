//! The rules for percentiles: when one is known, and when it is only a bound.
//!
//! - A percentile among records that were never acked is a lower bound (`≥`): those records entered at their age.
//! - Another percentile is known if ten distinct acks lie at it or beyond.
//! - A known percentile of `response` is an upper bound (`≤`) if a late load generator made it (see [`Generator`]).
//!
//! Trials, intervals of the time series and charts all use these functions.

use super::LATENCY_NS_MAX;
use crate::num;
use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A percentile is known only if this many distinct acks lie at or beyond it.
const DISTINCT_BEYOND_MIN: u64 = 10;
/// Least part of a percentile, ns, that the generator must have made for a bound. Less is within the noise of any machine.
const GENERATOR_NS_MIN: f64 = 100_000.0;
/// Largest share of a percentile by which `response` may exceed `own` at it. With more, `response` is over 25 % too high.
const EXCESS_MAX: f64 = 0.2;
/// Largest share of the time of the records around a percentile that may be the generator's.
const GENERATOR_SHARE_MAX: f64 = 0.25;
/// The records around a percentile: those within this share of the records beyond it, on either side.
const AROUND: f64 = 0.2;

/// The side of a value on which the true one lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The true value is at most this one. Printed `≤`. The load generator was late.
    Upper,
    /// The true value is at least this one. Printed `≥`. Some records were never acked.
    Lower,
}

impl Bound {
    /// The sign before the value, with a space.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Upper => "≤ ",
            Self::Lower => "≥ ",
        }
    }
}

/// Returns the sign before a value, with a space; empty for a value that is no bound.
pub const fn sign(bound: Option<Bound>) -> &'static str {
    match bound {
        Some(bound) => bound.sign(),
        None => "",
    }
}

/// A percentile of one measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentile {
    /// The value, ns.
    pub ns: u64,
    /// The side on which the true value lies; `None` if the value is the system's own.
    pub bound: Option<Bound>,
}

/// The recorded values of one measure, from which its percentiles are computed.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// Values by record.
    pub records: &'a Histogram<u64>,
    /// The values that decide which percentiles are known: `records`, and for `own` those of `response`, because `own` has the
    /// same acks.
    pub known_by: &'a Histogram<u64>,
    /// Values by distinct ack, hand-over or fetch.
    pub distinct: &'a Histogram<u64>,
    /// Least age of a record that was never acked, ns; `None` if all were acked.
    pub censored_from_ns: Option<u64>,
    /// The generator's part of each value; `None` for measures other than `response`.
    pub generator: Option<Generator<'a>>,
}

/// The generator's part of the response times: the time in which records waited for the load thread, not for the system.
#[derive(Debug, Clone, Copy)]
pub struct Generator<'a> {
    /// Response times without the generator's part, by record.
    pub own: &'a Histogram<u64>,
    /// For each bucket of the response times, the sum of its records' generator parts, ns. The sum stands in place of the
    /// bucket's count.
    pub sums_ns: &'a Histogram<u64>,
}

impl Values<'_> {
    /// The value at `quantile` (0 to 1); `None` if it is not known.
    pub fn at_quantile(&self, quantile: f64) -> Option<Percentile> {
        if self.records.is_empty() {
            return None;
        }
        let ns = self.records.value_at_quantile(quantile);
        if self.is_censored_at(ns) {
            return Some(Percentile { ns, bound: Some(Bound::Lower) });
        }
        percentile(self.known_by, self.distinct, quantile)?;
        Some(Percentile { ns, bound: self.made_by_generator(quantile) })
    }

    /// The largest value; `None` if there is none.
    pub fn max(&self) -> Option<Percentile> {
        let ns = (!self.records.is_empty()).then(|| self.records.max())?;
        let censored = self.is_censored_at(ns).then_some(Bound::Lower);
        Some(Percentile { ns, bound: censored.or_else(|| self.made_by_generator(1.0)) })
    }

    /// Whether a record that was never acked lies at or below `ns`.
    fn is_censored_at(&self, ns: u64) -> bool {
        self.censored_from_ns.is_some_and(|least_ns| ns >= least_ns)
    }

    fn made_by_generator(&self, quantile: f64) -> Option<Bound> {
        let generator = self.generator?;
        let is_made = generator.shifts(self.records, quantile) || generator.fills(self.records, quantile);
        is_made.then_some(Bound::Upper)
    }
}

impl Generator<'_> {
    /// Whether the value of `response` at `quantile` exceeds that of `own` by too much.
    fn shifts(&self, response: &Histogram<u64>, quantile: f64) -> bool {
        let response_ns = response.value_at_quantile(quantile);
        let excess_ns = response_ns.saturating_sub(self.own.value_at_quantile(quantile));
        num::f64_of(excess_ns) > GENERATOR_NS_MIN.max(EXCESS_MAX * num::f64_of(response_ns))
    }

    /// Whether too much of the time of the records around `quantile` was the generator's. Equal percentiles of two
    /// histograms belong to different records, so comparing them is not enough.
    fn fills(&self, response: &Histogram<u64>, quantile: f64) -> bool {
        let count = num::f64_of(response.len());
        let (rank, reach) = (count * quantile, AROUND * count * (1.0 - quantile));
        // At least the one record at the percentile.
        let low = (rank - reach).min((rank - 1.0).max(0.0));
        let high = (rank + reach).max(low + 1.0);
        let (mut below, mut records, mut time_ns, mut generator_ns) = (0.0, 0.0, 0.0, 0.0);
        for bucket in response.iter_recorded() {
            if below >= high {
                break;
            }
            let in_bucket = num::f64_of(bucket.count_at_value());
            let inside = (high.min(below + in_bucket) - low.max(below)).max(0.0);
            below += in_bucket;
            if inside > 0.0 {
                let ns = bucket.value_iterated_to();
                records += inside;
                time_ns += inside * num::f64_of(response.median_equivalent(ns));
                generator_ns += inside / in_bucket * num::f64_of(self.sums_ns.count_at(ns));
            }
        }
        generator_ns > GENERATOR_SHARE_MAX * time_ns && generator_ns > GENERATOR_NS_MIN * records
    }
}

/// The latency at `quantile` (0 to 1) of `records`, ns; `None` unless ten distinct acks lie at or beyond it, by rank and by
/// value. The ten are counted in `distinct`, which holds each ack, hand-over or fetch once. One slow batch of a thousand
/// records is one observation, not a thousand.
pub fn percentile(records: &Histogram<u64>, distinct: &Histogram<u64>, quantile: f64) -> Option<u64> {
    if !is_known_by_rank(num::f64_of(distinct.len()), quantile) {
        return None;
    }
    let value = records.value_at_quantile(quantile);
    let from = distinct.lowest_equivalent(value);
    (distinct.count_between(from, LATENCY_NS_MAX) >= DISTINCT_BEYOND_MIN).then_some(value)
}

/// Whether at least ten of so many distinct acks lie beyond `quantile` (0 to 1), by rank. Where acks are only counted or
/// estimated, this is the whole rule.
pub fn is_known_by_rank(distinct: f64, quantile: f64) -> bool {
    // Half an ack of slack, because 1 - 0.99 is slightly below 0.01 in floating point.
    distinct * (1.0 - quantile) >= num::f64_of(DISTINCT_BEYOND_MIN) - 0.5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::latency::new_histogram;

    const MS: u64 = 1_000_000;

    /// Recorded response times.
    struct Recorded {
        response: Histogram<u64>,
        own: Histogram<u64>,
        sums_ns: Histogram<u64>,
    }

    impl Recorded {
        /// Records pairs of a response time and the generator's part of it, each `count` times.
        fn of(values: &[(u64, u64, u64)]) -> Self {
            let mut recorded =
                Self { response: new_histogram(), own: new_histogram(), sums_ns: new_histogram() };
            for (response_ns, generator_ns, count) in values {
                recorded.response.record_n(*response_ns, *count).unwrap();
                recorded.own.record_n(response_ns - generator_ns, *count).unwrap();
                recorded.sums_ns.record_n(*response_ns, generator_ns * count).unwrap();
            }
            recorded
        }

        fn bound(&self, quantile: f64, censored_from_ns: Option<u64>) -> Option<Bound> {
            self.values(censored_from_ns).at_quantile(quantile).unwrap().bound
        }

        fn values(&self, censored_from_ns: Option<u64>) -> Values<'_> {
            let generator = Some(Generator { own: &self.own, sums_ns: &self.sums_ns });
            let (records, known_by, distinct) = (&self.response, &self.response, &self.response);
            Values { records, known_by, distinct, censored_from_ns, generator }
        }
    }

    #[test]
    fn a_punctual_generator_makes_no_bound() {
        let recorded = Recorded::of(&[(MS, 0, 9000), (5 * MS, MS / 20, 1000)]);
        for quantile in [0.5, 0.9, 0.99, 0.999] {
            assert_eq!(recorded.bound(quantile, None), None);
        }
        assert_eq!(recorded.values(None).max().unwrap().bound, None);
    }

    #[test]
    fn a_generator_that_delays_every_record_makes_every_percentile_a_bound() {
        let recorded = Recorded::of(&[(2 * MS, MS, 9000), (3 * MS, MS, 1000)]);
        for quantile in [0.5, 0.9, 0.99, 0.999] {
            assert_eq!(recorded.bound(quantile, None), Some(Bound::Upper));
        }
    }

    #[test]
    fn other_records_of_the_system_that_are_as_slow_do_not_hide_those_of_the_generator() {
        // Half of the slow records waited for the generator. The percentiles of `own` beyond p99 are as high.
        let recorded =
            Recorded::of(&[(50_000, 0, 97_000), (4 * MS, 4 * MS - 50_000, 2500), (4 * MS, 0, 500)]);
        assert_eq!(recorded.own.value_at_quantile(0.998), recorded.response.value_at_quantile(0.998));
        assert_eq!(recorded.bound(0.998, None), Some(Bound::Upper));
        assert_eq!(recorded.bound(0.5, None), None);
    }

    #[test]
    fn less_than_a_tenth_of_a_millisecond_makes_no_bound() {
        let recorded = Recorded::of(&[(120_000, 90_000, 10_000)]);
        assert_eq!(recorded.bound(0.5, None), None);
        let recorded = Recorded::of(&[(150_000, 110_000, 10_000)]);
        assert_eq!(recorded.bound(0.5, None), Some(Bound::Upper));
    }

    #[test]
    fn percentiles_among_records_that_were_never_acked_are_lower_bounds_before_the_ten_acks_rule() {
        let mut recorded = Recorded::of(&[(MS, 0, 8000), (9000 * MS, 0, 5)]);
        recorded.response.record_n(5200 * MS, 2000).unwrap();
        let one_ack = Recorded::of(&[(MS, 0, 30)]).response;
        let values = Values { distinct: &one_ack, ..recorded.values(Some(5200 * MS)) };
        assert_eq!(values.at_quantile(0.5).map(|it| it.bound), Some(None));
        let p90 = values.at_quantile(0.9).unwrap();
        assert!(p90.bound == Some(Bound::Lower) && p90.ns >= 5200 * MS, "{p90:?}");
        assert_eq!(values.max().unwrap().bound, Some(Bound::Lower), "an ack that came later bounds nothing");
        let all_acked = Values { censored_from_ns: None, ..values };
        assert_eq!(all_acked.at_quantile(0.9), None, "without them, ten acks are needed");
    }

    #[test]
    fn without_values_there_is_no_percentile() {
        let recorded = Recorded::of(&[]);
        assert_eq!((recorded.values(None).at_quantile(0.5), recorded.values(None).max()), (None, None));
    }
}
