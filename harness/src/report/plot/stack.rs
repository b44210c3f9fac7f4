//! Panels over time, one below the other: what all of them share is said once.

use super::value::{BandKind, Panel, Part, Plot};

/// Said of a chart with shaded parts.
const GREY: &str = "grey: outside the measured window";
/// Said of a chart with panels of several trials.
const NEAREST: &str = "each panel is the trial whose throughput is nearest to the median";

/// Returns a chart with these panels. A legend or a remark that all panels share is moved above them, and the name of the
/// time axis stands below the last.
pub(super) fn stacked(plot: Plot, mut panels: Vec<Panel>) -> Plot {
    let (mut keys, mut notes) = (plot.keys, plot.notes);
    let is_grey = |panel: &Panel| {
        panel.axes().flat_map(|axes| &axes.bands).any(|band| band.kind == BandKind::OutsideWindow)
    };
    if panels.iter().any(|panel| panel.title.contains(", trial ")) {
        notes.push(NEAREST.to_owned());
    }
    if panels.iter().any(is_grey) {
        notes.push(GREY.to_owned());
    }
    if panels.len() > 1 {
        let first = panels[0].clone();
        if keys.is_empty() && panels.iter().all(|panel| panel.keys == first.keys) {
            keys = first.keys;
            panels.iter_mut().for_each(|panel| panel.keys.clear());
        }
        for note in &first.notes {
            if panels.iter().all(|panel| panel.notes.contains(note)) {
                panels.iter_mut().for_each(|panel| panel.notes.retain(|own| own != note));
                notes.push(note.clone());
            }
        }
    }
    let above = panels.len().saturating_sub(1);
    for part in panels.iter_mut().take(above).flat_map(|panel| &mut panel.parts) {
        if let Part::Axes(axes) = part {
            axes.x.title.clear();
        }
    }
    // One line of remarks takes less room than several.
    let notes = if notes.is_empty() { Vec::new() } else { vec![notes.join(" · ")] };
    Plot { keys, notes, panels, ..plot }
}
