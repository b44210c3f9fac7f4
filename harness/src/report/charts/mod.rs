//! The charts. plotters draws each as SVG. The PNG is made from that SVG, at twice the size.
//!
//! Axes of throughput begin at zero and nothing is smoothed. The colours (Okabe and Ito's) can be told apart by
//! colour-blind readers and in print.

mod axes;
mod events;
mod flow;
mod latency;
mod over_time;
pub(super) mod overlay;
mod sweep;
mod throughput;

use super::chart::Chart;
use super::facts;
use crate::result::{Point, Recording, RunResult, SeriesRow, Trial, TrialRecord};
use crate::stats;
use anyhow::{Context as _, anyhow};
use flow::Legend;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use resvg::{tiny_skia, usvg};
use std::ops::Range;
use std::sync::{Arc, Once};

const WIDTH: u32 = 960;
const TITLE_HEIGHT: u32 = 76;
/// Width left of an axis, pixels; `RIGHT` is the width right of a chart.
const LEFT: u32 = 16;
const RIGHT: u32 = 24;
const TITLE_WIDTH: u32 = WIDTH - LEFT - RIGHT;
/// Width of a vertical axis with its labels.
const AXIS: u32 = 76;
/// Fonts as in CSS. Browsers without the first one show another, whose widths are close enough to fit.
const FONT: &str = "DejaVu Sans, Verdana, sans-serif";
/// The most points of a sweep that are drawn over time, each for itself. Larger sweeps are drawn as a whole only.
const POINTS_OVER_TIME_MAX: usize = 8;
const PNG_SCALE: f32 = 2.0;

const INK: RGBColor = RGBColor(34, 34, 34);
const PALE: RGBColor = RGBColor(110, 110, 110);
const GRID: RGBColor = RGBColor(228, 228, 228);
const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const PURPLE: RGBColor = RGBColor(204, 121, 167);
const SKY: RGBColor = RGBColor(86, 180, 233);
/// Colours of passes and of kinds of events, used in turn.
const COLOURS: [RGBColor; 6] = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws every chart for which a recording has data.
pub(super) fn all(recording: &Recording) -> anyhow::Result<Vec<Chart>> {
    load_fonts();
    let swept = super::sweep::Sweep::of(&recording.result);
    if let Some(swept) = swept.filter(|swept| !swept.settings.is_empty()) {
        return of_sweep(recording, &swept);
    }
    over_time(recording)
}

/// Draws the charts over time of each point, and the percentiles.
fn over_time(recording: &Recording) -> anyhow::Result<Vec<Chart>> {
    let charts = [
        ("throughput", "Throughput over time", throughput::draw(recording)?),
        ("latency", "Latency by percentile", latency::draw(recording)?),
        ("latency-over-time", "Latency over time", over_time::draw(recording)?),
    ];
    Ok(charts.into_iter().map(|(name, alt, svg)| Chart { name, alt, svg }).collect())
}

/// Draws chart 5. If there are few points, also draws each of them over time.
fn of_sweep(recording: &Recording, swept: &super::sweep::Sweep<'_>) -> anyhow::Result<Vec<Chart>> {
    let mut charts = sweep::draw(recording, swept)?;
    if recording.result.points.len() <= POINTS_OVER_TIME_MAX {
        charts.extend(over_time(recording)?);
    }
    Ok(charts)
}

fn load_fonts() {
    static FONTS: Once = Once::new();
    FONTS.call_once(|| {
        // This fails only for data that is no font; the tests use this font.
        let _ = register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
    });
}

/// Returns the picture as a PNG.
pub(super) fn png(svg: &str) -> anyhow::Result<Vec<u8>> {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    let options = usvg::Options {
        fontdb: Arc::new(fonts),
        font_family: "DejaVu Sans".to_owned(),
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(svg, &options).context("a chart is no SVG")?;
    let size = tree.size().to_int_size().scale_by(PNG_SCALE).context("a chart has no size")?;
    let mut pixels = tiny_skia::Pixmap::new(size.width(), size.height()).context("a chart has no size")?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(PNG_SCALE, PNG_SCALE), &mut pixels.as_mut());
    pixels.encode_png().context("cannot encode a chart as PNG")
}

/// Texts above a picture.
struct Head {
    name: String,
    settings: String,
    verdict: String,
}

impl Head {
    fn of(result: &RunResult) -> Self {
        Self {
            name: result.name.clone(),
            settings: facts::settings(result),
            verdict: result.verdict.to_string(),
        }
    }
}

/// A document with one panel for each trial that is shown.
struct Panels<'p, 'a> {
    head: &'p Head,
    /// Legend below the head; `None` if there is nothing to tell apart.
    legend: Option<&'p Legend>,
    shown: &'p [Shown<'a>],
}

