//! Summary of a point: every figure of its trials, under its dotted path in `result.json`.

use super::figure;
use crate::result::{Figure, Trial};
use serde_json::Value;
use std::collections::BTreeMap;

/// Paths that hold no measurement, so that a median of them would mean nothing.
const NOT_A_FIGURE: [&str; 2] = ["window_start_s", "clock_zero_unix_ms"];

/// Returns median, range and interval of every number in `trials`, by dotted path. A null does not count as a value.
/// Lists (shards, slices) are left out, because their entries do not repeat the same measurement.
pub fn summarise(trials: &[Trial]) -> BTreeMap<String, Figure> {
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for trial in trials {
        let json = serde_json::to_value(trial).expect("a trial is plain values under string keys");
        collect(String::new(), &json, &mut values);
    }
    values.retain(|path, _| !NOT_A_FIGURE.contains(&path.as_str()));
    values.into_iter().filter_map(|(path, values)| Some((path, figure(&values)?))).collect()
}

fn collect(path: String, json: &Value, into: &mut BTreeMap<String, Vec<f64>>) {
    match json {
        Value::Number(number) => into.entry(path).or_default().extend(number.as_f64()),
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(path, value, into);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Flow, LatencyFigures};

    fn trial(records: u64, p99: Option<u64>) -> Trial {
        let mut trial = Trial { produce: Flow::over(2.0, records, records * 1024, None), ..Trial::default() };
        trial.latency_ns.response = Some(LatencyFigures { p99, ..LatencyFigures::default() });
        trial
    }

    #[test]
    fn figures_are_found_under_the_path_they_have_in_the_result() {
        let summary = summarise(&[trial(100, Some(7)), trial(300, None), trial(200, Some(9))]);
        let rate = summary["produce.records_per_s"];
        assert_eq!((rate.trials, rate.median, rate.min, rate.max), (3, 100.0, 50.0, 150.0));
        let p99 = summary["latency_ns.response.p99"];
        assert_eq!((p99.trials, p99.median), (2, 8.0));
        assert!(!summary.contains_key("latency_ns.service.p99"));
        assert!(!summary.contains_key("window_start_s"));
    }

    #[test]
    fn no_trials_make_no_figures() {
        assert!(summarise(&[]).is_empty());
    }
}
