//! The prices of a sweep with `answer: ratio`: what each step along one setting costs, beside each combination of the others.

use super::change::factor;
use super::metric::{name, text};
use super::{Combination, Sweep};
use crate::report::facts::NONE;
use crate::stats::{self, Step, StepTrials};
use crate::workload::Metric;

/// The most prices whose values are told too. With more, the table has them.
const VALUES_SHOWN_MAX: usize = 2;
/// The mark of a price in a table that first attempts contradict.
const CONTRADICTED: &str = "contradicted";

/// The price of one step.
pub(in crate::report) struct Price {
    /// The step, such as `written → synced`.
    pub(in crate::report) step: String,
    /// The other settings; empty if there are none.
    pub(in crate::report) beside: String,
    /// The ratio; `None` if no block has both values.
    pub(in crate::report) found: Option<Step>,
    /// Medians of the metric before and after the step.
    pub(in crate::report) values: [Option<f64>; 2],
    /// The combinations before and after the step: the index of the value of each setting.
    pub(in crate::report) ends: [Vec<usize>; 2],
}

/// Returns the prices along the setting `along`, for each combination of the other settings.
pub(in crate::report) fn prices(sweep: &Sweep<'_>, along: usize, metric: Metric) -> Vec<Price> {
    let pairs: Vec<[&Combination<'_>; 2]> = sweep
        .combinations
        .iter()
        .filter_map(|from| Some([from, next(sweep, from, along)?]))
        .filter(|ends| ends.iter().all(|it| it.sound_median(metric).is_some()))
        .collect();
    let trials: Vec<StepTrials> = pairs
        .iter()
        .map(|ends| StepTrials {
            in_time: ends.map(|it| it.blocks(metric)),
            first: ends.map(|it| it.first_blocks(metric)),
        })
        .collect();
    let setting = &sweep.settings[along];
    let label = |it: &Combination<'_>| setting.values[it.values[along]].label.clone();
    let price = |(ends, found): (&[&Combination<'_>; 2], Option<Step>)| Price {
        step: format!("{} → {}", label(ends[0]), label(ends[1])),
        beside: sweep.name_without(ends[0], |it| it.key == setting.key),
        found,
        values: ends.map(|it| Some(it.point(metric)?.figure(metric.path())?.median)),
        ends: ends.map(|it| it.values.clone()),
    };
    pairs.iter().zip(stats::steps(&trials)).map(price).collect()
}

/// Returns the combination with the next value of a setting, and the same values of the others.
fn next<'s>(sweep: &'s Sweep<'_>, from: &Combination<'_>, along: usize) -> Option<&'s Combination<'s>> {
    let mut values = from.values.clone();
    values[along] += 1;
    let is_value = values[along] < sweep.settings[along].values.len();
    sweep.combinations.iter().find(|it| is_value && it.values == values)
}

/// Returns a sentence with the price of each step.
pub(in crate::report) fn sentence(sweep: &Sweep<'_>, along: usize, metric: Metric) -> String {
    let setting = &sweep.settings[along].name;
    let prices = prices(sweep, along, metric);
    if prices.is_empty() {
        return format!("No step of {setting} has a price: its combinations failed or are invalid.");
    }
    let with_values = prices.len() <= VALUES_SHOWN_MAX;
    let told: Vec<String> = prices.iter().map(|price| told(price, metric, with_values)).collect();
    let found = || prices.iter().filter_map(|price| price.found);
    let few = match found().map(|step| step.blocks).max() {
        Some(blocks) if found().all(|step| step.interval.is_none()) => {
            let least = stats::BLOCKS_MIN;
            format!(" No interval yet: an answer needs {least} blocks (`--trials {least}`), not {blocks}.")
        }
        _ => String::new(),
    };
    format!("The price of {setting} in {}: {}.{few}", name(metric), told.join("; "))
}

/// Describes a price: `written → synced × 0.21 (0.19 to 0.23) with max_bytes 16 KiB`.
fn told(price: &Price, metric: Metric, with_values: bool) -> String {
    let beside = if price.beside.is_empty() { String::new() } else { format!(" with {}", price.beside) };
    let ends = match price.values {
        [Some(from), Some(to)] if with_values => {
            format!(", from {} to {}", text(metric, from), text(metric, to))
        }
        _ => String::new(),
    };
    let ratio = price.found.map_or_else(|| "is not known, no block has both".to_owned(), ratio);
    let doubt = match price.found {
        Some(step) if step.is_contradicted => ", which first attempts, late ones included, contradict",
        _ => "",
    };
    format!("{} {ratio}{beside}{ends}{doubt}", price.step)
}

/// Formats a ratio with its interval, if it has one.
pub(in crate::report) fn ratio(step: Step) -> String {
    let range = step.interval.map(|it| format!(" ({} to {})", factor(it.low), factor(it.high)));
    format!("× {}{}", factor(step.ratio), range.unwrap_or_default())
}

/// Formats a ratio with its interval for a table: `0.37 [0.33–0.43]`.
pub(super) fn cell(price: &Price) -> String {
    let Some(step) = price.found else { return NONE.to_owned() };
    let interval = step.interval.map(|it| format!(" [{}–{}]", factor(it.low), factor(it.high)));
    let doubt = if step.is_contradicted { format!(" {CONTRADICTED}") } else { String::new() };
    format!("{}{}{doubt}", factor(step.ratio), interval.unwrap_or_default())
}

/// Explains what stands in brackets beside the ratios of a table, and why some or all have nothing there.
pub(super) fn brackets<'p>(prices: impl IntoIterator<Item = &'p Price>) -> String {
    let needed = format!("an interval needs {} blocks", stats::BLOCKS_MIN);
    let has_interval: Vec<bool> =
        prices.into_iter().filter_map(|price| price.found).map(|step| step.interval.is_some()).collect();
    match (has_interval.contains(&true), has_interval.contains(&false)) {
        (true, false) => "[95 % interval that holds for all steps together]".to_owned(),
        (true, true) => format!("[95 % interval that holds for all steps together]; {needed}"),
        (false, _) => format!("({needed})"),
    }
}

/// Explains the mark of prices that first attempts contradict; `None` if a table has none.
pub(super) fn contradiction<'p>(prices: impl IntoIterator<Item = &'p Price>) -> Option<String> {
    let mut found = prices.into_iter().filter_map(|price| price.found);
    let is_any = found.any(|step| step.is_contradicted);
    is_any.then(|| format!("{CONTRADICTED}: first attempts, late ones included, do not show this difference"))
}