impl Panels<'_, '_> {
    fn draw(
        &self,
        title: &str,
        panel_height: u32,
        panel: impl Fn(&Area<'_>, &Shown<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<String> {
        let count = self.shown.len().max(1);
        let above = self.legend.map_or(0, Legend::height);
        drawn(self.head, title, above + panel_height * u32::try_from(count)?, |area| {
            let (upper, lower) = area.split_vertically(above);
            self.legend.into_iter().for_each(|legend| legend.draw(&upper));
            let areas = lower.split_evenly((count, 1));
            if self.shown.is_empty() {
                note(&areas[0], "nothing was measured");
            }
            areas.iter().zip(self.shown).try_for_each(|(area, shown)| panel(area, shown))
        })
    }
}

/// Draws a document with its title; `body` draws the part below it.
fn drawn(
    head: &Head,
    title: &str,
    height: u32,
    body: impl FnOnce(&Area<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, TITLE_HEIGHT + height)).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let (top, rest) = root.split_vertically(TITLE_HEIGHT);
        let title = format!(": {title}");
        let room = TITLE_WIDTH.saturating_sub(width_of(&title, 20));
        text(&top, &format!("{}{title}", fitted(&head.name, 20, room)), (16, 10), (20, INK));
        text(&top, &fitted(&head.settings, 12, TITLE_WIDTH), (16, 36), (12, PALE));
        // The verdict has its own line: with all its flags, it would not fit behind the settings.
        text(&top, &fitted(&head.verdict, 12, TITLE_WIDTH), (16, 54), (12, INK));
        body(&rest)?;
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

/// The trial that is drawn for a point: the one whose throughput is nearest to the median.
struct Shown<'a> {
    point: &'a Point,
    trial: &'a Trial,
    record: &'a TrialRecord,
    number: usize,
    /// Letter of the run, if several runs are drawn.
    run: Option<char>,
}

impl<'a> Shown<'a> {
    fn of_all(recording: &'a Recording) -> Vec<Self> {
        let points = recording.result.points.iter().enumerate();
        points.filter_map(|(index, point)| Self::of(recording, index, point)).collect()
    }

    fn of(recording: &'a Recording, index: usize, point: &'a Point) -> Option<Self> {
        let rates: Vec<f64> = point.trials.iter().map(|trial| trial.produce.bytes_per_s).collect();
        let number = stats::nearest_to_median(&rates)?;
        let record = recording.trial(index, number)?;
        Some(Self { point, trial: &point.trials[number], record, number, run: None })
    }

    /// Returns a title such as `max, trial 2 of 3`.
    fn title(&self) -> String {
        let run = self.run.map_or_else(String::new, |run| format!("{run}: "));
        let load = format!("{run}{}", facts::point_name(self.point));
        match self.point.trials.len() {
            1 => load,
            count => format!("{load}, trial {} of {count} (nearest to the median)", self.number + 1),
        }
    }

    /// Returns the time from warm-up to drain, s; never empty.
    fn span(&self) -> Range<f64> {
        let rows = &self.record.series;
        let from = rows.first().map_or(0.0, |row| row.t_s).min(0.0);
        let to = rows.last().map_or(0.0, |row| row.t_s + row.interval_s);
        from..to.max(self.trial.window_s).max(from + 0.1)
    }
}

/// Returns the span from the earliest start to the latest end.
fn widest(spans: impl Iterator<Item = Range<f64>>) -> Range<f64> {
    let both = |a: Range<f64>, b: Range<f64>| a.start.min(b.start)..a.end.max(b.end);
    spans.reduce(both).unwrap_or(0.0..1.0)
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw a chart: {error}")
}

/// Draws text with its upper left corner at `at`. If the text cannot be drawn, it is left out, so that the chart is not
/// lost.
fn text(area: &Area<'_>, text: &str, at: (i32, i32), (size, colour): (i32, RGBColor)) {
    let style = TextStyle::from((FONT, size).into_font()).color(&colour);
    let _ = area.draw_text(text, &style, at);
}

/// Draws text with the middle of its upper edge at `at`.
fn text_centred(area: &Area<'_>, it: &str, (x, y): (i32, i32), style: (i32, RGBColor)) {
    let half = i32::try_from(width_of(it, style.0) / 2).unwrap_or(0);
    text(area, it, (x - half, y), style);
}

fn note(area: &Area<'_>, what: &str) {
    text(area, what, (80, 40), (14, PALE));
}

/// Returns the width of text, pixels; 0 if it cannot be drawn.
fn width_of(text: &str, size: i32) -> u32 {
    font(size).font.box_size(text).map_or(0, |(width, _)| width)
}

/// Returns as much of a text as fits into `width` pixels, with an ellipsis for the rest.
fn fitted(text: &str, size: i32, width: u32) -> String {
    if width_of(text, size) <= width {
        return text.to_owned();
    }
    let ends = text.char_indices().rev().map(|(end, _)| format!("{}…", text[..end].trim_end()));
    ends.into_iter().find(|cut| width_of(cut, size) <= width).unwrap_or_default()
}

