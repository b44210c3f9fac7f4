//! The kinds of latency that are measured, their histograms, their percentiles and their figures.
//!
//! A result keeps histograms of intervals ([`KeptInterval`]) and of whole trials ([`TrialHistograms`]).

pub mod figures;
pub mod percentile;

use self::percentile::{Generator, Percentile, Values};
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
    /// The part of `response` in which a record did not wait for the load generator.
    Own,
    /// From the ack until the load thread picks it up.
    AckPickup,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 7] = [
        Self::PacingLag,
        Self::Blocked,
        Self::Service,
        Self::Response,
        Self::EndToEnd,
        Self::Own,
        Self::AckPickup,
    ];

    /// The measure whose distinct acks decide which percentiles of this one are known. `own` is recorded with `response`, for
    /// the same acks.
    #[must_use]
    pub const fn acks(self) -> Self {
        match self {
            Self::Own => Self::Response,
            other => other,
        }
    }

    /// The name in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PacingLag => "pacing_lag",
            Self::Blocked => "blocked",
            Self::Service => "service",
            Self::Response => "response",
            Self::EndToEnd => "end_to_end",
            Self::Own => "own",
            Self::AckPickup => "ack_pickup",
        }
    }
}

/// Returns an empty histogram with this project's bounds: 1 ns to [`LATENCY_NS_MAX`], three significant digits.
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS)
        .expect("the bounds are constants that hdrhistogram accepts")
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

/// The ways in which a trial's latencies are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// One value for each record.
    Records,
    /// One value, the largest, for each ack (`service`, `response`), hand-over (`pacing_lag`, `blocked`) or fetch
    /// (`end_to_end`).
    Distinct,
    /// For each value of `response`, the time in ns that its records waited for the load generator, in place of a count.
    Generator,
}

/// Histograms over all records of a trial's window, whenever they were completed. Percentiles by the ten-acks rule can be
/// computed from them, also after those of several trials are added up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrialHistograms {
    records: EncodedHistograms,
    distinct: EncodedHistograms,
    generator: EncodedHistograms,
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
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Records, Self::Distinct, Self::Generator];

    /// The last part of the tag in `latency.hlog`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Distinct => "distinct",
            Self::Generator => "generator",
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
            Counting::Generator => self.generator.set(measure, histogram),
        }
    }

    /// The histogram of one measure, ns; `None` if nothing was recorded.
    pub fn histogram(&self, measure: Measure, counting: Counting) -> Option<Histogram<u64>> {
        match counting {
            Counting::Records => self.records.get(measure),
            Counting::Distinct => self.distinct.get(measure),
            Counting::Generator => self.generator.get(measure),
        }
    }

    /// The percentiles of one measure at `quantiles` (0 to 1), by the rules of [`percentile`]; `None` for those that are not
    /// known. `censored_from_ns` is the least age of a record that was never acked.
    pub fn at_quantiles(
        &self,
        measure: Measure,
        quantiles: &[f64],
        censored_from_ns: Option<u64>,
    ) -> Vec<Option<Percentile>> {
        let acks = measure.acks();
        let histograms = (self.records.get(measure), self.distinct.get(acks));
        let (Some(records), Some(distinct)) = histograms else { return vec![None; quantiles.len()] };
        let own = self.records.get(Measure::Own).filter(|_| measure == Measure::Response);
        let sums_ns = self.generator.get(measure).unwrap_or_else(new_histogram);
        let generator = own.as_ref().map(|own| Generator { own, sums_ns: &sums_ns });
        let of_acks = if acks == measure { None } else { self.records.get(acks) };
        let known_by = of_acks.as_ref().unwrap_or(&records);
        let values = Values { records: &records, known_by, distinct: &distinct, censored_from_ns, generator };
        quantiles.iter().map(|quantile| values.at_quantile(*quantile)).collect()
    }
}
