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

/// The direction in which a figure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// A greater value is better.
    More,
    /// A smaller value is better.
    Less,
    /// Neither: the figure describes the trial, such as the number of members of a group.
    Neither,
}

/// Directions by the beginning of a figure's path. The first one that fits holds.
const DIRECTIONS: [(&str, Better); 37] = [
    ("produce.", Better::More),
    ("consume.", Better::More),
    ("of_ceiling.", Better::More),
    ("of_device", Better::More),
    ("ceiling.dsync_4k_ns", Better::Less),
    ("ceiling.write_shape", Better::Neither),
    ("ceiling.read_shape", Better::Neither),
    ("ceiling.device_write_cell", Better::Neither),
    ("ceiling.device_read_cell", Better::Neither),
    ("ceiling.", Better::More),
    ("offered.achieved", Better::More),
    ("offered.", Better::Neither),
    ("latency_ns.", Better::Less),
    ("failed_records", Better::Less),
    ("resources.pump", Better::Neither),
    ("resources.warmed_bytes", Better::Neither),
    ("resources.disk_interrupts", Better::Neither),
    ("resources.", Better::Less),
    ("closed.", Better::Less),
    ("cpu.", Better::Less),
    ("groups.groups", Better::Neither),
    ("groups.members", Better::Neither),
    ("groups.commits_failed", Better::Less),
    ("groups.commits", Better::Neither),
    ("groups.", Better::Less),
    ("backlog.build_s", Better::Less),
    ("backlog.", Better::Neither),
    ("stall.expected_late_share", Better::Neither),
    ("stall.", Better::Less),
    ("integrity.checked", Better::Neither),
    ("integrity.foreign", Better::Neither),
    ("integrity.", Better::Less),
    ("limit.", Better::Neither),
    ("batches.", Better::Neither),
    ("writes.", Better::Neither),
    ("window_s", Better::Neither),
    ("retention_reached_s", Better::Neither),
];

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
        let more_is_better = better(path) == Some(Better::More);
        Self { path: path.to_owned(), name: name_of(path), unit: unit_of(path), more_is_better }
    }
}

/// Returns the direction in which the figure of a path is better; `None` if no figure begins like that.
pub fn better(path: &str) -> Option<Better> {
    let is_count =
        path.starts_with("latency_ns.") && (path.ends_with(".count") || path.ends_with(".distinct"));
    if is_count {
        return Some(Better::Neither);
    }
    DIRECTIONS.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, better)| *better)
}

/// Returns why a comparison cannot be about a figure; `None` if it can, or if there is no such figure.
pub fn problem_of(path: &str) -> Option<String> {
    let message = || {
        format!(
            "--metric {path} describes a trial: neither more nor less of it is better; choose another figure"
        )
    };
    (better(path) == Some(Better::Neither)).then(message)
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
        for path in [
            "groups.commit_p99_us",
            "groups.stop_max_s",
            "backlog.build_s",
            "integrity.gaps",
            "stall.late_share",
        ] {
            assert_eq!(better(path), Some(Better::Less), "{path}");
        }
        for path in ["groups.members", "groups.commits", "integrity.checked", "offered.records_per_s"] {
            assert!(problem_of(path).is_some_and(|why| why.contains("neither more nor less")), "{path}");
        }
    }

    #[test]
    fn every_figure_of_the_published_results_has_a_direction_or_describes_its_trial() {
        let reference = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/reference");
        let mut figures = std::collections::BTreeSet::new();
        for entry in std::fs::read_dir(reference).unwrap() {
            let Ok(text) = std::fs::read(entry.unwrap().path().join("result.json")) else { continue };
            let result: serde_json::Value = serde_json::from_slice(&text).unwrap();
            for point in result["points"].as_array().unwrap() {
                figures.extend(point["summary"].as_object().unwrap().keys().cloned());
            }
        }
        assert!(figures.len() > 100, "{}", figures.len());
        let unknown: Vec<&String> = figures.iter().filter(|path| better(path).is_none()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
