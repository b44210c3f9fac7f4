//! The document that one trial's process printed. Only the fields that a comparison needs are read: results of other
//! revisions may have other fields.

use super::child::Output;
use super::pairs::{Fault, TrialEnd, Values};
use crate::result::provenance::{Build, SystemIdentity};
use crate::result::{Figure, VerdictStatus};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The figures of one trial, and the build that measured it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    /// Every figure by its dotted path.
    pub(crate) summary: BTreeMap<String, Figure>,
    /// The build that measured, if it says so in a form that this one knows.
    pub(crate) build: Option<Box<Build>>,
    /// The system that was measured, if the result says so in a form that this build knows.
    pub(crate) system: Option<Box<SystemIdentity>>,
}

/// Reads the outcome of a trial. A trial whose figures do not count is an error that says how it ended.
///
/// # Errors
/// The trial failed, or was late or invalid.
pub(crate) fn read(output: &Output) -> Result<Measured, TrialEnd> {
    let failed = |reason: String| TrialEnd::Failed(Fault::Errors(reason));
    let Some(result) = result_of(&output.stdout) else { return Err(failed(output.complaint())) };
    let verdict = result.get("verdict").unwrap_or(&Value::Null);
    let reason = || {
        let reasons = verdict.get("reasons").and_then(Value::as_array);
        let texts = reasons.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let first = texts.take(1).next();
        first.unwrap_or_else(|| output.complaint())
    };
    let status = verdict.get("status").and_then(|status| VerdictStatus::deserialize(status).ok());
    match status {
        Some(VerdictStatus::Valid | VerdictStatus::SloMissed) => {}
        Some(VerdictStatus::Invalid | VerdictStatus::RequirementMissed) => {
            return Err(TrialEnd::Unusable(reason()));
        }
        Some(VerdictStatus::IntegrityFailed) => return Err(TrialEnd::Failed(Fault::Integrity(reason()))),
        Some(VerdictStatus::Errors | VerdictStatus::Interrupted) => return Err(failed(reason())),
        None => return Err(failed(format!("its verdict is not known here: {verdict}"))),
    }
    let points = result.get("points").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let [point] = points else {
        return Err(failed(format!("it has {} points instead of one", points.len())));
    };
    let summary = point.get("summary").and_then(Value::as_object).into_iter().flatten();
    let figure = |(path, figure): (&String, &Value)| Some((path.clone(), Figure::deserialize(figure).ok()?));
    let provenance = result.get("provenance").unwrap_or(&Value::Null);
    Ok(Measured {
        summary: summary.filter_map(figure).collect(),
        build: provenance.get("build").and_then(|build| Build::deserialize(build).ok()).map(Box::new),
        system: provenance.get("target").and_then(|it| SystemIdentity::deserialize(it).ok()).map(Box::new),
    })
}

impl Measured {
    /// The end of a trial whose declared metric is `metric`.
    ///
    /// # Errors
    /// The trial has no such figure.
    pub(crate) fn end(self, metric: &str) -> Result<TrialEnd, NoFigure> {
        let Some(figure) = self.summary.get(metric) else {
            return Err(NoFigure { metric: metric.to_owned(), known: self.summary.into_keys().collect() });
        };
        let primary = figure.median;
        Ok(match figure.bound {
            Some(_) => TrialEnd::Unusable(format!("{metric} is only a bound in it")),
            // A ratio needs both values to be above 0.
            None if primary <= 0.0 => TrialEnd::Failed(Fault::Errors(format!("{metric} is {primary}"))),
            None => {
                let figures = self.summary.into_iter().map(|(path, figure)| (path, figure.median)).collect();
                TrialEnd::Usable(Values { primary, figures, build: self.build, system: self.system })
            }
        })
    }
}

/// A figure that a trial does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoFigure {
    /// The path that was asked for.
    pub(crate) metric: String,
    /// The paths of the figures that the trial has.
    pub(crate) known: Vec<String>,
}

impl fmt::Display for NoFigure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = &self.metric;
        write!(f, "a trial of this workload has no {metric}")?;
        if metric.starts_with("latency_ns.") {
            f.write_str(
                ": the load has no such latency, or too few acks were made for this percentile (try a longer phases.measure)",
            )?;
        }
        write!(f, "; it has:\n  {}", self.known.join("\n  "))
    }
}

