//! The table of a sweep: one row per combination. The terminal, the summary and the page have the same rows. The terminal has
//! fewer columns.

use super::answers::{Answer, answers};
use super::change::number;
use super::metric::{name, text as metric_text};
use super::notes::{FIRST, LATE, Place, VS_BEFORE, is_over_systems, letter, notes};
use super::{Combination, Sweep, is_sound, prices};
use crate::num;
use crate::quantity;
use crate::report::facts::{self, NONE};
use crate::result::{Figure, Point, VerdictFlag};
use crate::stats::Standing;
use crate::workload::Metric;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use std::collections::BTreeSet;

/// Width of the terminals that the table fits into, in columns.
pub(in crate::report) const WIDTH: u16 = 100;
/// Path of the number of files of a closed log.
const FILES: &str = "closed.files";
/// Path of the 99th percentile of the time of a commit, µs.
const COMMIT_P99: &str = "groups.commit_p99_us";
/// Title of the column of the most disk space. A terminal that is too narrow goes without it.
const DISK_PEAK: &str = "disk peak";
/// Title of the column of the share of the device's best, in sweeps over systems.
const OF_DEVICE: &str = "of device";
/// Titles and paths of the CPU time for each GiB, in sweeps over systems.
const CPU: [(&str, &str); 2] =
    [("CPU system", "resources.cpu_s_per_gib.system"), ("CPU client", "resources.cpu_s_per_gib.client")];
const GIB: f64 = 1_073_741_824.0;
const MIB: f64 = 1_048_576.0;

/// Header and rows. The first `settings` columns are settings, the others are results, and the last one is text, such as flags.
pub(in crate::report) struct Cells {
    pub(in crate::report) settings: usize,
    pub(in crate::report) header: Vec<String>,
    pub(in crate::report) rows: Vec<Vec<String>>,
    /// Explanations that a reader of the table needs.
    pub(in crate::report) notes: Vec<String>,
}

struct Column<'s> {
    title: String,
    cell: Box<dyn Fn(&Combination<'_>) -> String + 's>,
}

/// Returns all rows of a sweep.
pub(in crate::report) fn cells(sweep: &Sweep<'_>, place: Place) -> Cells {
    let columns = columns(sweep, place);
    let named = sweep.settings.iter().map(|setting| setting.name.clone());
    let row = |combination: &Combination<'_>| {
        let set = sweep.settings.iter().zip(&combination.values);
        let set = set.map(|(setting, value)| {
            setting.values.get(*value).map_or_else(|| NONE.to_owned(), |value| value.label.clone())
        });
        set.chain(columns.iter().map(|column| (column.cell)(combination))).collect()
    };
    Cells {
        settings: sweep.settings.len(),
        header: named.chain(columns.iter().map(|column| column.title.clone())).collect(),
        rows: sweep.combinations.iter().map(row).collect(),
        notes: notes(sweep, place),
    }
}

/// Returns the table for a terminal, at most [`WIDTH`] columns wide, with its notes. If there are more than `rows_max`
/// combinations, the rows of the best ones are shown, and the others are counted.
pub(in crate::report) fn text(sweep: &Sweep<'_>, rows_max: usize) -> String {
    let mut cells = cells(sweep, Place::Terminal);
    let left = cells.rows.len().saturating_sub(rows_max);
    // The line that counts a single row left out would take its place.
    if left > 1 {
        let shown = best_rows(sweep, rows_max);
        let rows = std::mem::take(&mut cells.rows).into_iter().enumerate();
        cells.rows = rows.filter(|(row, _)| shown.contains(row)).map(|(_, cells)| cells).collect();
        cells.notes.insert(0, format!("… and {left} more combinations in the report"));
    }
    let notes = std::mem::take(&mut cells.notes);
    let mut text = fitted(&mut cells);
    // A column that did not fit needs no explanation.
    let is_hidden = |title: &&str| !cells.header.iter().any(|shown| shown == *title);
    let hidden = [FIRST, LATE, VS_BEFORE].into_iter().filter(is_hidden).map(|title| format!("{title}: "));
    let hidden: Vec<String> = hidden.collect();
    for note in notes.iter().filter(|note| !hidden.iter().any(|title| note.starts_with(title))) {
        text.push_str("\n  ");
        text.push_str(note);
    }
    text
}

