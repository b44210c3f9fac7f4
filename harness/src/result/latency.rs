//! The kinds of latency that are measured, their histograms, and the histograms of an interval as they are kept.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};

/// The largest latency a histogram holds: one hour.
pub const LATENCY_NS_MAX: u64 = 3_600_000_000_000;

const SIGNIFICANT_DIGITS: u8 = 3;

/// What is timed, in the order in which a record passes it (docs/methodology.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Due → the generator got to it.
    PacingLag,
    /// Ready → accepted by the target: back-pressure.
    Blocked,
    /// Accepted → ack.
    Service,
    /// Intended → ack.
    Response,
    /// Intended → in the consumer's hands.
    EndToEnd,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Self; 5] =
        [Self::PacingLag, Self::Blocked, Self::Service, Self::Response, Self::EndToEnd];

    /// The name results use.
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

/// A histogram with this project's bounds: 1 ns to [`LATENCY_NS_MAX`], three significant digits.
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS)
        .expect("the bounds are constants that hdrhistogram accepts")
}

/// Histograms of a stretch of the measured window, or of the drain after it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptInterval {
    /// Where it begins, s since the window opened.
    pub start_s: f64,
    /// Its length, s.
    pub length_s: f64,
    /// Serialised (HdrHistogram V2), empty where nothing was recorded.
    encoded: [Vec<u8>; Measure::ALL.len()],
}

impl KeptInterval {
    /// One in which nothing has been recorded yet.
    pub fn empty(start_s: f64, length_s: f64) -> Self {
        Self { start_s, length_s, encoded: Default::default() }
    }

    /// Whether no measure has a value.
    pub fn is_empty(&self) -> bool {
        self.encoded.iter().all(Vec::is_empty)
    }

    /// Replaces the histogram of one measure.
    pub fn set(&mut self, measure: Measure, histogram: &Histogram<u64>) {
        self.encoded[measure as usize] = encode(histogram);
    }

    /// The histogram of one measure, ns; `None` if nothing was recorded.
    pub fn histogram(&self, measure: Measure) -> Option<Histogram<u64>> {
        let encoded = &self.encoded[measure as usize];
        (!encoded.is_empty()).then(|| {
            Deserializer::new()
                .deserialize(&mut encoded.as_slice())
                .expect("these bytes were serialised by this process")
        })
    }
}

fn encode(histogram: &Histogram<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if !histogram.is_empty() {
        V2Serializer::new().serialize(histogram, &mut bytes).expect("writing to memory cannot fail");
    }
    bytes
}
