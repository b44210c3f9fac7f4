//! Chart 5: the results of a sweep against the swept settings: panels with every trial's dot, and heat maps for two
//! settings.

mod axis;
mod heat;
mod layout;
mod panels;

use super::{Chart, PALE};
use crate::report::sweep::Sweep;
use crate::result::Recording;

/// Draws the charts of a sweep.
pub(super) fn draw(recording: &Recording, sweep: &Sweep<'_>) -> anyhow::Result<Vec<Chart>> {
    let panels = panels::draw(recording, sweep)?;
    let mut charts = vec![Chart { name: "sweep", alt: "Results by setting", svg: panels }];
    let is_map = sweep.settings.len() == 2 && sweep.settings.iter().all(|setting| setting.values.len() > 1);
    if is_map && let Some(svg) = heat::draw(recording, sweep)? {
        charts.push(Chart { name: "sweep-map", alt: "Results by both settings, as a map", svg });
    }
    Ok(charts)
}

/// Font size and colour of a remark below a panel's title.
const REMARK: (i32, plotters::style::RGBColor) = (11, PALE);