/// Returns the table without its notes, at most [`WIDTH`] columns wide. Where it does not fit, names of columns are broken at first.
/// Then columns go, the least important one first, and then the spread of all columns after the first result. No value is wrapped
/// before all of that is done.
fn fitted(cells: &mut Cells) -> String {
    let fits = |text: &String| text.lines().all(|line| line.chars().count() <= usize::from(WIDTH));
    let lines = |cells: &Cells, header| crate::report::lines::lines(&table(cells, header));
    let steps: [fn(&mut Cells); 5] = [
        |it| it.remove(DISK_PEAK),
        |it| it.remove(FIRST),
        |it| it.remove(LATE),
        // The answer's sentence has each price with its interval.
        |it| it.remove(VS_BEFORE),
        Cells::drop_spreads,
    ];
    for step in std::iter::once(None).chain(steps.map(Some)) {
        step.into_iter().for_each(|step| step(cells));
        let mut layouts = [Header::OneLine, Header::Broken].map(|header| lines(&*cells, header)).into_iter();
        if let Some(text) = layouts.find(fits) {
            return text;
        }
    }
    lines(cells, Header::Wrapped)
}

/// Returns the indices of the combinations that are nearest to the best-looking one of their answer.
fn best_rows(sweep: &Sweep<'_>, most: usize) -> BTreeSet<usize> {
    let answers = sweep.metrics().first().map_or_else(Vec::new, |metric| answers(sweep, *metric));
    let distance = |it: &Combination<'_>| {
        let is_best = answers.iter().any(|answer| answer.best().values == it.values);
        let against = || answers.iter().find_map(|answer| answer.against(it));
        if is_best { 0.0 } else { against().map_or(f64::INFINITY, |it| it.ratio.ln().abs()) }
    };
    let mut ranked: Vec<(usize, f64)> = sweep.combinations.iter().map(distance).enumerate().collect();
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
    ranked.into_iter().take(most).map(|(index, _)| index).collect()
}

impl Cells {
    /// Removes a column, if there is one with this title.
    fn remove(&mut self, title: &str) {
        let Some(at) = self.header.iter().position(|it| it == title) else { return };
        self.header.remove(at);
        self.rows.iter_mut().for_each(|row| drop(row.remove(at)));
    }

    /// Keeps only the median in the columns after the first result and the column beside it. The report has the spreads.
    fn drop_spreads(&mut self) {
        let first = (self.settings + 2).min(self.header.len());
        for cell in self.rows.iter_mut().flat_map(|row| &mut row[first..]) {
            if let Some((median, _)) = cell.split_once(" [") {
                *cell = median.to_owned();
            }
        }
    }
}

/// Layout of the column names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    OneLine,
    /// One word per line, so that columns can be narrow.
    Broken,
    /// One word per line. Names and values that are still too long wrap.
    Wrapped,
}

fn table(cells: &Cells, header: Header) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let broken = |name: &String| name.replace(' ', "\n").replace('_', "_\n");
    match header {
        Header::OneLine => table.set_header(cells.header.clone()),
        Header::Broken => table.set_header(cells.header.iter().map(broken)),
        Header::Wrapped => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
            table.set_header(cells.header.iter().map(broken))
        }
    };
    table.add_rows(cells.rows.clone());
    let last = table.column_count().saturating_sub(1);
    for (_, column) in
        table.column_iter_mut().enumerate().filter(|(index, _)| (cells.settings..last).contains(index))
    {
        column.set_cell_alignment(CellAlignment::Right);
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table
}

fn columns<'s>(sweep: &'s Sweep<'_>, place: Place) -> Vec<Column<'s>> {
    let metrics = sweep.metrics();
    let mut columns: Vec<Column<'s>> = Vec::new();
    let mut has_own_rates = sweep.combinations.iter().any(|it| sweep.rate_of(it).is_some());
    for (index, metric) in metrics.iter().enumerate() {
        if metric.needs_open_load() && std::mem::take(&mut has_own_rates) {
            columns.push(column("rate", move |it| sweep.rate_of(it).unwrap_or_default()));
        }
        columns.push(of_metric(sweep, *metric));
        // A terminal has room for the metric that the sweep is about.
        if sweep.ratio.is_none() && (index == 0 || place == Place::Page) {
            columns.push(against(answers(sweep, *metric)));
        }
        // A page has a table of the prices.
        if let Some(along) = sweep.ratio.filter(|_| index == 0 && place == Place::Terminal) {
            let found = prices::prices(sweep, along, *metric);
            columns.push(column(VS_BEFORE, move |it| {
                let price = found.iter().find(|price| price.ends[1] == it.values);
                price.map_or_else(|| NONE.to_owned(), prices::cell)
            }));
        }
    }
    if is_over_systems(sweep) {
        columns.extend(
            CPU.map(|(title, path)| column(title, move |it| spread(it.loaded_point(), path, three_digits))),
        );
    }
    if place == Place::Page {
        columns.extend(details(sweep, &metrics));
    }
    if sweep.has_open() && sweep.combinations.iter().any(|it| it.late_share() > 0.0) {
        columns.push(column(FIRST, move |it| first_text(it, place)));
        columns.push(column(LATE, |it| quantity::percent(it.late_share())));
    }
    let disk = |it: &Combination<'_>| {
        let peaks = it.points().filter_map(|point| point.summary.get(Metric::DiskPeak.path()));
        peaks.map(|figure| figure.max).reduce(f64::max)
    };
    if !metrics.contains(&Metric::DiskPeak) && sweep.combinations.iter().any(|it| disk(it).is_some()) {
        let peak = move |it: &Combination<'_>| {
            disk(it).map_or_else(|| NONE.to_owned(), |bytes| quantity::bytes(num::u64_of(bytes)))
        };
        columns.push(column(DISK_PEAK, peak));
    }
    columns.push(column("flags", move |it| flags(it, place)));
    columns
}

