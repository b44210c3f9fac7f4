//! Parts that the axes of all charts share: margins, lines, fonts, the time axis, and decades.

use super::{AXIS, Area, GRID, LEFT, PALE, RIGHT, font, number_text};
use crate::num;
use plotters::chart::MeshStyle;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;
use std::ops::Range;

/// Height of a horizontal axis with its labels and its name, pixels.
pub(super) const X_AXIS: u32 = 40;
/// Height above a plot for its title and legend, pixels.
pub(super) const HEAD: u32 = 34;

/// Starts a plot below a head of `top` pixels, with a horizontal axis of `bottom` pixels.
pub(super) fn plot<'a, 'b>(
    area: &'a Area<'b>,
    (top, bottom): (u32, u32),
) -> ChartBuilder<'a, 'a, SVGBackend<'b>> {
    let mut builder = ChartBuilder::on(area);
    builder
        .margin_left(LEFT)
        .margin_right(RIGHT)
        .margin_top(top)
        .y_label_area_size(AXIS)
        .x_label_area_size(bottom);
    builder
}

/// Draws pale horizontal lines only.
pub(super) fn quiet<X, Y, DB>(mesh: &mut MeshStyle<'_, '_, X, Y, DB>)
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    DB: DrawingBackend,
{
    pale(mesh);
    mesh.disable_x_mesh();
}

/// Draws pale lines and text in a readable size.
pub(super) fn pale<X, Y, DB>(mesh: &mut MeshStyle<'_, '_, X, Y, DB>)
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    DB: DrawingBackend,
{
    mesh.light_line_style(WHITE)
        .bold_line_style(GRID)
        .axis_style(PALE)
        .label_style(font(12))
        .axis_desc_style(font(12));
}

/// Labels the horizontal axis with seconds since the window opened.
pub(super) fn of_time<X, Y, DB>(mesh: &mut MeshStyle<'_, '_, X, Y, DB>)
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    DB: DrawingBackend,
{
    mesh.x_labels(12).x_desc("s since the window opened").x_label_formatter(&|t_s: &f64| number_text(*t_s));
}

/// Returns whole decades around some nanoseconds, so that the first and the last have a label; `None` if there are
/// none.
pub(super) fn decades(ns: impl Iterator<Item = f64> + Clone) -> Option<Range<f64>> {
    let low = ns.clone().reduce(f64::min)?.max(1.0);
    let high = ns.fold(1.0, f64::max);
    let low = 10.0_f64.powf(low.log10().floor());
    Some(low..10.0_f64.powf(high.log10().ceil()).max(low * 10.0))
}

/// Formats a time in nanoseconds.
pub(super) fn ns_text(ns: &f64) -> String {
    if *ns < 0.5 { "0".to_owned() } else { crate::quantity::ns(num::u64_of(*ns)) }
}
