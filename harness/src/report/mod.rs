//! Everything that people look at, drawn from a [`Recording`]: the first screen, charts, the HTML report, the summary.

mod backlog;
mod chart;
mod facts;
mod html;
mod lines;
pub mod listing;
mod next;
mod overlay;
mod overlay_page;
pub mod plot;
mod setting;
mod stall;
mod summary;
mod svg;
mod sweep;
pub mod text;

use crate::result::{Artifact, Recording};
use chart::Charts;

/// The files of a report.
#[derive(Debug)]
pub struct Drawn {
    /// Files of the result directory: charts, `report.html` and `summary.md`.
    pub artifacts: Vec<Artifact>,
    /// A message for each chart that could not be drawn. The report says the same.
    pub faults: Vec<String>,
}

/// Draws every file of a result directory that is made from its measurements. A chart that cannot be drawn is left out.
pub fn draw(recording: &Recording) -> Drawn {
    let charts = Charts::draw(plot::all(recording));
    files(&charts, html::page(recording, &charts), summary::markdown(recording, &charts))
}

/// Draws several runs on the same axes. A chart that cannot be drawn is left out.
///
/// # Errors
/// There are fewer than two runs or too many, or a result is not that of a run.
pub fn draw_overlay(recordings: &[Recording]) -> anyhow::Result<Drawn> {
    let overlay = overlay::Overlay::of(recordings)?;
    let charts = Charts::draw(plot::of_runs(&overlay));
    let (page, summary) = (overlay_page::html(&overlay, &charts), overlay_page::markdown(&overlay, &charts));
    Ok(files(&charts, page, summary))
}

fn files(charts: &Charts, page: String, summary: String) -> Drawn {
    let mut artifacts = charts.files();
    let file = |path: &str, text: String| Artifact { path: path.to_owned(), content: text.into_bytes() };
    artifacts.push(file("report.html", page));
    artifacts.push(file("summary.md", summary));
    Drawn { artifacts, faults: charts.faults() }
}
