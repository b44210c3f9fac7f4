//! The table of a sweep: one row per combination. The terminal, the summary and the page have the same cells.

use super::{Combination, RESPONSE_P99, Sweep, WRITE_AMPLIFICATION, is_sound};
use crate::num;
use crate::quantity;
use crate::report::facts::{self, NONE};
use crate::result::{Figure, Point, VerdictFlag};
use crate::workload::PassKind;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};
use std::collections::BTreeSet;

/// Width of the terminals that the table fits into, in columns.
pub(in crate::report) const WIDTH: u16 = 100;
/// Latencies in the table.
const SHOWN: [&str; 2] = ["latency_ns.response.p50", RESPONSE_P99.path];
const GIB: f64 = 1_073_741_824.0;
const MIB: f64 = 1_048_576.0;

/// Header and rows. The first `settings` columns are settings, the others are results, and the last one has the flags.
pub(in crate::report) struct Cells {
    pub(in crate::report) settings: usize,
    pub(in crate::report) header: Vec<String>,
    pub(in crate::report) rows: Vec<Vec<String>>,
    /// Explanations that a reader of the table needs.
    pub(in crate::report) notes: Vec<String>,
}

/// The form in which flags are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum FlagStyle {
    /// One letter each, explained in a note.
    Letters,
    /// In words.
    Words,
}

struct Column {
    title: String,
    cell: Box<dyn Fn(&Combination<'_>) -> String>,
}

/// Returns all rows of a sweep.
pub(in crate::report) fn cells(sweep: &Sweep<'_>, style: FlagStyle) -> Cells {
    let columns = columns(sweep, style);
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
        notes: notes(sweep, style),
    }
}

/// Returns the table for a terminal, at most [`WIDTH`] columns wide, with its notes.
pub(in crate::report) fn text(sweep: &Sweep<'_>) -> String {
    let cells = cells(sweep, FlagStyle::Letters);
    let wide = crate::report::lines::lines(&table(&cells, Header::OneLine));
    let fits = wide.lines().all(|line| line.chars().count() <= usize::from(WIDTH));
    let mut text = if fits { wide } else { crate::report::lines::lines(&table(&cells, Header::Broken)) };
    for note in cells.notes {
        text.push_str("\n  ");
        text.push_str(&note);
    }
    text
}

/// Layout of the column names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    OneLine,
    /// One word per line, so that columns can be narrow. Names that are still too long wrap.
    Broken,
}

fn table(cells: &Cells, header: Header) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let broken = |name: &String| name.replace(' ', "\n").replace('_', "_\n");
    match header {
        Header::OneLine => table.set_header(cells.header.clone()),
        Header::Broken => {
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

fn columns(sweep: &Sweep<'_>, style: FlagStyle) -> Vec<Column> {
    let (unit, unit_name) = throughput_unit(sweep);
    let path = sweep.throughput().path;
    let share = if sweep.is_catch_up() { "of_ceiling.read" } else { "of_ceiling.write" };
    let mut columns = vec![
        column(unit_name, move |it| ranged(it, path, unit)),
        column("of ceiling", move |it| of_loaded(it, share, |share| format!("{:.0} %", share * 100.0))),
    ];
    if !sweep.is_catch_up() {
        let amplification =
            |it: &Combination<'_>| of_loaded(it, WRITE_AMPLIFICATION.path, |ratio| format!("{ratio:.2}"));
        columns.push(column("write amp.", amplification));
    }
    if sweep.has_open() {
        let ns = |ns| quantity::ns(num::u64_of(ns));
        columns.push(column("p50", move |it| of_open(it, SHOWN[0], ns)));
        columns.push(column("p99", move |it| of_open(it, RESPONSE_P99.path, ns)));
        if sweep.combinations.iter().any(|it| it.late_share() > 0.0) {
            columns.push(column("p99 first", move |it| first_text(it, ns)));
            columns.push(column("late", |it| quantity::percent(it.late_share())));
        }
    }
    let disk = |it: &Combination<'_>| {
        let peaks = it.points().filter_map(|point| point.summary.get("resources.data_max_bytes"));
        peaks.map(|figure| figure.max).reduce(f64::max)
    };
    if sweep.combinations.iter().any(|it| disk(it).is_some()) {
        let peak = move |it: &Combination<'_>| {
            disk(it).map_or_else(|| NONE.to_owned(), |bytes| quantity::bytes(num::u64_of(bytes)))
        };
        columns.push(column("disk peak", peak));
    }
    columns.push(column("flags", move |it| flags(it, style)));
    columns
}

