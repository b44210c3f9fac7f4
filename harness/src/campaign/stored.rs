//! Compares two stored results. They are not interleaved, so differences of the hour are in the effect.

use crate::exit::UsageError;
use crate::host::machine_id::machine_id;
use crate::result::comparison::{
    Comparison, ComparisonProvenance, Method, Metric, SettingDifference, Side, problem_of,
};
use crate::result::environment::Environment;
use crate::result::provenance::{Build, Provenance};
use crate::result::{Kind, Point, RunResult, SCHEMA_VERSION, Verdict, VerdictStatus, in_time, store};
use crate::stats;
use crate::stats::pairs::Figures;
use crate::workload::{
    Difference, Metric as WorkloadMetric, PassKind, differences, is_within, with_former_defaults,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::path::Path;

/// Offered rates that differ by more than this share are different loads.
const SAME_RATE: f64 = 0.01;
/// Keys of a workload that name it and are no settings.
const NO_SETTINGS: [&str; 3] = ["name", "question", "version"];
/// The only key of the load that matters under `max`: the others belong to passes at a rate.
const IN_FLIGHT: &str = "load.in_flight_bytes";
/// Keys that say what is produced and read, and how much of it. Results that differ in one of them were measured under different
/// loads. How clients batch, and how topics are split and stored, are settings.
const OF_LOAD: [&str; 9] = [
    "backlog",
    "consume.churn",
    "consumers_per_subscription",
    "key_distribution",
    "message_size",
    "payload",
    "producers_per_topic",
    "subscriptions_per_topic",
    "topics",
];
/// Another seed makes other values of the same kind.
const SEED: &str = "payload.seed";

/// How two stored results are compared.
#[derive(Debug, Clone, Copy)]
pub struct StoredOptions<'a> {
    /// Path of the figure that decides; `None` for the usual one of the load.
    pub metric: Option<&'a str>,
    /// The least difference that matters, as a share.
    pub band: f64,
    /// Name of the baseline that the first result is; `None` if it was named itself.
    pub baseline: Option<&'a str>,
}

/// Compares the result in `b` with the one in `a`.
///
/// # Errors
/// A [`UsageError`] if the two cannot be compared: one result, sweeps, different machines, loads or levels of durability, or no
/// common metric. Another error if a result cannot be read.
pub fn compare(a: &Path, b: &Path, options: StoredOptions<'_>) -> anyhow::Result<Comparison> {
    let (result_a, result_b) = (store::load_result(a)?, store::load_result(b)?);
    let is_same = matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if is_same {
        return refuse(format!("A and B are the same result, {}; name two", a.display()));
    }
    require_run(a, &result_a)?;
    require_run(b, &result_b)?;
    require_machine(&result_a, &result_b)?;
    let found = points(&result_a, &result_b, options.metric)?;
    let metric = Metric::of(&found.path);
    let settings = settings_that_differ(&result_a, &result_b, &found);
    require_same_load(&found, &settings, [&result_a.provenance, &result_b.provenance])?;
    let trials_a = trials(found.a, 'A', &metric)?;
    let trials_b = trials(found.b, 'B', &metric)?;
    let values = |trials: &[Figures]| trials.iter().filter_map(|it| it.get(&metric.path).copied()).collect();
    let name = if result_a.name == result_b.name {
        format!("compare-{}", result_a.name)
    } else {
        format!("compare-{}-and-{}", result_a.name, result_b.name)
    };
    let is_same_machine = result_a.provenance.machine_id.is_some()
        && result_a.provenance.machine_id == result_b.provenance.machine_id;
    let mut comparison = Comparison {
        schema_version: SCHEMA_VERSION,
        kind: Kind::Compare,
        name,
        question: result_b.question.clone(),
        method: Method::Stored,
        is_calibration: false,
        band: options.band,
        a: side(a, &result_a, found.a, values(&trials_a)),
        b: side(b, &result_b, found.b, values(&trials_b)),
        differences: settings.into_iter().map(difference).collect(),
        pairs: Vec::new(),
        verdict: verdict([(&result_a, found.a), (&result_b, found.b)]),
        effect: None,
        secondary: Vec::new(),
        calibration: None,
        elapsed_s: 0.0,
        notes: notes(&result_a, &result_b, is_same_machine),
        baseline: options.baseline.map(str::to_owned),
        is_same_machine,
        environment: None::<Environment>,
        provenance: provenance(a, b),
        metric,
    };
    if let Some(name) = options.baseline {
        name.clone_into(&mut comparison.a.label);
    }
    if comparison.a.label == comparison.b.label {
        // Both began in the same minute.
        comparison.a.label = crate::result::shelf::name_of(a);
        comparison.b.label = crate::result::shelf::name_of(b);
    }
    stats::pairs::conclude_stored(&mut comparison, (&trials_a, &trials_b));
    Ok(comparison)
}

