//! Charts as values. Each is made from stored measurements and can be tested without pixels; `svg/` draws it.
//!
//! Throughput begins at zero, unless it spans so much that a log axis is needed. Nothing is smoothed. A chart with
//! nothing to show is not drawn, and the report gives the reason.

mod axis;
mod comparison;
mod events;
mod head;
mod lag;
mod latency;
mod over_time;
mod overlay;
mod shown;
mod stack;
mod sweep;
mod throughput;
pub mod value;

use super::overlay::Overlay;
use super::sweep::Sweep;
use crate::result::Recording;
use crate::result::comparison::Comparison;
use shown::Shown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use value::{Key, Plot};

/// The most points of a sweep that are drawn over time, each for itself. Larger sweeps are drawn as a whole only.
const POINTS_OVER_TIME_MAX: usize = 8;

/// A chart, or the reason why there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Chart {
    /// A chart with something to show.
    Plot(Box<Plot>),
    /// A chart that is not drawn.
    NotDrawn(NotDrawn),
}

/// The reason why a chart is not drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotDrawn {
    /// The subject that the chart would have shown.
    pub what: String,
    /// The reason, in words.
    pub reason: String,
    /// Whether drawing failed. Otherwise there is nothing to show.
    pub is_fault: bool,
}

/// Trials that are drawn over time on equal axes.
struct OverTime<'p, 'a> {
    alt: &'static str,
    /// Legend for all panels.
    keys: Vec<Key>,
    shown: &'p [Shown<'a>],
}

impl NotDrawn {
    /// Returns the reason why there is nothing to show. The name of the chart is added by [`attempt`].
    fn because(reason: impl Into<String>) -> Self {
        Self { what: String::new(), reason: reason.into(), is_fault: false }
    }

    /// Returns the reason why drawing failed.
    pub fn fault(what: &str, reason: impl std::fmt::Display) -> Self {
        Self { what: what.to_owned(), reason: format!("it cannot be drawn: {reason}"), is_fault: true }
    }
}

/// Returns every chart of a result.
pub fn all(recording: &Recording) -> Vec<Chart> {
    let swept = Sweep::of(&recording.result).filter(|swept| !swept.settings.is_empty());
    let mut charts = swept.as_ref().map_or_else(Vec::new, |swept| sweep::charts(recording, swept));
    if swept.is_none() || recording.result.points.len() <= POINTS_OVER_TIME_MAX {
        charts.push(attempt("Throughput over time", || throughput::plot(recording)));
        charts.push(attempt("Latency by percentile", || latency::plot(recording)));
        charts.push(attempt("Latency over time", || over_time::plot(recording)));
        charts.push(attempt("Lag of consumer groups over time", || lag::plot(recording)));
    }
    charts
}

/// Returns every chart of several runs.
pub(super) fn of_runs(overlay: &Overlay<'_>) -> Vec<Chart> {
    overlay::charts(overlay)
}

/// Returns the chart of a comparison.
pub(super) fn of_comparison(compared: &Comparison) -> Vec<Chart> {
    comparison::charts(compared)
}

/// Makes a chart. If that fails, only this chart is lost.
fn attempt(what: &'static str, make: impl FnOnce() -> Result<Plot, NotDrawn>) -> Chart {
    match catch_unwind(AssertUnwindSafe(make)) {
        Ok(Ok(plot)) => Chart::Plot(Box::new(plot)),
        Ok(Err(reason)) => Chart::NotDrawn(NotDrawn { what: what.to_owned(), ..reason }),
        Err(_) => Chart::NotDrawn(NotDrawn::fault(what, "making it panicked, which is an error in vnotch")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_that_panics_is_lost_alone() {
        let Chart::NotDrawn(lost) = attempt("Latency over time", || panic!("a test's own panic")) else {
            panic!("a chart was made");
        };
        assert!(lost.is_fault && lost.what == "Latency over time" && lost.reason.contains("panicked"));
        let nothing = attempt("Latency over time", || Err(NotDrawn::because("nothing was measured")));
        let expected = NotDrawn {
            what: "Latency over time".into(),
            reason: "nothing was measured".into(),
            is_fault: false,
        };
        assert_eq!(nothing, Chart::NotDrawn(expected));
    }
}