/// Returns the columns that only a page has: shares of the ceiling, write amplification, p50, the files of the closed log, and
/// the latency of commits.
fn details<'s>(sweep: &'s Sweep<'_>, metrics: &[Metric]) -> Vec<Column<'s>> {
    let share = if sweep.is_catch_up() { "of_ceiling.read" } else { "of_ceiling.write" };
    let mut columns = vec![column("of ceiling", move |it| {
        spread(it.loaded_point(), share, |share| format!("{:.0} %", share * 100.0))
    })];
    if is_over_systems(sweep) {
        // Slices replay the writes of the engine alone. The best of the device stands beside every system on this machine.
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        columns.push(column(OF_DEVICE, move |it| spread(it.loaded_point(), "of_device", percent)));
    }
    let mut beside = Vec::new();
    if !sweep.is_catch_up() {
        beside.push(("write amp.", Metric::WriteAmplification));
    }
    if sweep.has_open() {
        beside.push(("p50", Metric::ResponseP50));
    }
    if sweep.combinations.iter().any(|it| !it.trials(Metric::Reopen).is_empty()) {
        beside.push(("reopen", Metric::Reopen));
    }
    for (title, metric) in beside.into_iter().filter(|(_, metric)| !metrics.contains(metric)) {
        let text = move |value| metric_text(metric, value);
        columns.push(column(title, move |it| spread(it.point(metric), metric.path(), text)));
    }
    let has = |path: &str| {
        let point_has = |point: &Point| point.summary.contains_key(path);
        sweep.combinations.iter().any(|it| it.loaded_point().is_some_and(point_has))
    };
    if has(FILES) {
        columns.push(column("files", |it| spread(it.loaded_point(), FILES, |files| format!("{files:.0}"))));
    }
    if has(COMMIT_P99) {
        let text = |us: f64| quantity::ns(num::u64_of(us * 1e3));
        columns.push(column("commit p99", move |it| spread(it.loaded_point(), COMMIT_P99, text)));
    }
    columns
}

fn column<'s>(title: &str, cell: impl Fn(&Combination<'_>) -> String + 's) -> Column<'s> {
    Column { title: title.to_owned(), cell: Box::new(cell) }
}

/// Returns the column of a metric. Throughputs have one unit for the whole column, so that they can be compared.
fn of_metric<'s>(sweep: &Sweep<'_>, metric: Metric) -> Column<'s> {
    match metric {
        Metric::Throughput | Metric::CatchUp => {
            let (unit, title) = throughput_unit(sweep);
            column(title, move |it| {
                spread(it.point(metric), metric.path(), |value| three_digits(value / unit))
            })
        }
        Metric::ResponseP50 => column("p50", move |it| metric_cell(it, metric)),
        Metric::ResponseP99 => column("p99", move |it| metric_cell(it, metric)),
        Metric::ResponseP999 => column("p99.9", move |it| metric_cell(it, metric)),
        _ => column(name(metric), move |it| metric_cell(it, metric)),
    }
}

fn metric_cell(combination: &Combination<'_>, metric: Metric) -> String {
    spread(combination.point(metric), metric.path(), |value| metric_text(metric, value))
}

/// Returns the column of the comparison with the best-looking setting.
fn against<'s>(answers: Vec<Answer<'s>>) -> Column<'s> {
    column("vs best", move |it| {
        let is_best = |answer: &&Answer<'_>| answer.best().values == it.values && answer.members.len() > 1;
        if answers.iter().any(|answer| is_best(&answer)) {
            return "best".to_owned();
        }
        let Some(found) = answers.iter().find_map(|answer| answer.against(it)) else {
            return NONE.to_owned();
        };
        let percent = |ratio: f64| {
            let sign = if ratio > 1.0 { "+" } else { "" };
            format!("{sign}{}", number((ratio - 1.0) * 100.0))
        };
        let interval = found.interval.map_or_else(String::new, |interval| {
            format!(" [{} to {}]", percent(interval.low), percent(interval.high))
        });
        let out = if found.standing == Standing::RuledOut { "out " } else { "" };
        format!("{out}{} %{interval}", percent(found.ratio))
    })
}

