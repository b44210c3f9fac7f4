//! The declared metric: which figure of a trial's summary is compared, and whether a load can have it.

use super::pairs::Side;
use crate::exit::UsageError;
use crate::result::comparison::problem_of;
use crate::workload::Metric;
use serde_json::Value;

/// Records that were acked, a second.
const RECORDS: &str = "produce.records_per_s";
/// Bytes that were consumed, a second.
const CONSUMED: &str = "consume.bytes_per_s";
/// The 99th percentile of the response time.
const RESPONSE_P99: &str = "latency_ns.response.p99";

/// Figures that only records with an intended time have.
const INTENDED: [&str; 5] = [
    "latency_ns.response.",
    "latency_ns.pacing_lag.",
    "latency_ns.end_to_end.",
    "latency_ns.own.",
    "offered.",
];

/// Returns the metric that a workload is compared by, unless another is declared: its `metric`, or else that of its load.
fn usual(resolved: &Value) -> &'static str {
    if let Some(metric) = resolved.get("metric").and_then(Value::as_str).and_then(Metric::named) {
        return metric.path();
    }
    if resolved.get("backlog").is_some_and(|backlog| !backlog.is_null()) {
        return CONSUMED;
    }
    if mode(resolved) == "open" { RESPONSE_P99 } else { RECORDS }
}

fn mode(resolved: &Value) -> &str {
    resolved.pointer("/load/mode").and_then(Value::as_str).unwrap_or_default()
}

/// Returns the metric of two sides, as a path: the declared one (a path, or a name that `metric` in a workload takes), or else the
/// usual one of both.
///
/// # Errors
/// A [`UsageError`] if their usual metrics differ, or if a side's load cannot have the declared one.
pub(crate) fn metric_of(declared: Option<&str>, sides: [&Value; 2]) -> anyhow::Result<String> {
    let Some(metric) = declared else {
        let [a, b] = sides.map(usual);
        if a == b {
            return Ok(a.to_owned());
        }
        return Err(UsageError::error(format!(
            "A would be compared by {a} and B by {b}; declare one figure for both, such as `--metric {RECORDS}`"
        )));
    };
    let metric = Metric::named(metric).map_or(metric, |named| named.path());
    if let Some(why) = problem_of(metric) {
        return Err(UsageError::error(why));
    }
    for (side, resolved) in Side::BOTH.into_iter().zip(sides) {
        if let Some(why) = lacks(metric, resolved) {
            return Err(UsageError::error(format!(
                "--metric {metric}: {} has no such figure, because {why}; the usual metric is `{}`",
                side.letter(),
                usual(resolved)
            )));
        }
    }
    Ok(metric.to_owned())
}

