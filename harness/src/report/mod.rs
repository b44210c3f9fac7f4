//! What people look at, all of it drawn from a [`Recording`]: the first screen, charts, the HTML report, the summary.

mod charts;
mod facts;
mod html;
mod summary;
mod sweep;
pub mod text;

use crate::result::{Artifact, Recording};

/// Every file of a result directory that is drawn from its measurements.
///
/// # Errors
/// A chart cannot be drawn: the fonts do not load, or a picture cannot be made of one.
pub fn draw(recording: &Recording) -> anyhow::Result<Vec<Artifact>> {
    let charts = charts::all(recording)?;
    let mut artifacts = Vec::new();
    for chart in &charts {
        let file = |extension: &str, content: Vec<u8>| Artifact {
            path: format!("charts/{}.{extension}", chart.name),
            content,
        };
        artifacts.push(file("png", charts::png(&chart.svg)?));
        artifacts.push(file("svg", chart.svg.clone().into_bytes()));
    }
    let file = |path: &str, text: String| Artifact { path: path.to_owned(), content: text.into_bytes() };
    artifacts.push(file("report.html", html::page(recording, &charts)));
    artifacts.push(file("summary.md", summary::markdown(recording, &charts)));
    Ok(artifacts)
}
