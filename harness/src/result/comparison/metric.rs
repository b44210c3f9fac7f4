//! The figures that are compared: their names, units, and which direction is better.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A figure that is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Dotted path of the figure in the summary of a result, or the name of a figure that is derived from several.
    pub path: String,
    /// Name for people: `throughput`, `p99 response`.
    pub name: String,
    /// Unit of the values.
    pub unit: Unit,
    /// Whether a greater value is better.
    pub more_is_better: bool,
}

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Records per second.
    RecordsPerS,
    /// Bytes per second.
    BytesPerS,
    /// Nanoseconds.
    Ns,
    /// Seconds.
    S,
    /// Bytes.
    Bytes,
    /// CPU seconds for each GiB of keys and values.
    CpuSPerGib,
    /// A plain number.
    Number,
}

/// Figures of which less is better; of all others more is.
const LESS_IS_BETTER: [&str; 5] = ["latency_ns.", "resources.", "closed.", "failed_records", "cpu."];

/// Names for people, by path.
const NAMES: [(&str, &str); 7] = [
    ("produce.records_per_s", "throughput"),
    ("produce.bytes_per_s", "throughput"),
    ("consume.records_per_s", "consumed"),
    ("consume.bytes_per_s", "consumed"),
    ("closed.reopen_s", "time to reopen"),
    ("resources.data_max_bytes", "disk peak"),
    ("resources.write_amplification", "bytes written per byte produced"),
];

impl Metric {
    /// The metric whose path in the summary of a result is `path`.
    pub fn of(path: &str) -> Self {
        let more_is_better = !LESS_IS_BETTER.iter().any(|prefix| path.starts_with(prefix));
        Self { path: path.to_owned(), name: name_of(path), unit: unit_of(path), more_is_better }
    }
}

/// Returns `p99 response` for `latency_ns.response.p99`, a name from the table, or the path itself.
fn name_of(path: &str) -> String {
    if let Some((_, name)) = NAMES.iter().find(|(known, _)| *known == path) {
        return (*name).to_owned();
    }
    match path.strip_prefix("latency_ns.").and_then(|rest| rest.split_once('.')) {
        Some((measure, statistic)) => {
            format!("{} {}", statistic.replace('_', "."), measure.replace('_', " "))
        }
        None => path.to_owned(),
    }
}

fn unit_of(path: &str) -> Unit {
    let last = path.rsplit('.').next().unwrap_or(path);
    let is_count = matches!(last, "count" | "distinct" | "censored" | "overflows");
    match last {
        "records_per_s" => Unit::RecordsPerS,
        _ if last.contains("bytes_per_s") => Unit::BytesPerS,
        _ if path.starts_with("latency_ns.") && !is_count => Unit::Ns,
        _ if last.contains("bytes") => Unit::Bytes,
        _ if last.ends_with("_s") => Unit::S,
        _ => Unit::Number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_name_unit_and_direction() {
        let told = |path: &str| {
            let metric = Metric::of(path);
            (metric.name, metric.unit, metric.more_is_better)
        };
        assert_eq!(told("produce.records_per_s"), ("throughput".into(), Unit::RecordsPerS, true));
        assert_eq!(
            told("consume.bytes_per_s_synced"),
            ("consume.bytes_per_s_synced".into(), Unit::BytesPerS, true)
        );
        assert_eq!(told("latency_ns.response.p99"), ("p99 response".into(), Unit::Ns, false));
        assert_eq!(told("latency_ns.end_to_end.p99_9"), ("p99.9 end to end".into(), Unit::Ns, false));
        assert_eq!(told("latency_ns.service.count").1, Unit::Number);
        assert_eq!(
            told("resources.cpu_s.shard.user_s"),
            ("resources.cpu_s.shard.user_s".into(), Unit::S, false)
        );
        assert_eq!(told("resources.rss_max_bytes").1, Unit::Bytes);
        assert_eq!(told("closed.reopen_s"), ("time to reopen".into(), Unit::S, false));
    }
}