/// Returns why a workload's trials cannot have a figure; `None` if they may.
fn lacks(metric: &str, resolved: &Value) -> Option<String> {
    let mode = mode(resolved);
    if INTENDED.iter().any(|prefix| metric.starts_with(prefix)) && mode != "open" {
        return Some(format!("nothing has an intended time under `load.mode={mode}`"));
    }
    let subscriptions = resolved.get("subscriptions_per_topic").and_then(Value::as_u64);
    if (metric.starts_with("consume.") || metric.starts_with("latency_ns.end_to_end."))
        && subscriptions == Some(0)
    {
        return Some("nobody consumes (`subscriptions_per_topic: 0`)".to_owned());
    }
    if (metric.starts_with("ceiling.") || metric.starts_with("of_ceiling.") || metric == "of_device")
        && resolved.get("ceiling").and_then(Value::as_str) == Some("off")
    {
        return Some("`ceiling=off` is set, unless `--set ceiling=auto` says otherwise".to_owned());
    }
    let text = |pointer: &str| resolved.pointer(pointer).and_then(Value::as_str);
    if metric.starts_with("closed.") && (subscriptions != Some(0) || text("/verify") == Some("none")) {
        let needs = "which needs `subscriptions_per_topic: 0` and not `verify: none`";
        return Some(format!("it is measured when a trial is read back, {needs}"));
    }
    if metric.starts_with("groups.") && text("/consume/assignment") != Some("group") {
        return Some("its consumers are no members of a group (`consume.assignment: group`)".to_owned());
    }
    if metric.starts_with("backlog.") && resolved.get("backlog").is_none_or(Value::is_null) {
        return Some("it has no `backlog`".to_owned());
    }
    if metric == Metric::WriteAmplification.path() && text("/durability") == Some("appended") {
        return Some("it means nothing for `appended`, whose writes come later than the acks".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn load(mode: &str) -> Value {
        json!({ "load": { "mode": mode }, "backlog": null, "subscriptions_per_topic": 0, "ceiling": "off" })
    }

    #[test]
    fn each_load_has_a_usual_metric() {
        let backlog = json!({ "load": { "mode": "max" }, "backlog": { "build": "1GiB" } });
        for (resolved, expected) in [
            (load("max"), RECORDS),
            (load("closed"), RECORDS),
            (load("open"), RESPONSE_P99),
            (backlog, CONSUMED),
        ] {
            assert_eq!(metric_of(None, [&resolved, &resolved]).unwrap(), expected);
        }
        let mixed = metric_of(None, [&load("max"), &load("open")]).unwrap_err().to_string();
        assert!(mixed.contains("declare one figure for both"), "{mixed}");
        assert_eq!(
            metric_of(Some("produce.bytes_per_s"), [&load("max"), &load("open")]).unwrap(),
            "produce.bytes_per_s"
        );
    }

    #[test]
    fn the_metric_of_a_workload_is_its_usual_one_and_names_stand_for_paths() {
        let mut study = load("open");
        study["metric"] = json!("disk_peak");
        assert_eq!(metric_of(None, [&study, &study]).unwrap(), "resources.data_max_bytes");
        assert!(metric_of(None, [&study, &load("open")]).is_err(), "the metrics of the two sides differ");
        assert_eq!(metric_of(Some("response_p99"), [&study, &study]).unwrap(), RESPONSE_P99);
        assert!(metric_of(Some("response_p99"), [&load("max"), &load("max")]).is_err());
    }

    #[test]
    fn a_figure_that_a_load_cannot_have_is_refused_with_the_reason() {
        let refusal = |metric: &str, b: &str| {
            metric_of(Some(metric), [&load("open"), &load(b)]).unwrap_err().to_string()
        };
        let message = refusal("latency_ns.response.p99", "max");
        assert!(message.contains("B has no such figure") && message.contains("`load.mode=max`"), "{message}");
        assert!(
            refusal("consume.records_per_s", "open")
                .contains("A has no such figure, because nobody consumes")
        );
        assert!(refusal("of_ceiling.write", "open").contains("--set ceiling=auto"));
        assert!(metric_of(Some("latency_ns.service.p99"), [&load("max"), &load("max")]).is_ok());
    }

    #[test]
    fn a_figure_that_a_workload_cannot_have_is_refused_before_anything_is_measured() {
        let with = |key: &str, value: Value| {
            let mut resolved = load("max");
            resolved[key] = value;
            resolved
        };
        let plain = load("max");
        let read_back = with("verify", json!("none"));
        let appended = with("durability", json!("appended"));
        let fixed = with("consume", json!({ "assignment": "fixed" }));
        let consumed = with("subscriptions_per_topic", json!(1));
        for (metric, resolved, expected) in [
            ("reopen", &read_back, "not `verify: none`"),
            ("closed.files", &consumed, "`subscriptions_per_topic: 0`"),
            ("groups.commit_p99_us", &fixed, "`consume.assignment: group`"),
            ("backlog.build_s", &plain, "it has no `backlog`"),
            ("write_amplification", &appended, "means nothing for `appended`"),
            ("offered.achieved", &plain, "under `load.mode=max`"),
            ("groups.members", &plain, "neither more nor less"),
        ] {
            let refused = metric_of(Some(metric), [resolved, resolved]).unwrap_err().to_string();
            assert!(refused.contains(expected), "{metric}: {refused}");
        }
        let group = with("consume", json!({ "assignment": "group" }));
        for (metric, resolved) in
            [("reopen", &plain), ("groups.stop_max_s", &group), ("write_amplification", &plain)]
        {
            assert!(metric_of(Some(metric), [resolved, resolved]).is_ok(), "{metric}");
        }
    }
}
