//! Everything that people look at, drawn from a [`Recording`] or a comparison: the first screen, charts, the HTML report, the summary.

mod answer;
mod backlog;
mod chart;
pub mod comparison;
mod facts;
mod groups;
mod html;
mod limit;
mod lines;
pub mod listing;
mod next;
mod overlay;
mod pages;
pub mod plot;
mod setting;
mod stall;
mod summary;
mod svg;
mod sweep;
pub mod text;

use crate::result::comparison::Comparison;
use crate::result::{Artifact, Recording};
use chart::Charts;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The files of a report.
#[derive(Debug)]
pub struct Drawn {
    /// Files of the result directory: charts, `report.html` and `summary.md`.
    pub artifacts: Vec<Artifact>,
    /// A message for each part that could not be drawn. The report says the same of its charts.
    pub faults: Vec<String>,
}

/// Draws every file of a result directory that is made from its measurements. A part that
/// cannot be drawn is left out.
pub fn draw(recording: &Recording) -> Drawn {
    let mut faults = Vec::new();
    let charts = made("every chart", &mut faults, || Charts::draw(plot::all(recording))).unwrap_or_default();
    let page = made("report.html", &mut faults, || html::page(recording, &charts));
    let summary = made("summary.md", &mut faults, || summary::markdown(recording, &charts));
    files(&charts, [("report.html", page), ("summary.md", summary)], faults)
}

/// Draws every file of the directory of a comparison that is made from its measurements: the chart, `report.html` and
/// `summary.md`. A part that cannot be drawn is left out.
pub fn draw_comparison(compared: &Comparison) -> Drawn {
    let mut faults = Vec::new();
    let charts = made("every chart", &mut faults, || Charts::draw(plot::of_comparison(compared)));
    let charts = charts.unwrap_or_default();
    let page = made("report.html", &mut faults, || pages::comparison::html(compared, &charts));
    let summary = made("summary.md", &mut faults, || pages::comparison::markdown(compared, &charts));
    files(&charts, [("report.html", page), ("summary.md", summary)], faults)
}

/// Returns a comparison as Markdown for a pull request, without charts.
pub fn comparison_markdown(compared: &Comparison) -> String {
    pages::comparison::markdown(compared, &Charts::default())
}

/// Draws several runs on the same axes. A chart that cannot be drawn is left out.
///
/// # Errors
/// There are fewer than two runs or too many, or a result is not that of a run.
pub fn draw_overlay(recordings: &[Recording]) -> anyhow::Result<Drawn> {
    let overlay = overlay::Overlay::of(recordings)?;
    let charts = Charts::draw(plot::of_runs(&overlay));
    let (page, summary) =
        (pages::overlay::html(&overlay, &charts), pages::overlay::markdown(&overlay, &charts));
    Ok(files(&charts, [("report.html", Some(page)), ("summary.md", Some(summary))], Vec::new()))
}

/// Makes a part of a report. If that panics, the part is missing, and the measurement is still saved.
fn made<T>(what: &str, faults: &mut Vec<String>, make: impl FnOnce() -> T) -> Option<T> {
    let part = catch_unwind(AssertUnwindSafe(make)).ok();
    if part.is_none() {
        faults.push(format!("{what} is missing: making it panicked, which is an error in vnotch"));
    }
    part
}

fn files(charts: &Charts, texts: [(&str, Option<String>); 2], mut faults: Vec<String>) -> Drawn {
    let mut artifacts = charts.files();
    let texts = texts.into_iter().filter_map(|(path, text)| Some((path, text?)));
    artifacts
        .extend(texts.map(|(path, text)| Artifact { path: path.to_owned(), content: text.into_bytes() }));
    faults.extend(charts.faults());
    Drawn { artifacts, faults }
}

#[cfg(test)]
mod tests {
    use super::made;

    #[test]
    fn a_part_that_panics_is_missing_alone() {
        let mut faults = Vec::new();
        assert_eq!(made("summary.md", &mut faults, || 1), Some(1));
        assert!(faults.is_empty());
        assert_eq!(made("report.html", &mut faults, || -> i32 { panic!("a test's own panic") }), None);
        assert!(faults[0].starts_with("report.html is missing: "), "{faults:?}");
    }
}
