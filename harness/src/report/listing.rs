//! The table of `vnotch list`: results side by side, one line each.

use super::comparison::words;
use super::facts::{self, NONE};
use super::lines::lines;
use super::sweep::metric::{better, text as metric_text, throughput_of};
use super::sweep::{Combination, Sweep};
use crate::escape::visible;
use crate::result::shelf::{Shelved, ShelvedComparison, name_of};
use crate::result::{Figure, Kind, Point, RunResult};
use crate::stats::Better;
use crate::workload::{Metric, PassKind};
use comfy_table::{CellAlignment, Table, presets};

/// The two figures that stand for a result. For a sweep, they are those of the best combination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Headline {
    /// Bytes per second that were produced, or consumed if there was a backlog. They are those of the pass under `max`
    /// or `closed`, or of the open load if there is no other pass.
    pub bytes_per_s: Option<Figure>,
    /// p99 response of the open load, ns.
    pub p99_ns: Option<Figure>,
}

impl Headline {
    /// Returns the headline of a result.
    pub fn of(result: &RunResult) -> Self {
        if let Some(sweep) = Sweep::of(result) {
            let best = |metric: Metric| {
                let figure = |it: &Combination<'_>| {
                    it.sound_median(metric)?;
                    it.point(metric)?.figure(metric.path()).copied()
                };
                let is_better = |a: &Figure, b: &Figure| match better(metric) {
                    Better::More => a.median > b.median,
                    Better::Less => a.median < b.median,
                };
                let figures = sweep.combinations.iter().filter_map(figure);
                figures.reduce(|best, other| if is_better(&other, &best) { other } else { best })
            };
            return Self { bytes_per_s: best(sweep.throughput()), p99_ns: best(Metric::ResponseP99) };
        }
        let open = result.points.iter().find(|point| point.pass == PassKind::Open);
        let loaded = result.points.iter().find(|point| point.pass != PassKind::Open).or(open);
        let figure = |point: Option<&Point>, metric: Metric| point?.figure(metric.path()).copied();
        Self { bytes_per_s: figure(loaded, throughput_of(loaded)), p99_ns: figure(open, Metric::ResponseP99) }
    }
}

/// Returns the table with a header; empty if there are no results.
pub fn table(results: &[Shelved]) -> String {
    if results.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["started (UTC)", "name", "kind", "verdict", "throughput", "p99", "directory"]);
    table.add_rows(results.iter().map(row));
    for column in table.column_iter_mut().skip(4).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    lines(&table) + "\n"
}

fn row(it: &Shelved) -> [String; 7] {
    let result = &it.result;
    let headline = Headline::of(result);
    let (most, least) = if result.kind == Kind::Sweep { ("up to ", "from ") } else { ("", "") };
    let text = |prefix: &str, figure: Option<Figure>, metric: Metric| {
        figure.map_or_else(|| NONE.to_owned(), |figure| format!("{prefix}{}", cell(&figure, metric)))
    };
    let name = name_of(&it.dir);
    [
        facts::started(result),
        visible(&result.name).into_owned(),
        facts::name_of(&result.kind),
        result.verdict.in_short(),
        text(most, headline.bytes_per_s, Metric::Throughput),
        text(least, headline.p99_ns, Metric::ResponseP99),
        visible(&if it.is_reference { format!("reference/{name}") } else { name }).into_owned(),
    ]
}

/// Returns the median, with its interval if it has one: `412 MiB/s [349–459 MiB/s]`. The range of a few trials is left out, because
/// a list has no room to say which of the two it is.
fn cell(figure: &Figure, metric: Metric) -> String {
    let text = |value| metric_text(metric, value);
    match figure.interval {
        Some(_) => facts::figure_cell(figure, text),
        None => facts::median_text(figure, text),
    }
}

/// Returns the table of comparisons with a header; empty if there are none.
pub fn comparisons(comparisons: &[ShelvedComparison]) -> String {
    if comparisons.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["started (UTC)", "comparison", "directory"]);
    table.add_rows(comparisons.iter().map(|it| {
        let name = name_of(&it.dir);
        [
            facts::utc(&it.comparison.provenance.started_at),
            visible(&words::headline(&it.comparison)).into_owned(),
            visible(&if it.is_reference { format!("reference/{name}") } else { name }).into_owned(),
        ]
    }));
    format!("\n{}\n", lines(&table))
}