impl std::error::Error for NoFigure {}

/// Returns the content of `result.json` in the document that `run --format json` printed.
fn result_of(stdout: &[u8]) -> Option<Value> {
    let mut document: Value = serde_json::from_slice(stdout).ok()?;
    Some(document.get_mut("results")?.get_mut(0)?.get_mut("result")?.take())
}

#[cfg(test)]
mod tests {
    use super::super::child::Ended;
    use super::*;
    use crate::result::Bound;
    use serde_json::json;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    fn output(code: i32, stdout: &str, stderr: &str) -> Output {
        let ended = Ended::Status(ExitStatus::from_raw(code << 8));
        Output { ended, stdout: stdout.as_bytes().to_vec(), stderr: stderr.to_owned() }
    }

    fn document(status: &str) -> String {
        let figure = json!({ "trials": 1, "median": 5.0, "min": 5.0, "max": 5.0, "interval": null });
        let point = json!({
            "summary": { "produce.records_per_s": figure, "new.figure": "of another form" }, "field": "of another revision",
        });
        let result = json!({
            "schema_version": 1, "workload": { "load": { "mode": "max" } },
            "verdict": { "status": status, "flags": [], "reasons": ["because", "also"] },
            "provenance": { "build": "of another form" }, "points": [point],
        });
        json!({ "kind": "run", "results": [{ "directory": "somewhere", "result": result }] }).to_string()
    }

    #[test]
    fn figures_of_other_revisions_are_read_as_far_as_they_are_known() {
        for status in ["valid", "slo_missed"] {
            let measured = read(&output(3, &document(status), "")).unwrap();
            assert_eq!(measured.summary.keys().collect::<Vec<_>>(), ["produce.records_per_s"]);
            assert_eq!(measured.build, None);
        }
    }

    #[test]
    fn each_verdict_says_whether_the_pair_is_repeated_or_failed() {
        let end = |status: &str| read(&output(5, &document(status), "")).unwrap_err();
        for status in ["invalid", "requirement_missed"] {
            assert_eq!(end(status), TrialEnd::Unusable("because".into()));
        }
        for status in ["errors", "interrupted"] {
            assert_eq!(end(status), TrialEnd::Failed(Fault::Errors("because".into())));
        }
        assert_eq!(end("integrity_failed"), TrialEnd::Failed(Fault::Integrity("because".into())));
        assert!(
            matches!(end("exhausted"), TrialEnd::Failed(Fault::Errors(reason)) if reason.contains("exhausted"))
        );
    }

    #[test]
    fn only_a_value_that_is_known_makes_a_ratio() {
        let end = |path: &str, change: fn(&mut Figure)| {
            let mut measured = read(&output(0, &document("valid"), "")).unwrap();
            measured.summary.values_mut().for_each(change);
            measured.end(path)
        };
        let rate = "produce.records_per_s";
        let Ok(TrialEnd::Usable(values)) = end(rate, |_| {}) else { panic!("a value") };
        assert_eq!((values.primary.to_bits(), values.figures.len()), (5.0_f64.to_bits(), 1));
        assert!(matches!(end(rate, |it| it.bound = Some(Bound::Upper)), Ok(TrialEnd::Unusable(_))));
        assert!(matches!(end(rate, |it| it.median = 0.0), Ok(TrialEnd::Failed(_))));
        let none = end("latency_ns.response.p99", |_| {}).unwrap_err().to_string();
        assert!(
            none.contains("too few acks") && none.ends_with("it has:\n  produce.records_per_s"),
            "{none}"
        );
    }

    #[test]
    fn a_process_without_a_document_failed_with_its_last_words() {
        let reason = |output: Output| match read(&output).unwrap_err() {
            TrialEnd::Failed(Fault::Errors(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(output(1, "", "note: x\nvnotch: the disk is full\n\n")), "the disk is full");
        assert_eq!(reason(output(1, "{\"results\": []}", "")), "it ended without a result: exit status: 1");
        let killed = Output { ended: Ended::Status(ExitStatus::from_raw(9)), ..output(0, "", "note: x") };
        assert!(reason(killed).contains("signal: 9"));
        let late = Output { ended: Ended::TooLong(std::time::Duration::from_secs(7)), ..output(0, "", "") };
        assert_eq!(reason(late), "it did not end within 7 s");
    }
}