/// The moment of its interval that a value belongs to.
#[derive(Clone, Copy)]
enum Moment {
    /// For rates and percentiles, which are values of the whole interval.
    Middle,
    /// For levels, which are values at the interval's end.
    End,
}

/// Returns the values over time as one line for each stretch without a gap. Nothing is drawn where there was no value.
/// A single value is drawn over its whole interval, so that it can be seen.
fn stretches(
    rows: &[SeriesRow],
    moment: Moment,
    value: impl Fn(&SeriesRow) -> Option<f64>,
) -> Vec<Vec<(f64, f64)>> {
    let value_of = |row: &SeriesRow| Some((row.t_s, row.interval_s, value(row)?));
    let values: Vec<_> = rows.iter().map(value_of).collect();
    let runs = values.split(Option::is_none).map(|run| run.iter().flatten().copied().collect::<Vec<_>>());
    runs.filter(|run| !run.is_empty())
        .map(|run| match (run.as_slice(), moment) {
            (&[(t_s, interval_s, value)], _) => vec![(t_s, value), (t_s + interval_s, value)],
            (run, Moment::Middle) => run.iter().map(|(t_s, length, v)| (t_s + length / 2.0, *v)).collect(),
            (run, Moment::End) => run.iter().map(|(t_s, length, v)| (t_s + length, *v)).collect(),
        })
        .collect()
}

fn font(size: i32) -> TextStyle<'static> {
    TextStyle::from((FONT, size).into_font()).color(&INK)
}

/// Draws a line of swatches with names, aligned to the right end of the area's head.
fn legend(area: &Area<'_>, entries: &[(&str, RGBColor)]) {
    let mut right = i32::try_from(area.dim_in_pixel().0).unwrap_or(0) - 24;
    for (name, colour) in entries.iter().rev() {
        let width = font(12).font.box_size(name).map_or(60, |(width, _)| i32::try_from(width).unwrap_or(60));
        right -= width;
        text(area, name, (right, 8), (12, INK));
        let swatch = Rectangle::new([(right - 20, 12), (right - 6, 17)], colour.filled());
        let _ = area.draw(&swatch);
        right -= 38;
    }
}

/// Shades the parts of the time axis that are not in the measured window.
fn shade_outside_window<'a, DB, Y>(
    chart: &mut ChartContext<'a, DB, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>,
    (span, window_s): (&Range<f64>, f64),
    (low, high): (f64, f64),
) -> anyhow::Result<()>
where
    DB: DrawingBackend + 'a,
    Y: Ranged<ValueType = f64>,
{
    for (from, to) in [(span.start, 0.0), (window_s, span.end)] {
        if to > from {
            let shade = Rectangle::new([(from, low), (to, high)], BLACK.mix(0.06).filled());
            chart.draw_series(std::iter::once(shade)).map_err(failed)?;
        }
    }
    Ok(())
}

/// Formats a count for an axis: `12.3 k`.
fn count_text(count: f64) -> String {
    if count < 100.0 {
        return number_text(count);
    }
    crate::quantity::per_s(count).trim_end_matches("/s").trim().to_owned()
}

/// Formats a number for an axis, with a decimal only if it is needed.
fn number_text(number: f64) -> String {
    // Adding 0 turns -0 into 0.
    if (number - number.round()).abs() < 1e-9 {
        format!("{:.0}", number.round() + 0.0)
    } else {
        format!("{number:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(t_s: f64, value: Option<u64>) -> SeriesRow {
        SeriesRow { t_s, interval_s: 1.0, p50_ns: value, ..SeriesRow::default() }
    }

    #[test]
    fn a_gap_is_never_bridged_and_a_lone_value_is_seen() {
        let values = [Some(1), Some(2), None, None, Some(5)];
        let rows: Vec<SeriesRow> =
            values.into_iter().enumerate().map(|(i, value)| row(i as f64, value)).collect();
        let ns = |row: &SeriesRow| row.p50_ns.map(crate::num::f64_of);
        let lone = vec![(4.0, 5.0), (5.0, 5.0)];
        assert_eq!(stretches(&rows, Moment::Middle, ns), [vec![(0.5, 1.0), (1.5, 2.0)], lone.clone()]);
        assert_eq!(stretches(&rows, Moment::End, ns), [vec![(1.0, 1.0), (2.0, 2.0)], lone]);
        assert!(stretches(&rows[2..4], Moment::Middle, ns).is_empty());
    }

    #[test]
    fn text_is_cut_to_its_room() {
        load_fonts();
        let long = "ä long line of settings ".repeat(20);
        let cut = fitted(&long, 12, 200);
        assert!(cut.ends_with('…') && width_of(&cut, 12) <= 200, "{cut}");
        assert_eq!(fitted("short", 12, 200), "short");
        assert_eq!(fitted("no room", 12, 0), "");
    }

    #[test]
    fn zero_has_no_sign() {
        assert_eq!([-0.0, -1e-12, 0.5, -2.0].map(number_text), ["0", "0", "0.5", "-2"]);
    }
}