fn column(title: &str, cell: impl Fn(&Combination<'_>) -> String + 'static) -> Column {
    Column { title: title.to_owned(), cell: Box::new(cell) }
}

/// Returns one unit for the whole column, so that its values can be compared. It is GiB/s, unless the greatest value is
/// below that or the least would have too few digits.
pub(in crate::report) fn throughput_unit(sweep: &Sweep<'_>) -> (f64, &'static str) {
    let rates = sweep.combinations.iter().flat_map(|it| it.trials(sweep.throughput()));
    let (least, most) = rates.fold((f64::INFINITY, 0.0_f64), |(l, m), rate| (l.min(rate), m.max(rate)));
    if most >= GIB && least >= 0.1 * GIB { (GIB, "GiB/s") } else { (MIB, "MiB/s") }
}

/// Formats median and range: `1.43 [1.31–1.52]`.
fn ranged(combination: &Combination<'_>, path: &str, unit: f64) -> String {
    let figure = combination.loaded_point().and_then(|point| point.summary.get(path));
    let digits = |value: f64| three_digits(value / unit);
    match figure {
        None => NONE.to_owned(),
        Some(Figure { trials: 1, median, .. }) => digits(*median),
        Some(it) => format!("{} [{}–{}]", digits(it.median), digits(it.min), digits(it.max)),
    }
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

fn of_loaded(combination: &Combination<'_>, path: &str, text: impl Fn(f64) -> String) -> String {
    median_text(combination.loaded_point(), path, text)
}

fn of_open(combination: &Combination<'_>, path: &str, text: impl Fn(f64) -> String) -> String {
    median_text(combination.point(RESPONSE_P99), path, text)
}

/// Formats the median p99 over first attempts; that of all trials where none was late.
fn first_text(combination: &Combination<'_>, text: impl Fn(f64) -> String) -> String {
    let path = RESPONSE_P99.path;
    let point = combination.point(RESPONSE_P99);
    match point.filter(|point| point.late_share() > 0.0) {
        Some(late) => late.first_figure(path).map_or_else(|| NONE.to_owned(), |figure| text(figure.median)),
        None => median_text(point, path, text),
    }
}

fn median_text(point: Option<&Point>, path: &str, text: impl Fn(f64) -> String) -> String {
    let figure = point.and_then(|point| point.figure(path));
    figure.map_or_else(|| NONE.to_owned(), |figure| facts::median_text(figure, text))
}

/// Returns the flags of a point. A target that is saturated under `max` is not among them, because `max` does that on
/// purpose.
fn raised(point: &Point) -> impl Iterator<Item = VerdictFlag> {
    let is_news = |flag: &VerdictFlag| point.pass == PassKind::Open || *flag != VerdictFlag::TargetSaturated;
    point.verdict.flags.iter().copied().filter(is_news)
}

fn flags(combination: &Combination<'_>, style: FlagStyle) -> String {
    let raised: BTreeSet<VerdictFlag> = combination.points().flat_map(raised).collect();
    let shown = match style {
        FlagStyle::Letters => raised.into_iter().map(letter).collect::<String>(),
        FlagStyle::Words => raised.into_iter().map(VerdictFlag::words).collect::<Vec<_>>().join(", "),
    };
    let failed =
        combination.points().filter(|point| !is_sound(point)).map(|point| point.verdict.status).max();
    match failed {
        Some(status) => format!("{} {shown}", status.words()).trim_end().to_owned(),
        None => shown,
    }
}

const fn letter(flag: VerdictFlag) -> char {
    match flag {
        VerdictFlag::NoisyDisk => 'd',
        VerdictFlag::NoisyCpu => 'c',
        VerdictFlag::NotSteady => 'u',
        VerdictFlag::GeneratorLimited => 'g',
        VerdictFlag::TargetSaturated => 's',
        VerdictFlag::Censored => 'a',
        VerdictFlag::Short => 't',
        VerdictFlag::CeilingLow => 'l',
    }
}

fn notes(sweep: &Sweep<'_>, style: FlagStyle) -> Vec<String> {
    let mut notes = Vec::new();
    let passes: BTreeSet<&str> = sweep
        .combinations
        .iter()
        .filter_map(|it| it.loaded_point())
        .map(|point| match point.pass {
            PassKind::Max => "max",
            PassKind::Closed => "closed",
            PassKind::Open => "an open load",
        })
        .collect();
    let trials = sweep.combinations.iter().filter_map(|it| it.loaded_point()).map(|it| it.trials.len()).max();
    let passes = passes.into_iter().collect::<Vec<_>>().join(" and ");
    let latency = if sweep.has_open() {
        format!("; p50, p99: response, open load {}", sweep.rate_words())
    } else {
        "; latencies under it are not compared".to_owned()
    };
    notes.push(format!("median [min–max] of {} trials under {passes}{latency}", trials.unwrap_or(0)));
    if sweep.has_open() && sweep.combinations.iter().any(|it| it.late_share() > 0.0) {
        notes.push(
            "late: share of the trials whose generator was late at first; p99 first: with those first attempts".to_owned(),
        );
    }
    let mut said: Vec<String> = sweep
        .combinations
        .iter()
        .filter_map(|it| it.point(RESPONSE_P99))
        .flat_map(|point| SHOWN.map(|path| point.figure(path).and_then(|figure| figure.bound)))
        .flatten()
        .map(|bound| facts::bound_note(bound).to_owned())
        .collect();
    said.sort_unstable();
    said.dedup();
    notes.append(&mut said);
    if style == FlagStyle::Letters {
        let raised: BTreeSet<VerdictFlag> =
            sweep.combinations.iter().flat_map(Combination::points).flat_map(raised).collect();
        let explained: Vec<String> =
            raised.into_iter().map(|flag| format!("{} {}", letter(flag), flag.words())).collect();
        if !explained.is_empty() {
            notes.push(format!("flags: {}", explained.join(" · ")));
        }
    }
    notes
}
