//! The kinds of latency that are measured, their histograms, and the rule for percentiles.
//!
//! A result keeps histograms of intervals ([`KeptInterval`]) and of whole trials ([`TrialHistograms`]).

use crate::num;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};

/// The largest latency that a histogram holds, ns: one hour.
pub const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

const SIGNIFICANT_DIGITS: u8 = 3;

/// A time that is measured, in the order in which a record passes through them (docs/methodology.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// From the time a record is due until the generator handles it.
    PacingLag,
    /// From ready until accepted by the target: the time of back-pressure.
    Blocked,
    /// From accepted until acked.
    Service,
    /// From the intended time until acked.
    Response,
    /// From the intended time until a consumer has the record.
    EndToEnd,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 5] =
        [Self::PacingLag, Self::Blocked, Self::Service, Self::Response, Self::EndToEnd];

    /// The name in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PacingLag => "pacing_lag",
            Self::Blocked => "blocked",
            Self::Service => "service",
            Self::Response => "response",
            Self::EndToEnd => "end_to_end",
        }
    }
}

/// Returns an empty histogram with this project's bounds: 1 ns to [`LATENCY_NS_MAX`], three significant digits.
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS)
        .expect("the bounds are constants that hdrhistogram accepts")
}

/// A percentile is known only if this many distinct acks lie at or beyond it.
const DISTINCT_BEYOND_MIN: u64 = 10;

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

/// One histogram for each measure, serialised (HdrHistogram V2) to save memory; empty bytes for an empty histogram.
#[derive(Debug, Clone, Default, PartialEq)]
struct EncodedHistograms([Vec<u8>; Measure::ALL.len()]);

/// Histograms of a stretch of the measured window, or of the drain after it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptInterval {
    /// Start of the stretch, s since the window opened.
    pub start_s: f64,
    /// Length of the stretch, s.
    pub length_s: f64,
    by_measure: EncodedHistograms,
}

/// The two ways in which a trial's latencies are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// One value for each record.
    Records,
    /// One value, the largest, for each ack (`service`, `response`), hand-over (`pacing_lag`, `blocked`) or fetch
    /// (`end_to_end`).
    Distinct,
}

/// Histograms over all records of a trial's window, whenever they were completed. Percentiles by the ten-acks rule can be
/// computed from them, also after those of several trials are added up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrialHistograms {
    records: EncodedHistograms,
    distinct: EncodedHistograms,
}

impl EncodedHistograms {
    fn set(&mut self, measure: Measure, histogram: &Histogram<u64>) {
        let mut bytes = Vec::new();
        if !histogram.is_empty() {
            V2Serializer::new().serialize(histogram, &mut bytes).expect("writing to memory cannot fail");
        }
        self.0[measure as usize] = bytes;
    }

    fn get(&self, measure: Measure) -> Option<Histogram<u64>> {
        let bytes = &self.0[measure as usize];
        (!bytes.is_empty()).then(|| {
            Deserializer::new()
                .deserialize(&mut bytes.as_slice())
                .expect("these bytes were serialised by this process")
        })
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }
}

impl KeptInterval {
    /// An interval in which nothing is recorded yet.
    pub fn empty(start_s: f64, length_s: f64) -> Self {
        Self { start_s, length_s, by_measure: EncodedHistograms::default() }
    }

    /// Whether no measure has a value.
    pub fn is_empty(&self) -> bool {
        self.by_measure.is_empty()
    }

    /// Replaces the histogram of one measure.
    pub fn set(&mut self, measure: Measure, histogram: &Histogram<u64>) {
        self.by_measure.set(measure, histogram);
    }

    /// The histogram of one measure, ns; `None` if nothing was recorded.
    pub fn histogram(&self, measure: Measure) -> Option<Histogram<u64>> {
        self.by_measure.get(measure)
    }
}

impl Counting {
    /// Both ways.
    pub const ALL: [Self; 2] = [Self::Records, Self::Distinct];

    /// The last part of the tag in `latency.hlog`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Distinct => "distinct",
        }
    }
}

impl TrialHistograms {
    /// Whether no measure has a value, as in results of schema version 1.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.distinct.is_empty()
    }

    /// Replaces one histogram.
    pub fn set(&mut self, measure: Measure, counting: Counting, histogram: &Histogram<u64>) {
        match counting {
            Counting::Records => self.records.set(measure, histogram),
            Counting::Distinct => self.distinct.set(measure, histogram),
        }
    }

    /// The histogram of one measure, ns; `None` if nothing was recorded.
    pub fn histogram(&self, measure: Measure, counting: Counting) -> Option<Histogram<u64>> {
        match counting {
            Counting::Records => self.records.get(measure),
            Counting::Distinct => self.distinct.get(measure),
        }
    }

    /// The latency of one measure at `quantile` (0 to 1), ns, by the rule of [`percentile`].
    pub fn at_quantile(&self, measure: Measure, quantile: f64) -> Option<u64> {
        percentile(&self.records.get(measure)?, &self.distinct.get(measure)?, quantile)
    }
}
