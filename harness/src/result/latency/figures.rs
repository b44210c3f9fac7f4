//! The figures of a trial's latencies.

use super::Measure;
use super::percentile::{Bound, Percentile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The thing that one latency belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// Each record has its own latency.
    #[default]
    Record,
    /// All records of a batch have the latency of its oldest record, which is an upper bound.
    BatchOldest,
}

/// The figures of each latency, ns. Latencies that begin at an intended time are `None` under `max` and `closed`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencySet {
    /// From the time a record is due until the generator handles it.
    pub pacing_lag: Option<LatencyFigures>,
    /// From ready until accepted by the target: the time of back-pressure. Under `max` and `closed`, only of records that
    /// were refused.
    pub blocked: Option<LatencyFigures>,
    /// From accepted until acked.
    pub service: Option<LatencyFigures>,
    /// From the intended time until acked.
    pub response: Option<LatencyFigures>,
    /// The part of `response` in which records did not wait for the load generator; `None` in schema version 1.
    #[serde(default)]
    pub own: Option<LatencyFigures>,
    /// From the ack until the load thread picks it up; `None` for a system that does not stamp its acks.
    #[serde(default)]
    pub ack_pickup: Option<LatencyFigures>,
    /// From the intended time until a consumer has the record.
    pub end_to_end: Option<LatencyFigures>,
}

/// The figures of one histogram, ns. A percentile is `None` unless ten distinct acks lie at or beyond it, or it is a lower
/// bound.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyFigures {
    /// Records in the histogram: one value for each, censored ones included.
    pub count: u64,
    /// Distinct acks (`service`, `response`, `own`, `ack_pickup`), hand-overs (`pacing_lag`, `blocked`) or fetches
    /// (`end_to_end`); `None` in schema version 1. Their number decides which percentiles are known.
    #[serde(default)]
    pub distinct: Option<u64>,
    /// Records that failed, or were not answered when the drain ended. They are in the histogram at their age at that time.
    pub censored: u64,
    /// Least age of those records. Every percentile at or above it is a lower bound. `None` if there are none.
    #[serde(default)]
    pub censored_from: Option<u64>,
    /// Values too large for the histogram. They are counted here and in no percentile.
    pub overflows: u64,
    /// Smallest value.
    pub min: Option<u64>,
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// Median.
    pub p50: Option<u64>,
    /// 90th percentile.
    pub p90: Option<u64>,
    /// 95th percentile.
    pub p95: Option<u64>,
    /// 99th percentile.
    pub p99: Option<u64>,
    /// 99.9th percentile.
    pub p99_9: Option<u64>,
    /// 99.99th percentile.
    pub p99_99: Option<u64>,
    /// Largest value.
    pub max: Option<u64>,
    /// The percentiles above that are only bounds, by their names: `upper` where the load generator was late (printed `≤`),
    /// `lower` where records were never acked (printed `≥`). Empty in schema version 1, which did not judge percentiles.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bounds: BTreeMap<String, Bound>,
}

impl LatencyFigures {
    /// Names of the percentiles and of the maximum, each with its quantile.
    pub const QUANTILES: [(&'static str, f64); 7] = [
        ("p50", 0.5),
        ("p90", 0.9),
        ("p95", 0.95),
        ("p99", 0.99),
        ("p99_9", 0.999),
        ("p99_99", 0.9999),
        ("max", 1.0),
    ];

    /// The percentile called `name`, or `max`; `None` if it is not known.
    pub fn at(&self, name: &str) -> Option<Percentile> {
        let ns = match name {
            "p50" => self.p50,
            "p90" => self.p90,
            "p95" => self.p95,
            "p99" => self.p99,
            "p99_9" => self.p99_9,
            "p99_99" => self.p99_99,
            "max" => self.max,
            _ => None,
        };
        ns.map(|ns| Percentile { ns, bound: self.bounds.get(name).copied() })
    }

    /// Sets the percentile called `name`, or `max`.
    ///
    /// # Panics
    /// There is no percentile of that name.
    pub fn set(&mut self, name: &str, percentile: Option<Percentile>) {
        let place = match name {
            "p50" => &mut self.p50,
            "p90" => &mut self.p90,
            "p95" => &mut self.p95,
            "p99" => &mut self.p99,
            "p99_9" => &mut self.p99_9,
            "p99_99" => &mut self.p99_99,
            "max" => &mut self.max,
            other => panic!("`{other}` is no percentile"),
        };
        *place = percentile.map(|it| it.ns);
        match percentile.and_then(|it| it.bound) {
            Some(bound) => self.bounds.insert(name.to_owned(), bound),
            None => self.bounds.remove(name),
        };
    }

    /// Share of the records that were never acked, 0 to 1.
    pub fn censored_share(&self) -> f64 {
        crate::num::f64_of(self.censored) / crate::num::f64_of(self.count.max(1))
    }
}

impl LatencySet {
    /// Returns the figures of one measure.
    pub const fn of(&self, measure: Measure) -> Option<&LatencyFigures> {
        match measure {
            Measure::PacingLag => self.pacing_lag.as_ref(),
            Measure::Blocked => self.blocked.as_ref(),
            Measure::Service => self.service.as_ref(),
            Measure::Response => self.response.as_ref(),
            Measure::EndToEnd => self.end_to_end.as_ref(),
            Measure::Own => self.own.as_ref(),
            Measure::AckPickup => self.ack_pickup.as_ref(),
        }
    }

    /// Returns the figures of each latency with its name, in the order of the first screen.
    pub fn named(&self) -> [(&'static str, Option<&LatencyFigures>); 7] {
        [
            ("response", self.response.as_ref()),
            ("own", self.own.as_ref()),
            ("pacing_lag", self.pacing_lag.as_ref()),
            ("blocked", self.blocked.as_ref()),
            ("service", self.service.as_ref()),
            ("ack_pickup", self.ack_pickup.as_ref()),
            ("end_to_end", self.end_to_end.as_ref()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_percentile_is_set_and_found_by_its_name_with_its_bound() {
        let mut figures = LatencyFigures::default();
        for (number, (name, _)) in (1..).zip(LatencyFigures::QUANTILES) {
            let written = Some(Percentile { ns: number, bound: (number > 4).then_some(Bound::Lower) });
            assert_eq!(figures.at(name), None);
            figures.set(name, written);
            assert_eq!(figures.at(name), written);
        }
        let json = serde_json::to_value(&figures).unwrap();
        assert_eq!(json["p99_9"], 5);
        assert_eq!(json["bounds"], serde_json::json!({"p99_9": "lower", "p99_99": "lower", "max": "lower"}));
        figures.set("max", None);
        assert_eq!((figures.at("max"), figures.bounds.len()), (None, 2));
    }

    #[test]
    fn figures_of_version_1_have_no_bounds() {
        let json = serde_json::json!({"count": 3, "censored": 0, "overflows": 0, "min": 1, "mean": 2.0, "p50": 2,
            "p90": null, "p95": null, "p99": null, "p99_9": null, "p99_99": null, "max": 3});
        let figures: LatencyFigures = serde_json::from_value(json).unwrap();
        assert_eq!(figures.at("p50"), Some(Percentile { ns: 2, bound: None }));
        assert_eq!((figures.distinct, figures.censored_from), (None, None));
    }
}
