//! Summary of a point: every figure of its trials, under its dotted path in `result.json`.

use super::{Bounded, bounded_figure, figure};
use crate::num;
use crate::result::latency::percentile::Percentile;
use crate::result::{Bound, Figure, LatencyFigures, LatencySet, Trial, in_time};
use serde_json::Value;
use std::collections::BTreeMap;

/// Paths that hold no measurement, so that a median of them would mean nothing.
const NOT_A_FIGURE: [&str; 2] = ["window_start_s", "clock_zero_unix_ms"];

/// Figures that first attempts are summarised by.
const FIRST_ATTEMPTS: [&str; 2] = ["produce.", "latency_ns."];

/// Returns median, range and interval of every number in the trials in time, by dotted path. A null does not count as a
/// value. Lists (shards, slices) are left out, because their entries do not repeat the same measurement.
pub fn summarise(trials: &[Trial]) -> BTreeMap<String, Figure> {
    summary_of(&in_time(trials).collect::<Vec<_>>())
}

/// Returns the same figures of the first attempts at all trials, whether their generator was late or not. They are throughput
/// and latencies. Empty if no generator was late, or if an attempt was not kept.
pub fn summarise_first(trials: &[Trial]) -> BTreeMap<String, Figure> {
    if !trials.iter().any(Trial::was_late) {
        return BTreeMap::new();
    }
    let Some(first) = trials.iter().map(Trial::first_attempt).collect::<Option<Vec<_>>>() else {
        return BTreeMap::new();
    };
    let mut figures = summary_of(&first.iter().collect::<Vec<_>>());
    figures.retain(|path, _| FIRST_ATTEMPTS.iter().any(|prefix| path.starts_with(prefix)));
    figures
}

fn summary_of(trials: &[&Trial]) -> BTreeMap<String, Figure> {
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for trial in trials {
        let json = serde_json::to_value(trial).expect("a trial is plain values under string keys");
        collect(String::new(), &json, &mut values);
    }
    values.retain(|path, _| !NOT_A_FIGURE.contains(&path.as_str()));
    let mut figures: BTreeMap<String, Figure> =
        values.into_iter().filter_map(|(path, values)| Some((path, figure(&values)?))).collect();
    for (path, values) in bounded(trials) {
        figures.extend(bounded_figure(&values).map(|figure| (path, figure)));
    }
    figures
}

/// Returns the values of every percentile that is a bound in some trial, by the percentile's path.
fn bounded(trials: &[&Trial]) -> BTreeMap<String, Vec<Bounded>> {
    let mut found: BTreeMap<String, Vec<Bounded>> = BTreeMap::new();
    let names = LatencySet::default().named().map(|(measure, _)| measure);
    for measure in names {
        for (name, _) in LatencyFigures::QUANTILES {
            let of = |trial: &Trial, measure: &str| at(&trial.latency_ns, measure, name);
            let values = trials.iter().filter_map(|trial| {
                let Percentile { ns, bound } = of(trial, measure)?;
                // The generator made the rest of the response time. How much it made of others is not known.
                let own = of(trial, "own").filter(|_| measure == "response");
                let least =
                    if bound == Some(Bound::Upper) { own.map_or(0, |own| own.ns.min(ns)) } else { ns };
                Some(Bounded { value: num::f64_of(ns), bound, least: num::f64_of(least) })
            });
            let values: Vec<Bounded> = values.collect();
            if values.iter().any(|it| it.bound.is_some()) {
                found.insert(format!("latency_ns.{measure}.{name}"), values);
            }
        }
    }
    found
}

fn at(latencies: &LatencySet, measure: &str, percentile: &str) -> Option<Percentile> {
    let (_, figures) = latencies.named().into_iter().find(|(name, _)| *name == measure)?;
    figures?.at(percentile)
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
    use crate::result::{Flow, LateAttempt, LatencyFigures};

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
    fn late_trials_are_left_out_and_first_attempts_have_figures_of_their_own() {
        let mut trials = [trial(100, Some(7)), trial(300, Some(9)), trial(200, Some(50))];
        assert!(summarise_first(&trials).is_empty());
        trials[2].is_late = true;
        trials[0].late_attempts.push(LateAttempt::of(&trial(90, Some(70))));
        let (figures, first) = (summarise(&trials), summarise_first(&trials));
        let p99 = "latency_ns.response.p99";
        assert_eq!((figures[p99].trials, figures[p99].median), (2, 8.0));
        assert_eq!((first[p99].trials, first[p99].median), (3, 50.0));
        assert_eq!(first["produce.records"].min.to_bits(), 90.0_f64.to_bits());
        assert!(!first.contains_key("window_s"));
        trials.iter_mut().for_each(|trial| trial.is_late = true);
        assert_eq!(summarise(&trials)[p99].trials, 3, "of late trials only, there are figures too");
    }

    #[test]
    fn a_median_of_percentiles_that_are_bounds_may_be_one() {
        let mut trials = [trial(1, Some(5)), trial(1, Some(7)), trial(1, Some(9))];
        let median_bound = |trials: &[Trial]| summarise(trials)["latency_ns.response.p99"].bound;
        assert_eq!(median_bound(&trials), None);
        let mut make = |index: usize, ns: u64, bound: Bound| {
            let response = trials[index].latency_ns.response.as_mut().unwrap();
            response.set("p99", Some(Percentile { ns, bound: Some(bound) }));
            summarise(&trials)["latency_ns.response.p99"]
        };
        assert_eq!(make(2, 9, Bound::Lower).bound, None);
        let figure = make(1, 7, Bound::Lower);
        assert_eq!(
            (figure.median, figure.bound, figure.max_bound),
            (7.0, Some(Bound::Lower), Some(Bound::Lower))
        );
        make(1, 7, Bound::Upper);
        let figure = make(2, 9, Bound::Upper);
        assert_eq!((figure.median, figure.bound), (7.0, Some(Bound::Upper)));
    }

    #[test]
    fn no_trials_make_no_figures() {
        assert!(summarise(&[]).is_empty());
    }
}