fn refuse<T>(message: impl Into<String>) -> anyhow::Result<T> {
    Err(UsageError::error(message))
}

fn require_run(dir: &Path, result: &RunResult) -> anyhow::Result<()> {
    match (result.kind, result.verdict.status) {
        (Kind::Sweep, _) => refuse(format!(
            "{} is a sweep, whose settings are compared in its own report; compare two runs, or two of its settings with \
             `vnotch compare --interleave FILE --set-a KEY=VALUE --set-b KEY=VALUE`",
            dir.display()
        )),
        (Kind::Run, VerdictStatus::Interrupted) => refuse(format!(
            "{} was interrupted, so its trials are not those that were planned; run it again",
            dir.display()
        )),
        (Kind::Run, _) => Ok(()),
        (Kind::Compare | Kind::Search, _) => {
            refuse(format!("{} is not the result of a run; name two runs", dir.display()))
        }
    }
}

fn require_machine(a: &RunResult, b: &RunResult) -> anyhow::Result<()> {
    match (&a.provenance.machine_id, &b.provenance.machine_id) {
        (Some(of_a), Some(of_b)) if of_a != of_b => refuse(format!(
            "A and B were measured on different machines ({of_a} and {of_b}), so the machines would be compared; `vnotch report A B \
             --output DIR` draws both on the same axes"
        )),
        _ => Ok(()),
    }
}

/// The points that are compared, and the path of the metric.
struct Found<'a> {
    path: String,
    a: &'a Point,
    b: &'a Point,
    workload_a: &'a Value,
    workload_b: &'a Value,
}

/// Returns the points of both results under the same kind of load that have the metric.
fn points<'a>(a: &'a RunResult, b: &'a RunResult, metric: Option<&str>) -> anyhow::Result<Found<'a>> {
    let passes =
        |result: &'a RunResult| result.points.iter().map(|point| point.pass.to_string()).collect::<Vec<_>>();
    let same: Vec<(&Point, &Point)> = a
        .points
        .iter()
        .filter_map(|of_a| Some((of_a, b.points.iter().find(|of_b| of_b.pass == of_a.pass)?)))
        .collect();
    if same.is_empty() {
        return refuse(format!(
            "their loads differ: A was measured under {}, B under {}; run both under the same load",
            passes(a).join(" and "),
            passes(b).join(" and ")
        ));
    }
    let declared = metric
        .map(|name| WorkloadMetric::named(name).map_or(name, |named| named.path()))
        .or_else(|| metric_of_both(a, b));
    if let Some(why) = declared.and_then(problem_of) {
        return refuse(why);
    }
    let path = |point: &Point| declared.unwrap_or_else(|| usual(point)).to_owned();
    let has = |point: &Point, path: &str| point.summary.contains_key(path);
    // Throughput comes first, as on the first screen.
    let ordered = [false, true]
        .into_iter()
        .flat_map(|is_open| same.iter().filter(move |(point, _)| (point.pass == PassKind::Open) == is_open));
    let mut lacking = String::new();
    for (of_a, of_b) in ordered {
        let path = path(of_a);
        if has(of_a, &path) && has(of_b, &path) {
            let (workload_a, workload_b) = (a.workload_of(of_a), b.workload_of(of_b));
            return Ok(Found { path, a: of_a, b: of_b, workload_a, workload_b });
        }
        let letter = if has(of_a, &path) { "B" } else { "A" };
        let _ = write!(
            lacking,
            "{}{letter} has no {path} under {}",
            if lacking.is_empty() { "" } else { "; " },
            of_a.pass
        );
    }
    let known: Vec<&str> = same[0].0.summary.keys().map(String::as_str).collect();
    refuse(format!(
        "{lacking}: that load has no such figure, or too few acks were made for it. There are:\n  {}",
        known.join("\n  ")
    ))
}

