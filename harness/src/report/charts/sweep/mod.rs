//! Chart 5: what a sweep came to against what was swept: panels with every trial's dot, and heat maps for two settings.

mod axis;
mod heat;
mod layout;
mod panels;

use super::{Chart, PALE};
use crate::report::sweep::Sweep;
use crate::result::Recording;

/// The charts of a sweep.
pub(super) fn draw(recording: &Recording, sweep: &Sweep<'_>) -> anyhow::Result<Vec<Chart>> {
    let panels = panels::draw(recording, sweep)?;
    let mut charts = vec![Chart { name: "sweep", alt: "What each setting came to", svg: panels }];
    let is_map = sweep.settings.len() == 2 && sweep.settings.iter().all(|setting| setting.values.len() > 1);
    if is_map && let Some(svg) = heat::draw(recording, sweep)? {
        charts.push(Chart { name: "sweep-map", alt: "Both settings as a map", svg });
    }
    Ok(charts)
}

/// A remark below a panel's title.
const REMARK: (i32, plotters::style::RGBColor) = (11, PALE);
