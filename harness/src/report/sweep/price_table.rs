//! The table of the prices of a sweep: one row for each step, beside each combination of the other settings. A terminal has a column
//! in the table of the sweep instead.

use super::metric::name;
use super::prices::{self, Price, prices};
use super::table::Cells;
use super::{Combination, Sweep};
use crate::report::facts::NONE;

/// Returns the table of the prices; `None` if no step has a price.
pub(in crate::report) fn cells(sweep: &Sweep<'_>) -> Option<Cells> {
    let along = sweep.ratio?;
    let metrics = sweep.metrics();
    let by_metric: Vec<Vec<Price>> = metrics.iter().map(|metric| prices(sweep, along, *metric)).collect();
    let rows: Vec<Vec<String>> =
        sweep.combinations.iter().filter_map(|from| row(sweep, along, &by_metric, from)).collect();
    let mut header = vec![sweep.settings[along].name.clone()];
    let others = sweep.settings.iter().enumerate().filter(|(index, _)| *index != along);
    header.extend(others.map(|(_, setting)| setting.name.clone()));
    header.extend(metrics.iter().map(|metric| format!("× {}", name(*metric))));
    header.push("blocks".to_owned());
    let settings = sweep.settings.len();
    (!rows.is_empty()).then(|| Cells { settings, header, rows, notes: notes(&by_metric) })
}

/// Returns the row of the step that begins at the combination `from`; `None` if that step has no price by any metric.
fn row(
    sweep: &Sweep<'_>,
    along: usize,
    by_metric: &[Vec<Price>],
    from: &Combination<'_>,
) -> Option<Vec<String>> {
    let found: Vec<Option<&Price>> = by_metric
        .iter()
        .map(|of_metric| of_metric.iter().find(|price| price.ends[0] == from.values))
        .collect();
    let mut row = vec![found.iter().flatten().next()?.step.clone()];
    let others = sweep.settings.iter().zip(&from.values).enumerate().filter(|(index, _)| *index != along);
    row.extend(others.map(|(_, (setting, value))| setting.values[*value].label.clone()));
    row.extend(found.iter().map(|price| price.map_or_else(|| NONE.to_owned(), prices::cell)));
    let blocks = found.iter().map(|price| price.and_then(|price| price.found).map(|step| step.blocks));
    row.push(counts(&blocks.collect::<Vec<_>>()));
    Some(row)
}

/// Returns the numbers of blocks by metric, as one number if all are the same: `8`, `8 / 5`.
fn counts(by_metric: &[Option<usize>]) -> String {
    let text = |blocks: &Option<usize>| blocks.map_or_else(|| NONE.to_owned(), |blocks| blocks.to_string());
    match by_metric {
        [first, others @ ..] if others.iter().all(|other| other == first) => text(first),
        several => several.iter().map(text).collect::<Vec<_>>().join(" / "),
    }
}

fn notes(by_metric: &[Vec<Price>]) -> Vec<String> {
    let brackets = prices::brackets(by_metric.iter().flatten());
    let ratio = "×: the metric after the step, as a multiple of that before it, in trials of the same blocks";
    let mut notes = vec![format!("{ratio} {brackets}")];
    notes.extend(prices::contradiction(by_metric.iter().flatten()));
    notes
}
