//! The table of `vnotch list`: results side by side, one line each.

use super::comparison::words;
use super::facts::{self, NONE};
use super::lines::lines;
use super::sweep::Sweep;
use super::sweep::metric::throughput_of;
use crate::escape::visible;
use crate::num;
use crate::quantity;
use crate::result::latency::percentile::sign;
use crate::result::shelf::{Shelved, ShelvedComparison, name_of};
use crate::result::{Bound, Kind, RunResult};
use crate::workload::{Metric, PassKind};
use comfy_table::{CellAlignment, Table, presets};

/// The two figures that stand for a result. For a sweep, they are those of the best combination.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Headline {
    /// Bytes per second that were produced, or consumed if there was a backlog. They are those of the pass under `max`
    /// or `closed`, or of the open load if there is no other pass.
    pub bytes_per_s: Option<f64>,
    /// p99 response of the open load, ns.
    pub p99_ns: Option<f64>,
    /// The side on which the true p99 lies; `None` if it is no bound.
    pub p99_bound: Option<Bound>,
}

impl Headline {
    /// Returns the headline of a result.
    pub fn of(result: &RunResult) -> Self {
        if let Some(sweep) = Sweep::of(result) {
            let medians = |metric| sweep.combinations.iter().filter_map(move |it| it.sound_median(metric));
            return Self {
                bytes_per_s: medians(sweep.throughput()).reduce(f64::max),
                p99_ns: medians(Metric::ResponseP99).reduce(f64::min),
                p99_bound: None,
            };
        }
        let open = result.points.iter().find(|point| point.pass == PassKind::Open);
        let loaded = result.points.iter().find(|point| point.pass != PassKind::Open).or(open);
        Self {
            bytes_per_s: loaded.and_then(|point| Some(point.figure(throughput_of([point]).path())?.median)),
            p99_ns: open.and_then(|point| Some(point.figure(Metric::ResponseP99.path())?.median)),
            p99_bound: open.and_then(|point| point.figure(Metric::ResponseP99.path())?.bound),
        }
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
    let text = |figure: Option<f64>, of: &dyn Fn(f64) -> String| figure.map_or_else(|| NONE.to_owned(), of);
    let name = name_of(&it.dir);
    [
        facts::started(result),
        visible(&result.name).into_owned(),
        facts::name_of(&result.kind),
        result.verdict.to_string(),
        text(headline.bytes_per_s, &|rate| format!("{most}{}", quantity::bytes_per_s(rate))),
        text(headline.p99_ns, &|ns| {
            format!("{least}{}{}", sign(headline.p99_bound), quantity::ns(num::u64_of(ns)))
        }),
        visible(&if it.is_reference { format!("reference/{name}") } else { name }).into_owned(),
    ]
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
