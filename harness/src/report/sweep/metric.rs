//! Facts about the metrics by which settings are compared: where each is found, which end is better, and its name.

use crate::num;
use crate::quantity;
use crate::result::{LatencyFigures, Point, Trial};
use crate::stats::Better;
use crate::workload::Metric;

const NS_PER_S: f64 = 1e9;

/// The pass of a combination that a metric is taken from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// `max` or `closed`; an open pass if there is no other.
    Loaded,
    /// An open load.
    Open,
}

/// Returns the throughput that counts for some points: consumed bytes if the consumers had a backlog, otherwise
/// produced bytes.
pub(in crate::report) fn throughput_of<'a>(points: impl IntoIterator<Item = &'a Point>) -> Metric {
    let has_backlog = |point: &Point| point.trials.iter().any(|trial| trial.backlog.is_some());
    if points.into_iter().any(has_backlog) { Metric::CatchUp } else { Metric::Throughput }
}

/// Returns a metric of one trial; `None` if it was not measured, or is not above 0.
pub(super) fn value(metric: Metric, trial: &Trial) -> Option<f64> {
    let response = trial.latency_ns.response.as_ref();
    let ns = |figures: Option<&LatencyFigures>, of: fn(&LatencyFigures) -> Option<u64>| {
        figures.and_then(of).map(num::f64_of)
    };
    let value = match metric {
        Metric::Throughput => Some(trial.produce.bytes_per_s),
        Metric::CatchUp => trial.consume.map(|consumed| consumed.bytes_per_s),
        Metric::ResponseP50 => ns(response, |figures| figures.p50),
        Metric::ResponseP99 => ns(response, |figures| figures.p99),
        Metric::ResponseP999 => ns(response, |figures| figures.p99_9),
        Metric::EndToEndP99 => ns(trial.latency_ns.end_to_end.as_ref(), |figures| figures.p99),
        Metric::WriteAmplification => trial.resources.write_amplification,
        Metric::DiskPeak => trial.resources.data_max_bytes.map(num::f64_of),
        Metric::Reopen => trial.closed.map(|closed| closed.reopen_s),
    };
    value.filter(|value| *value > 0.0)
}

/// Tells whether an attempt whose generator was late keeps this metric. The others do not depend on the generator.
pub(super) const fn is_kept_of_late_attempts(metric: Metric) -> bool {
    matches!(metric, Metric::Throughput) || metric.needs_open_load()
}

/// Returns the pass that a metric is taken from.
pub(super) const fn pass(metric: Metric) -> Pass {
    if metric.needs_open_load() { Pass::Open } else { Pass::Loaded }
}

/// Returns the better end of a metric.
pub(in crate::report) const fn better(metric: Metric) -> Better {
    match metric {
        Metric::Throughput | Metric::CatchUp => Better::More,
        _ => Better::Less,
    }
}

/// Formats a value of a metric.
pub(in crate::report) fn text(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Throughput | Metric::CatchUp => quantity::bytes_per_s(value),
        Metric::WriteAmplification => format!("{value:.2}"),
        Metric::DiskPeak => quantity::bytes(num::u64_of(value)),
        Metric::Reopen => quantity::ns(num::u64_of(value * NS_PER_S)),
        _ => quantity::ns(num::u64_of(value)),
    }
}

/// Returns the name of a metric for people.
pub(in crate::report) const fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Throughput => "throughput",
        Metric::CatchUp => "catch-up rate",
        Metric::ResponseP50 => "p50 response",
        Metric::ResponseP99 => "p99 response",
        Metric::ResponseP999 => "p99.9 response",
        Metric::EndToEndP99 => "p99 end-to-end",
        Metric::WriteAmplification => "write amplification",
        Metric::DiskPeak => "disk peak",
        Metric::Reopen => "time to reopen",
    }
}

/// Returns the words for the best value of a metric.
pub(super) const fn best_word(metric: Metric) -> &'static str {
    match metric {
        Metric::Throughput | Metric::CatchUp => "highest",
        Metric::DiskPeak => "smallest",
        Metric::Reopen => "shortest",
        _ => "lowest",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_each_metric_is_where_a_trial_has_it() {
        let mut trial =
            Trial { consume: Some(crate::result::Flow::over(1.0, 1, 7, None)), ..Trial::default() };
        trial.produce = crate::result::Flow::over(1.0, 1, 7, None);
        let latencies =
            LatencyFigures { p50: Some(7), p99: Some(7), p99_9: Some(7), ..LatencyFigures::default() };
        trial.latency_ns.response = Some(latencies.clone());
        trial.latency_ns.end_to_end = Some(latencies);
        trial.resources.write_amplification = Some(7.0);
        trial.resources.data_max_bytes = Some(7);
        trial.closed = Some(crate::result::ClosedFigures { files: 1, reopen_s: 7.0 });
        let summary = crate::stats::summarise(std::slice::from_ref(&trial));
        for metric in Metric::ALL {
            assert_eq!(value(metric, &trial), Some(7.0), "{}", metric.name());
            assert_eq!(summary[metric.path()].median.to_bits(), 7.0_f64.to_bits(), "{}", metric.name());
            assert_eq!(value(metric, &Trial::default()), None, "{}", metric.name());
        }
    }
}