/// Formats the median of a figure and what lies around it: `1.43 [1.31–1.52]`.
fn spread(point: Option<&Point>, path: &str, text: impl Fn(f64) -> String) -> String {
    let figure = point.and_then(|point| point.summary.get(path));
    figure.map_or_else(|| NONE.to_owned(), |figure| facts::figure_cell(figure, text))
}

/// Returns one unit for the whole column, so that its values can be compared. It is GiB/s, unless the greatest value is
/// below that or the least would have too few digits.
pub(in crate::report) fn throughput_unit(sweep: &Sweep<'_>) -> (f64, &'static str) {
    let rates = sweep.combinations.iter().flat_map(|it| it.trials(sweep.throughput()));
    let (least, most) = rates.fold((f64::INFINITY, 0.0_f64), |(l, m), rate| (l.min(rate), m.max(rate)));
    if most >= GIB && least >= 0.1 * GIB { (GIB, "GiB/s") } else { (MIB, "MiB/s") }
}

/// Formats a number with three significant digits.
pub(in crate::report) fn three_digits(value: f64) -> String {
    let decimals = if value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

/// Formats the median p99 over first attempts; that of all trials where none was late. A page has its interval too.
fn first_text(combination: &Combination<'_>, place: Place) -> String {
    let (path, metric) = (Metric::ResponseP99.path(), Metric::ResponseP99);
    let text = |figure: &Figure| {
        let value = |value| metric_text(metric, value);
        match place {
            Place::Page => facts::figure_cell(figure, value),
            Place::Terminal => facts::median_text(figure, value),
        }
    };
    let point = combination.point(metric);
    let figure = match point.filter(|point| point.late_share() > 0.0) {
        Some(late) => late.first_figure(path),
        None => point.and_then(|point| point.figure(path)),
    };
    figure.map_or_else(|| NONE.to_owned(), text)
}

fn flags(combination: &Combination<'_>, place: Place) -> String {
    let raised: BTreeSet<VerdictFlag> =
        combination.points().flat_map(|point| point.verdict.flags.iter().copied()).collect();
    let shown = match place {
        Place::Terminal => raised.into_iter().map(letter).collect::<String>(),
        Place::Page => raised.into_iter().map(VerdictFlag::words).collect::<Vec<_>>().join(", "),
    };
    let failed =
        combination.points().filter(|point| !is_sound(point)).map(|point| point.verdict.status).max();
    match failed {
        Some(status) => format!("{} {shown}", status.words()).trim_end().to_owned(),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(names: [&str; 2], p99: &str) -> Cells {
        let header = ["GiB/s", "vs best", "p99", FIRST, LATE, DISK_PEAK, "flags"];
        let row = [
            "256 MiB",
            "64 MiB",
            "2.31 [2.19–2.60]",
            "−1 % [−14 to +14]",
            p99,
            "≤ 2.01 ms",
            "100 %",
            "512 MiB",
            "INVALIDug",
        ];
        Cells {
            settings: 2,
            header: names.into_iter().chain(header).map(str::to_owned).collect(),
            rows: vec![row.map(str::to_owned).to_vec()],
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_table_that_is_too_wide_loses_columns_and_then_spreads_but_wraps_no_value() {
        let names = ["retention_bytes", "segment_bytes"];
        let wide = fitted(&mut cells(names, "≤ 1.52 ms [≤ 537 µs–≤ 2.17 ms]"));
        assert!(wide.lines().all(|line| line.chars().count() <= 100), "{wide}");
        for value in ["256 MiB", "64 MiB", "2.31 [2.19–2.60]", "−1 % [−14 to +14]", "≤ 1.52 ms", "INVALIDug"]
        {
            assert!(wide.contains(value), "{value} is not whole:\n{wide}");
        }
        assert!(wide.contains("537") && !wide.contains("512 MiB"), "{wide}");
        let wider = fitted(&mut cells(["retentionbytes", "segmentbytes"], "≤ 1.52 ms [≤ 537 µs–≤ 2.17 ms]"));
        assert!(wider.contains("≤ 1.52 ms") && !wider.contains("537"), "{wider}");
        let narrow = fitted(&mut cells(["size", "files"], "1 ms"));
        for value in ["512 MiB", "≤ 2.01 ms", "100 %"] {
            assert!(narrow.contains(value), "all fits:\n{narrow}");
        }
    }
}