/// Returns the path of the `metric` that both workloads name.
fn metric_of_both(a: &RunResult, b: &RunResult) -> Option<&'static str> {
    let of = |result: &RunResult| WorkloadMetric::named(result.workload.get("metric")?.as_str()?);
    of(a).filter(|metric| of(b) == Some(*metric)).map(WorkloadMetric::path)
}

/// Returns the figure that decides for a kind of load, unless another is declared.
fn usual(point: &Point) -> &'static str {
    if point.trials.iter().any(|trial| trial.backlog.is_some()) {
        "consume.bytes_per_s"
    } else if point.pass == PassKind::Open {
        "latency_ns.response.p99"
    } else {
        "produce.records_per_s"
    }
}

/// Returns the settings in which the workloads of both points differ: `value` is B's, `default` is A's.
fn settings_that_differ(a: &RunResult, b: &RunResult, found: &Found<'_>) -> Vec<Difference> {
    let mut settings =
        differences(&with_former_defaults(found.workload_b), &with_former_defaults(found.workload_a));
    settings.retain(|it| !NO_SETTINGS.contains(&it.key.as_str()));
    if a.schema_version != b.schema_version {
        // A key that only one version has is no difference of the settings.
        settings.retain(|it| !it.value.is_null() && !it.default.is_null());
    }
    settings
}

/// Returns how the loads differ beyond the workloads: in the stalls on purpose, and in the files of values.
fn other_differences([a, b]: [&Provenance; 2]) -> Vec<String> {
    let mut found = Vec::new();
    if a.injected != b.injected {
        let of =
            |it: &Provenance| if it.injected.is_empty() { "none".to_owned() } else { it.injected.join(", ") };
        found.push(format!("--inject: A {}, B {}", of(a), of(b)));
    }
    let contents =
        |it: &Provenance| it.payload_files.iter().map(|file| file.sha256.clone()).collect::<Vec<_>>();
    if contents(a) != contents(b) {
        found.push("the files of `payload` have other contents".to_owned());
    }
    found
}

fn require_same_load(
    found: &Found<'_>,
    settings: &[Difference],
    provenances: [&Provenance; 2],
) -> anyhow::Result<()> {
    if found.a.durability != found.b.durability {
        return refuse(format!(
            "their acks promise different things: A is {}, B is {}. To learn what that costs, measure both turn by turn: `vnotch \
             compare --interleave FILE --set-a durability=… --set-b durability=…`",
            name_of(&found.a.durability),
            name_of(&found.b.durability)
        ));
    }
    let of_load = |it: &&Difference| {
        (it.key != SEED && OF_LOAD.iter().any(|section| is_within(&it.key, section)))
            || match found.a.pass {
                PassKind::Max => it.key == IN_FLIGHT,
                PassKind::Closed | PassKind::Open => it.key.starts_with("load."),
            }
    };
    let mut differing: Vec<String> = settings
        .iter()
        .filter(of_load)
        .map(|it| format!("{}: A {}, B {}", it.key, it.default, it.value))
        .collect();
    differing.extend(other_differences(provenances));
    if !differing.is_empty() {
        return refuse(format!(
            "their loads differ ({}); run both under the same load",
            differing.join("; ")
        ));
    }
    let rate = |point: &Point| point.figure("offered.records_per_s").map(|figure| figure.median);
    match (rate(found.a), rate(found.b)) {
        (Some(a), Some(b)) if (b / a).max(a / b) > 1.0 + SAME_RATE => refuse(format!(
            "their loads differ: A was offered {a:.0} records/s, B {b:.0}; run both at the same absolute rate (`--rate`)"
        )),
        _ => Ok(()),
    }
}

