//! Everything that people look at, drawn from a [`Recording`]: the first screen, charts, the HTML report, the summary.

mod backlog;
mod chart;
mod charts;
mod facts;
mod html;
mod lines;
pub mod listing;
mod next;
mod overlay;
mod setting;
mod stall;
mod summary;
mod sweep;
pub mod text;

use crate::result::{Artifact, Recording};

/// Draws every file of a result directory that is made from its measurements.
///
/// # Errors
/// A chart cannot be drawn: the fonts do not load, or the chart cannot be turned into a picture.
pub fn draw(recording: &Recording) -> anyhow::Result<Vec<Artifact>> {
    let charts = charts::all(recording)?;
    files(&charts, html::page(recording, &charts), summary::markdown(recording, &charts))
}

/// Draws several runs on the same axes.
///
/// # Errors
/// There are fewer than two runs or too many, a result is not that of a run, or a chart cannot be drawn.
pub fn draw_overlay(recordings: &[Recording]) -> anyhow::Result<Vec<Artifact>> {
    let overlay = overlay::Overlay::of(recordings)?;
    let charts = charts::overlay::draw(&overlay)?;
    files(&charts, overlay::page::html(&overlay, &charts), overlay::page::markdown(&overlay, &charts))
}

fn files(charts: &[chart::Chart], page: String, summary: String) -> anyhow::Result<Vec<Artifact>> {
    let mut artifacts = Vec::new();
    for chart in charts {
        let file = |extension: &str, content: Vec<u8>| Artifact {
            path: format!("charts/{}.{extension}", chart.name),
            content,
        };
        artifacts.push(file("png", charts::png(&chart.svg)?));
        artifacts.push(file("svg", chart.svg.clone().into_bytes()));
    }
    let file = |path: &str, text: String| Artifact { path: path.to_owned(), content: text.into_bytes() };
    artifacts.push(file("report.html", page));
    artifacts.push(file("summary.md", summary));
    Ok(artifacts)
}
