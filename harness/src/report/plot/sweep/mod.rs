//! Chart 5: the results of a sweep against the swept settings: panels with every trial's mark, and maps for two settings
//! of many values.

mod layout;
mod map;
mod panels;
mod positions;

use super::{Chart, attempt};
use crate::report::sweep::Sweep;
use crate::result::Recording;

/// The least number of values of both settings for a map. With fewer, the panels show the same better.
const MAP_VALUES_MIN: usize = 4;

/// Returns the charts of a sweep.
pub(super) fn charts(recording: &Recording, sweep: &Sweep<'_>) -> Vec<Chart> {
    let mut charts = vec![attempt("Results by setting", || panels::plot(recording, sweep))];
    if let [first, second] = &sweep.settings[..]
        && first.values.len().min(second.values.len()) >= MAP_VALUES_MIN
    {
        charts.push(attempt("Results by both settings, as a map", || map::plot(recording, sweep)));
    }
    charts
}
