//! Service-level objectives: bounds on a latency's percentiles and on the achieved share of an open load.

use super::units::{Fraction, TimeSpan};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use std::fmt;

/// Objectives that a run must meet, otherwise it exits with 3. Empty if there are none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slo {
    /// Upper bounds on latencies, in the order of [`Histogram`] and [`Statistic`].
    pub latencies: Vec<LatencyBound>,
    /// Least share of the offered rate that must be achieved.
    pub min_achieved: Option<Fraction>,
}

/// An upper bound on one figure of one histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatencyBound {
    /// Key in the workload file, such as `response_p99`.
    pub key: &'static str,
    /// Histogram that the bound is for.
    pub histogram: Histogram,
    /// Figure of the histogram that is compared with the limit.
    pub statistic: Statistic,
    /// Upper bound of the figure.
    pub limit: TimeSpan,
}

/// The histograms of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Histogram {
    /// From a record's due time until the generator handles it.
    PacingLag,
    /// From ready until accepted by the target.
    Blocked,
    /// From accepted until acked.
    Service,
    /// From the intended time until acked.
    Response,
    /// From the intended time until a consumer holds the record.
    EndToEnd,
}

/// A figure taken from a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the percentiles")]
pub enum Statistic {
    P50,
    P90,
    P95,
    P99,
    P999,
    P9999,
    Max,
}

impl Histogram {
    /// Tells whether the histogram is measured from an intended time, which only an open load has.
    pub const fn needs_open_load(self) -> bool {
        matches!(self, Self::PacingLag | Self::Response | Self::EndToEnd)
    }
}

impl Slo {
    /// Tells whether there are no objectives.
    pub fn is_empty(&self) -> bool {
        self.latencies.is_empty() && self.min_achieved.is_none()
    }
}

const MIN_ACHIEVED: &str = "min_achieved";

/// Makes all keys of one histogram, then of the next.
macro_rules! latency_keys {
    ($(($prefix:literal, $histogram:ident)),+ $(,)?) => {
        [$(
            (concat!($prefix, "_p50"), Histogram::$histogram, Statistic::P50),
            (concat!($prefix, "_p90"), Histogram::$histogram, Statistic::P90),
            (concat!($prefix, "_p95"), Histogram::$histogram, Statistic::P95),
            (concat!($prefix, "_p99"), Histogram::$histogram, Statistic::P99),
            (concat!($prefix, "_p99_9"), Histogram::$histogram, Statistic::P999),
            (concat!($prefix, "_p99_99"), Histogram::$histogram, Statistic::P9999),
            (concat!($prefix, "_max"), Histogram::$histogram, Statistic::Max),
        )+]
    };
}

const LATENCY_KEYS: [(&str, Histogram, Statistic); 35] = latency_keys![
    ("pacing_lag", PacingLag),
    ("blocked", Blocked),
    ("service", Service),
    ("response", Response),
    ("end_to_end", EndToEnd),
];

/// Every key of `slo`, for the error that suggests the nearest one.
static KEYS: [&str; 36] = {
    let mut keys = [MIN_ACHIEVED; 36];
    let mut i = 0;
    while i < LATENCY_KEYS.len() {
        keys[i] = LATENCY_KEYS[i].0;
        i += 1;
    }
    keys
};

impl Serialize for Slo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for bound in &self.latencies {
            map.serialize_entry(bound.key, &bound.limit)?;
        }
        if let Some(share) = self.min_achieved {
            map.serialize_entry(MIN_ACHIEVED, &share)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Slo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("Slo", &KEYS, SloVisitor)
    }
}

struct SloVisitor;

impl<'de> Visitor<'de> for SloVisitor {
    type Value = Slo;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of bounds, such as `response_p99: 10ms`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Slo, A::Error> {
        let mut slo = Slo::default();
        while let Some(key) = map.next_key()? {
            match key {
                SloKey::MinAchieved => slo.min_achieved = Some(map.next_value()?),
                SloKey::Latency(key, histogram, statistic) => {
                    let limit = map.next_value()?;
                    slo.latencies.push(LatencyBound { key, histogram, statistic, limit });
                }
            }
        }
        slo.latencies.sort_by_key(|bound| (bound.histogram, bound.statistic));
        Ok(slo)
    }
}

enum SloKey {
    MinAchieved,
    Latency(&'static str, Histogram, Statistic),
}

impl<'de> Deserialize<'de> for SloKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        if written == MIN_ACHIEVED {
            return Ok(Self::MinAchieved);
        }
        let known = LATENCY_KEYS.iter().find(|(key, ..)| *key == written);
        let &(key, histogram, statistic) = known.ok_or_else(|| de::Error::unknown_field(&written, &KEYS))?;
        Ok(Self::Latency(key, histogram, statistic))
    }
}
