//! The answer of a result: what the first screen, the summary and the page begin with.

use super::facts::{figure_words, load};
use super::sweep::metric::{name, text, throughput_of};
use super::sweep::{Sweep, words};
use super::{backlog, stall};
use crate::quantity;
use crate::result::{Point, RunResult};
use crate::workload::{Metric, PassKind, Workload};

/// The answer of a result.
pub(super) struct Answer {
    /// Sentences that answer the question.
    pub(super) sentences: Vec<String>,
    /// At most three numbers: what each is, and its value with its interval.
    pub(super) numbers: Vec<(String, String)>,
    /// Sentences that say more: answers by other metrics, limits, backlogs, injected stalls.
    pub(super) more: Vec<String>,
    /// Names of the charts that show the answer. The first that was drawn is the one to look at.
    pub(super) charts: &'static [&'static str],
}

/// Returns the answer of a result.
pub(super) fn of(result: &RunResult) -> Answer {
    match Sweep::of(result) {
        Some(sweep) => {
            let said = words::said(&sweep);
            Answer { sentences: said.answer, numbers: said.numbers, more: said.more, charts: &["sweep"] }
        }
        None => of_run(result),
    }
}

fn of_run(result: &RunResult) -> Answer {
    let mut paragraphs = backlog::paragraphs(result);
    let stalls = stall::paragraphs(result);
    let primary = primary(result);
    let is_latency = primary.is_some_and(Metric::needs_open_load);
    let charts: &[&str] = if is_latency { &["latency", "throughput"] } else { &["throughput", "latency"] };
    let sentences = if paragraphs.is_empty() {
        ordered(result, is_latency).into_iter().filter_map(sentence).collect()
    } else {
        std::mem::take(&mut paragraphs)
    };
    let numbers = numbers(result, primary);
    Answer { sentences, numbers, more: stalls.into_iter().chain(paragraphs).collect(), charts }
}

/// Returns the metric that a run is about.
fn primary(result: &RunResult) -> Option<Metric> {
    let workload = serde_json::from_value::<Workload>(result.workload.clone()).ok()?;
    Some(workload.primary_metric())
}

/// Returns the points, those of the primary metric first.
fn ordered(result: &RunResult, is_latency: bool) -> Vec<&Point> {
    let mut points: Vec<&Point> = result.points.iter().collect();
    points.sort_by_key(|point| (point.pass == PassKind::Open) != is_latency);
    points
}

/// Returns a sentence on a point: what it reached, with its interval.
fn sentence(point: &Point) -> Option<String> {
    let words = |path: &str, text: fn(f64) -> String| Some(figure_words(point.figure(path)?, text));
    let acked = words("produce.bytes_per_s", quantity::bytes_per_s)?;
    let few = if point.trials.len() == 1 { "; one trial shows no spread" } else { "" };
    if point.pass == PassKind::Open {
        let p99 = point.figure(Metric::ResponseP99.path());
        let p99 = p99.map(|figure| figure_words(figure, |ns| text(Metric::ResponseP99, ns)));
        return Some(match p99 {
            Some(p99) => format!("{}, 99 % of the records were acked within {p99}{few}.", at_load(point)),
            None => format!("{}, there were too few acks to tell a p99.", at_load(point)),
        });
    }
    // A share of one trial or of a few is printed in the table, without a conclusion.
    let share = point.figure("of_ceiling.write").filter(|figure| figure.interval.is_some());
    let share = share.map(|figure| figure_words(figure, quantity::percent));
    let share = share.map(|share| format!(", {share} of what the bare disk does"));
    Some(format!("{}, {acked} were acked{}{few}.", at_load(point), share.unwrap_or_default()))
}

/// Returns the load at the beginning of a sentence: `Under max`, `At 20.0 k/s`.
fn at_load(point: &Point) -> String {
    let load = load(point);
    load.strip_prefix("open at ").map_or_else(|| format!("Under {load}"), |rate| format!("At {rate}"))
}

/// Returns up to three numbers: the primary metric, then the other headline figures.
fn numbers(result: &RunResult, primary: Option<Metric>) -> Vec<(String, String)> {
    let open = result.points.iter().find(|point| point.pass == PassKind::Open);
    let loaded = result.points.iter().find(|point| point.pass != PassKind::Open).or(open);
    let mut metrics: Vec<Metric> = primary.into_iter().collect();
    metrics.extend([throughput_of(loaded), Metric::ResponseP99, Metric::WriteAmplification]);
    let mut numbers: Vec<(String, String)> = Vec::new();
    for metric in metrics {
        let point = if metric.needs_open_load() { open } else { loaded };
        let Some((point, figure)) = point.and_then(|point| Some((point, point.figure(metric.path())?)))
        else {
            continue;
        };
        let what = format!("{}, {}", name(metric), load(point));
        if !numbers.iter().any(|(known, _)| *known == what) {
            numbers.push((what, figure_words(figure, |value| text(metric, value))));
        }
    }
    numbers.truncate(3);
    numbers
}