/// Returns the figures of each trial in time.
fn trials(point: &Point, letter: char, metric: &Metric) -> anyhow::Result<Vec<Figures>> {
    let mut all = Vec::new();
    for trial in in_time(&point.trials) {
        let summary = stats::summarise(std::slice::from_ref(trial));
        let Some(figure) = summary.get(&metric.path) else {
            return refuse(format!(
                "a trial of {letter} has no {}: too few acks were made for it; choose another --metric, or run both for longer",
                metric.path
            ));
        };
        if figure.bound.is_some() {
            return refuse(format!(
                "in a trial of {letter}, {} is only a bound, so its ratio is not known; choose another --metric, or run both \
                 under less load",
                metric.path
            ));
        }
        if figure.median <= 0.0 {
            return refuse(format!(
                "in a trial of {letter}, {} is {}, so there is no ratio",
                metric.path, figure.median
            ));
        }
        all.push(summary.into_iter().map(|(path, figure)| (path, figure.median)).collect());
    }
    Ok(all)
}

/// Returns the verdict on both results. The worst comes first, and only a valid one allows a conclusion.
fn verdict(sides: [(&RunResult, &Point); 2]) -> Verdict {
    let mut verdict = Verdict::default();
    for (letter, (result, point)) in ['A', 'B'].into_iter().zip(sides) {
        let reason = |of: &Verdict| {
            let first = of.reasons.first().map_or_else(|| of.to_string(), Clone::clone);
            format!("{letter}: {first}")
        };
        // Another point of the result may be the invalid one. A failure counts wherever it was.
        match point.verdict.status {
            VerdictStatus::Invalid | VerdictStatus::RequirementMissed => {
                verdict.lower(VerdictStatus::Invalid, reason(&point.verdict));
            }
            _ => {}
        }
        if matches!(result.verdict.status, VerdictStatus::Errors | VerdictStatus::IntegrityFailed) {
            verdict.lower(result.verdict.status, reason(&result.verdict));
        }
    }
    verdict
}

fn notes(a: &RunResult, b: &RunResult, is_same_machine: bool) -> Vec<String> {
    let mut notes = vec!["Not interleaved: differences of the hour are in it.".to_owned()];
    if !is_same_machine {
        notes.push(
            "It is not recorded on which machine each result was measured, so the machines may differ."
                .to_owned(),
        );
    }
    if [a, b].iter().any(|result| result.provenance.build.profile == "debug") {
        notes.push("A debug build measured, so the figures mean nothing.".to_owned());
    }
    notes
}

fn side(dir: &Path, result: &RunResult, point: &Point, values: Vec<f64>) -> Side {
    let name = crate::result::shelf::name_of(dir);
    let began = result.provenance.started_at.parse::<jiff::Timestamp>();
    let label = began.map_or_else(
        |_| name.clone(),
        |began| format!("{} of {}", result.name, began.strftime("%Y-%m-%d %H:%M")),
    );
    Side {
        label,
        workload: result.name.clone(),
        settings: Vec::new(),
        binary: None,
        build: Some(result.provenance.build.clone()),
        system: point.system.clone(),
        result: Some(name),
        started_at: Some(result.provenance.started_at.clone()),
        resolved: result.workload_of(point).clone(),
        values,
    }
}

fn difference(it: Difference) -> SettingDifference {
    SettingDifference { key: it.key, a: it.default, b: it.value }
}

fn provenance(a: &Path, b: &Path) -> ComparisonProvenance {
    let names = [a, b].map(crate::result::shelf::name_of).join("\n");
    let sha256 = Sha256::digest(names.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    ComparisonProvenance {
        build: Build::current(),
        machine_id: machine_id(),
        started_at: jiff::Timestamp::now().to_string(),
        command_line: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        sha256,
        order_seed: None,
    }
}

/// Returns a name as workload files and results write it.
fn name_of(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
}
